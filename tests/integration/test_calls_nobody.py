"""Nothing that is installed along calls a web service or leaves an identifier in the user's home."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

PROGRAM = """
import sys
import med_stylesr.inference.runtime_openvino
import med_stylesr.inference.runtime_onnx
import monai.handlers
if "mlflow" in sys.modules:
    from mlflow.telemetry.client import get_telemetry_client
    assert get_telemetry_client() is None
print([name for name in sys.modules if name.startswith("openvino_telemetry.")])
"""


def test_runtimes_and_training_are_imported_without_telemetry(tmp_path: pathlib.Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "USERPROFILE": str(tmp_path), "LOCALAPPDATA": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["[]"]
    left = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in left if "intel" in path.parts or "mlflow" in path.parts], left
