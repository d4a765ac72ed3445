"""Which runtime a network gets: what was asked for, or the fastest that this machine has and that proves right."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import Final

import torch

from med_stylesr.errors import MedStyleError, UsageError
from med_stylesr.inference.bundle import LoadedBundle
from med_stylesr.inference.parity import compare
from med_stylesr.inference.quantised import quantised_model
from med_stylesr.inference.runtime import BFLOAT16, FLOAT32, INT8, Runtime, TorchRuntime
from med_stylesr.inference.runtime_bfloat16 import BFloat16Runtime

AUTO: Final = "auto"
TORCH: Final = "torch"
OPENVINO: Final = "openvino"
ONNX: Final = "onnx"
RUNTIMES: Final = (AUTO, TORCH, OPENVINO, ONNX)
PRECISIONS: Final = (AUTO, FLOAT32, BFLOAT16, INT8)
_NEEDS: Final = {OPENVINO: ("openvino", "onnx"), ONNX: ("onnxruntime", "onnx")}


def choose_runtime(bundle: LoadedBundle, device: torch.device, runtime: str = AUTO, precision: str = AUTO) -> Runtime:
    """A runtime for a bundle's network that agrees with float32 torch.

    Automatic choice: OpenVINO on a CPU where it is installed, torch otherwise; bfloat16 where the device multiplies it
    natively. One that drifts or fails gives way to the next, down to float32 torch, and a note says so. int8 is never
    chosen automatically.

    Args:
        bundle: the bundle, loaded.
        device: where it runs.
        runtime: one of `RUNTIMES`.
        precision: one of `PRECISIONS`.

    Raises:
        UsageError: if what was asked for is unknown, not installed, does not fit the device, or drifts.
    """
    if runtime not in RUNTIMES:
        raise UsageError(f"--runtime {runtime}", "is unknown", f"use one of: {', '.join(RUNTIMES)}")
    if precision not in PRECISIONS:
        raise UsageError(f"--precision {precision}", "is unknown", f"use one of: {', '.join(PRECISIONS)}")
    reference = TorchRuntime(bundle.network)
    notes: list[str] = []
    for kind, wanted in _candidates(device, runtime, precision):
        if (kind, wanted) == (TORCH, FLOAT32):
            reference.notes = notes
            return reference
        try:
            made = _made(bundle, kind, wanted)
            _require_parity(made, reference, bundle)
        except Exception as error:
            why = error.why if isinstance(error, MedStyleError) else f"{type(error).__name__}: {error}"
            if wanted == INT8:
                raise UsageError("--precision int8", why, "use --precision auto") from error
            if AUTO not in (runtime, precision):
                raise UsageError(f"--runtime {kind}", f"in {wanted} {why}", "use --runtime torch") from error
            notes.append(f"{kind} in {wanted} was not used: {' '.join(why.split())}")
            continue
        made.notes = notes
        return made
    raise UsageError(f"--runtime {runtime}", "; ".join(notes), "use --runtime torch --precision float32")


def _candidates(device: torch.device, runtime: str, precision: str) -> Iterator[tuple[str, str]]:
    """Kinds and precisions to try, in this order."""
    if runtime in _NEEDS:
        missing = [name for name in _NEEDS[runtime] if importlib.util.find_spec(name) is None]
        if missing:
            why, todo = f"needs {' and '.join(missing)}", f"pip install 'med-stylesr[{runtime}]', or use --runtime auto"
            raise UsageError(f"--runtime {runtime}", why, todo)
        if device.type != "cpu":
            raise UsageError(f"--runtime {runtime}", f"runs on the CPU, not on {device}", "use --device cpu")
    if runtime == ONNX and precision == BFLOAT16:
        raise UsageError("--precision bfloat16", "is not offered by ONNX Runtime on a CPU", "use --runtime openvino")
    if precision == INT8 and (runtime not in (AUTO, OPENVINO) or device.type != "cpu"):
        raise UsageError("--precision int8", "is offered by OpenVINO on a CPU only", "use --precision auto")
    if precision == INT8:
        yield OPENVINO, INT8
        return
    if runtime == AUTO:
        there = device.type == "cpu" and all(importlib.util.find_spec(name) for name in _NEEDS[OPENVINO])
        kinds = (OPENVINO, TORCH) if there else (TORCH,)
    else:
        kinds = (runtime,)
    for kind in kinds:
        if precision == BFLOAT16 or (precision == AUTO and kind != ONNX and _multiplies_bfloat16(device, kind)):
            yield kind, BFLOAT16
        if precision in (AUTO, FLOAT32):
            yield kind, FLOAT32


def _multiplies_bfloat16(device: torch.device, kind: str) -> bool:
    if kind == OPENVINO:
        # An installation that cannot be used says why when it is tried.
        with suppress(Exception):
            from med_stylesr.inference.runtime_openvino import OpenVINORuntime

            return OpenVINORuntime.multiplies_bfloat16()
        return False
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported())


def _made(bundle: LoadedBundle, kind: str, precision: str) -> Runtime:
    # Imported here: the packages behind them are extras.
    if kind == OPENVINO:
        from med_stylesr.inference.runtime_openvino import OpenVINORuntime

        return OpenVINORuntime(bundle.network, precision, bundle.models, partial(quantised_model, bundle))
    if kind == ONNX:
        from med_stylesr.inference.runtime_onnx import OnnxRuntime

        return OnnxRuntime(bundle.network, bundle.models)
    return BFloat16Runtime(bundle.network)


def _require_parity(runtime: Runtime, reference: TorchRuntime, bundle: LoadedBundle) -> None:
    """Compare at every scale, once for each version of a runtime on each kind of processor.

    Raises:
        UsageError: if the runtime drifts.
    """
    facts = runtime.facts()
    processor = torch.backends.cpu.get_cpu_capability() if runtime.device.type == "cpu" else facts["device"]
    name = "-".join(str(part).replace(" ", "_") for part in ("parity", *list(facts.values())[:3], processor))
    if bundle.models.record(name) is not None:
        return
    measured = {}
    for scale in runtime.network.scales:
        parity = compare(runtime, reference, scale)
        drift = parity.drift(runtime.precision)
        if drift:
            raise UsageError(runtime.name, f"drifts from float32 torch at scale {'x'.join(map(str, scale))}: {drift}")
        measured["x".join(map(str, scale))] = asdict(parity)
    bundle.models.keep(name, measured)
