"""OpenVINO without its telemetry, which sends an event to a web service from a process of its own at every import.

A program that handles patients' scans calls nobody. Import `openvino` from here only.
"""

from __future__ import annotations

import sys

# Makes the import of that package fail, upon which OpenVINO takes a stub that does nothing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino  # noqa: E402

__all__ = ["openvino"]
