"""ONNX Runtime on the CPU, in float32: for machines without OpenVINO (Arm, for one)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from med_stylesr.inference.model_cache import CachedModels
from med_stylesr.inference.onnx_model import CODE, IMAGE, convolutions_to_onnx
from med_stylesr.inference.quiet_onnxruntime import onnxruntime
from med_stylesr.inference.runtime import FLOAT32, ROWS_PER_BAND, Runtime
from med_stylesr.networks.generator import StyleSRGenerator


class OnnxRuntime(Runtime):
    """Runs the convolutions by ONNX Runtime.

    Args:
        network: see `Runtime`.
        models: where exported models are kept.
        pixels_per_band: see `Runtime`.

    Raises:
        ModuleNotFoundError: if a model is to be exported and the package onnx is missing (also when running).
    """

    name = "onnx"
    version = onnxruntime.__version__
    precision = FLOAT32

    def __init__(self, network: StyleSRGenerator, models: CachedModels, pixels_per_band: int = ROWS_PER_BAND) -> None:
        super().__init__(network, pixels_per_band)
        self._models = models
        self._sessions: dict[tuple[int, ...], Any] = {}

    def residuals(self, bounded: Tensor, code: Tensor, scale: list[int]) -> list[Tensor]:
        """See `StyleSRGenerator.residuals`."""
        key = tuple(scale)
        if key not in self._sessions:
            self._sessions[key] = self._session(scale)
        image, style = (np.ascontiguousarray(tensor.numpy(), dtype=np.float32) for tensor in (bounded, code))
        return [torch.from_numpy(result) for result in self._sessions[key].run(None, {IMAGE: image, CODE: style})]

    def _session(self, scale: list[int]) -> Any:
        name = "convolutions-" + "x".join(map(str, scale)) + ".onnx"
        model = self._models.file(name, lambda: convolutions_to_onnx(self.network, scale))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Idle threads sleep: spinning beside a busy process costs several times the work.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
