"""What tells a network from its wrapper in distributed training."""

from __future__ import annotations

from typing import Any

from torch.nn.parallel import DistributedDataParallel


def unwrap(part: Any) -> Any:
    """Return the module inside a distributed wrapper, or the object itself.

    Args:
        part: a network, wrapped or not, or any other part of a run.
    """
    return part.module if isinstance(part, DistributedDataParallel) else part
