"""OpenVINO on the CPU: convolutions fused with all that surrounds them, in bfloat16 where the processor has it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from med_stylesr.inference.model_cache import CachedModels
from med_stylesr.inference.onnx_model import CODE, IMAGE, convolutions_to_onnx
from med_stylesr.inference.quiet_openvino import openvino
from med_stylesr.inference.runtime import BFLOAT16, FLOAT32, INT8, ROWS_PER_BAND, Runtime
from med_stylesr.inference.side_by_side import lanes_for
from med_stylesr.networks.generator import StyleSRGenerator

_HINTS = {FLOAT32: "f32", BFLOAT16: "bf16"}
_SHAPES_KEPT = {2: 4, 3: 1}
"""Compiled models kept by spatial dimensions: a fixed shape is a seventh faster than an open one, and a run has few of
them. Those of slabs hold memory by the half gigabyte, and only the first and the last slab differ from the rest."""


class OpenVINORuntime(Runtime):
    """Runs the convolutions by OpenVINO, compiled for every shape that comes by.

    Args:
        network: see `Runtime`.
        precision: "float32", "bfloat16" or "int8".
        models: where exported and compiled models are kept.
        quantised: gives the model for "int8" at scale 1 to OpenVINO's core; other scales run in bfloat16 or float32.
        pixels_per_band: see `Runtime`.

    Raises:
        ModuleNotFoundError: if a model is to be exported and the package onnx is missing (also when running).
    """

    name = "openvino"
    version = openvino.__version__.split("-")[0]

    def __init__(
        self,
        network: StyleSRGenerator,
        precision: str,
        models: CachedModels,
        quantised: Callable[[Any], Any] | None = None,
        pixels_per_band: int = ROWS_PER_BAND,
    ) -> None:
        self._threads = torch.get_num_threads()
        # A slab of a 3D network is work enough for all threads.
        super().__init__(network, pixels_per_band, lanes_for(self._threads) if network.spatial_dims == 2 else 1)
        self.precision = precision
        self._models = models
        self._shapes_kept = _SHAPES_KEPT[network.spatial_dims]
        self._core = openvino.Core()
        self._core.set_property({"CACHE_DIR": str(models.folder("openvino"))})
        self._quantised = quantised(self._core) if quantised and precision == INT8 else None
        floating = self.multiplies_bfloat16() if precision == INT8 else precision == BFLOAT16
        self._hint = _HINTS[BFLOAT16 if floating else FLOAT32]
        self._compiling = threading.Lock()
        self._ready: dict[tuple[int, ...], Any] = {}
        self._own = threading.local()

    @staticmethod
    def multiplies_bfloat16() -> bool:
        """Whether this processor does so natively."""
        return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")

    def residuals(self, bounded: Tensor, code: Tensor, scale: list[int]) -> list[Tensor]:
        """See `StyleSRGenerator.residuals`; the tensors are overwritten by the next call of the same thread."""
        request = self._request(tuple(bounded.shape), scale)
        image, style = (np.ascontiguousarray(tensor.numpy(), dtype=np.float32) for tensor in (bounded, code))
        request.infer({IMAGE: image, CODE: style}, share_inputs=True, share_outputs=True)
        return [torch.from_numpy(request.get_output_tensor(i).data) for i in range(len(request.model_outputs))]

    def _request(self, shape: tuple[int, ...], scale: list[int]) -> Any:
        """This thread's own request to the model of a shape."""
        key = (*shape, *scale)
        own: dict[tuple[int, ...], tuple[Any, Any]] = self._own.__dict__.setdefault("requests", {})
        with self._compiling:
            model = self._ready.pop(key, None)
            while len(self._ready) >= self._shapes_kept:
                del self._ready[next(iter(self._ready))]
            # Requests hold the memory of their models, which the next one may need.
            for stale in own.keys() - {key, *self._ready}:
                del own[stale]
            # Put last: the one used longest ago is the first.
            self._ready[key] = model = model or self._compiled(shape, scale)
        if key not in own or own[key][0] is not model:
            own[key] = (model, model.create_infer_request())
        return own[key][1]

    def _compiled(self, shape: tuple[int, ...], scale: list[int]) -> Any:
        if self._quantised is not None and scale == self.network.scales_unit:
            model = self._quantised.clone()
        else:
            name = "convolutions-" + "x".join(map(str, scale)) + ".onnx"
            model = self._core.read_model(self._models.file(name, lambda: convolutions_to_onnx(self.network, scale)))
        model.reshape({IMAGE: list(shape), CODE: [shape[0], self.network.style_dim]})
        settings = {
            "INFERENCE_PRECISION_HINT": self._hint,
            "INFERENCE_NUM_THREADS": self._threads,
            "NUM_STREAMS": self.lanes.count,
            # Processes side by side (--jobs) would be pinned to the same cores.
            "ENABLE_CPU_PINNING": False,
        }
        return self._core.compile_model(model, "CPU", settings)
