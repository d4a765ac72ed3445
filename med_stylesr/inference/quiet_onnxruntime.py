"""ONNX Runtime without its telemetry, which its builds for Windows hand to the system. Import it from here only."""

from __future__ import annotations

import onnxruntime

onnxruntime.disable_telemetry_events()

__all__ = ["onnxruntime"]
