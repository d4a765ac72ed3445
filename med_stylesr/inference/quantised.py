"""A bundle's model with 8-bit multiplications: where it lies, and whose weights it was made of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from med_stylesr.errors import UsageError

if TYPE_CHECKING:
    from med_stylesr.inference.bundle import LoadedBundle

FILE: Final = Path("models") / "int8.xml"
"""In a bundle: the convolutions at scale 1, in OpenVINO's format."""
INFO: Final = ("med_stylesr", "weights_sha256")
"""Where the model names the weights that it was made of."""
_MAKE: Final = "use --precision auto, or make one by tools/quantise_bundle.py"


def quantised_model(bundle: LoadedBundle, core: Any) -> Any:
    """The 8-bit model of a bundle.

    Args:
        bundle: whose.
        core: OpenVINO's core, which reads it.

    Raises:
        UsageError: if the bundle has none, or one of other weights.
    """
    path = bundle.path / FILE
    if not path.is_file():
        raise UsageError("--precision int8", f"bundle {bundle.name} has no {FILE.as_posix()}", _MAKE)
    model = core.read_model(path)
    if not model.has_rt_info(list(INFO)) or model.get_rt_info(list(INFO)).astype(str) != bundle.weights_sha256:
        raise UsageError("--precision int8", f"{FILE.as_posix()} of bundle {bundle.name} is of other weights", _MAKE)
    return model
