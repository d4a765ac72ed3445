"""Tests of the Slicer module on Slicer's own scene (package slicer-core) and PySide6 without a display.

The application itself is not here: what it adds is stood in for by `slicer_application` and `pythonqt`. This folder must
not be called `slicer`: the package of that name adopts every folder of its name on the path.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
MODULE_FOLDER = Path(__file__).resolve().parents[2] / "med_stylesr" / "slicer" / "MedStyleSR"

if importlib.util.find_spec("slicer_core") is None or importlib.util.find_spec("PySide6") is None:
    # The extra `slicer` is not installed.
    collect_ignore_glob = ["test_*"]
else:
    sys.path[:0] = [str(MODULE_FOLDER), str(Path(__file__).parent)]
