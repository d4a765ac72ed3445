"""Reading what `torch.save` wrote: tensors only, and a damaged file told as one."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from med_stylesr.errors import UsageError


def read_state(file: Path | bytes, name: str, todo: str, device: torch.device | str = "cpu") -> dict[str, Any]:
    """A mapping from a file or its bytes.

    Args:
        file: what to read.
        name: of the file, for people.
        todo: what they can do if it is damaged.
        device: where tensors are put.

    Raises:
        UsageError: if it is no such file. The reason is our own: torch's recommends to load without care.
    """
    try:
        state = torch.load(io.BytesIO(file) if isinstance(file, bytes) else file, device, weights_only=True)
    except (RuntimeError, OSError, ValueError, TypeError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise UsageError(name, f"is no file of weights, or a damaged one ({type(error).__name__})", todo) from error
    if not isinstance(state, Mapping):
        raise UsageError(name, f"holds a {type(state).__name__}, no weights", todo)
    return dict(state)
