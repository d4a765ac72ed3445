"""Whatever ends an engine, the user reads one line that says what to do."""

from __future__ import annotations

import pytest
from MedStyleSRLib.problems import DeviceMissing, EngineProblem, OutOfMemory, explain


@pytest.mark.parametrize(
    ("status", "reason", "errors", "kind", "told"),
    [
        (1, "not enough memory; use a smaller --scale or fewer --jobs", [], OutOfMemory, "region of interest"),
        (-9, "", [], OutOfMemory, "not enough memory"),
        (137, "", [], OutOfMemory, "not enough memory"),
        (1, "internal error: OutOfMemoryError: CUDA out of memory. Tried", [], OutOfMemory, "choose the device cpu"),
        (2, "", ["med-stylesr: --device cuda:3: this machine has 1 CUDA devices; use cpu"], DeviceMissing, "1 CUDA"),
        (2, "", ["med-stylesr: --style x: this bundle has: smooth"], EngineProblem, "this bundle has: smooth"),
        (1, "voxels are vectors", ["med-stylesr: warning: other"], EngineProblem, "voxels are vectors"),
        (1, "", ["med-stylesr: scan: no", "Fatal Python error: noise"], EngineProblem, "^scan: no$"),
        (1, "", ["Traceback", "ImportError: no torch"], EngineProblem, "ImportError: no torch"),
        (-11, "", [], EngineProblem, r"crashed \(exit status -11\).*press Check"),
        (0, "", [], EngineProblem, "ended without a result"),
    ],
)  # fmt: skip
def test_the_cause_is_told_and_what_to_do(status: int, reason: str, errors: list[str], kind: type, told: str) -> None:
    problem = explain(status, reason, errors)
    assert type(problem) is kind
    with pytest.raises(kind, match=told):
        raise problem
    assert "\n" not in str(problem)
