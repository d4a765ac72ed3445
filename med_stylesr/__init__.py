"""med-stylesr: low-dose CT in normal-dose style, super-resolved on request. Research use only."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# MONAI imports MLflow where it is installed, and that tells a web service of its use unless it is told not to.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

if TYPE_CHECKING:
    from med_stylesr.errors import InputError as InputError
    from med_stylesr.errors import MedStyleError as MedStyleError
    from med_stylesr.errors import UsageError as UsageError
    from med_stylesr.geometry import VoxelGrid as VoxelGrid
    from med_stylesr.volume import CTVolume as CTVolume

# Name -> module; loaded on first use, so that `import med_stylesr` costs nothing.
_PUBLIC = {
    "CTVolume": "med_stylesr.volume",
    "VoxelGrid": "med_stylesr.geometry",
    "MedStyleError": "med_stylesr.errors",
    "InputError": "med_stylesr.errors",
    "UsageError": "med_stylesr.errors",
}

__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'med_stylesr' has no attribute {name!r}")
