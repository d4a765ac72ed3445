"""A stand-in for the med-stylesr program that obeys or misbehaves at once: for what must happen when the engine fails.

What it does is told by the environment variable FAKE_ENGINE. Started as a program,
with the command line of the real one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

LIBRARY = Path(__file__).resolve().parents[1] / "med_stylesr" / "slicer" / "MedStyleSR"
REMOVED = 10.0
"""HU that the fake result has above its input: enough to tell the two apart."""


def laid_out(folder: Path) -> Path:
    """A program that starts the fake engine, and a folder `scratch` for its temporary files; returns the program."""
    program = folder / "med-stylesr"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" "$@"\n')
    program.chmod(0o755)
    (folder / "scratch").mkdir()
    return program


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def tell(**event: object) -> None:
    print(json.dumps(event), flush=True)


def enhance(source: Path, dest: Path, options: list[str]) -> None:
    import numpy as np

    sys.path.insert(0, str(LIBRARY))
    from MedStyleSRLib.box import finer_affine
    from MedStyleSRLib.nrrd import read_nrrd, write_nrrd

    voxels, affine = read_nrrd(source)
    factors = [int(n) for n in options[options.index("--scale") + 1 :][:3]] if "--scale" in options else [1, 1, 1]
    strength = 0.5 if "--dose" in options else 1.0
    fine = voxels
    for axis, factor in enumerate(factors):
        fine = np.repeat(fine, factor, axis=axis)
    dest.mkdir()
    total = fine.shape[0]
    for done in range(1, total + 1):
        time.sleep(float(os.environ.get("FAKE_ENGINE_SECONDS", "0")) / total)
        tell(event="progress", source="volume.nrrd", number=1, done=done, total=total)
    write_nrrd(dest / "volume.nrrd", fine + fine.dtype.type(REMOVED * strength), finer_affine(affine, factors))
    facts = {
        "strength": strength, "noise_before_hu": 30.0, "noise_after_hu": 12.0, "tissue_shift_hu": {"soft tissue": 0.5},
        "strength_curve": [[0.0, 30.0], [0.5, 18.0], [1.0, 12.0]],
    }  # fmt: skip
    tell(event="done", source="volume.nrrd", number=1, seconds=0.1, outputs=["volume.nrrd"], facts=facts, warnings=[])


def batch() -> None:
    tell(event="scan", source="in")
    tell(event="skip", source="notes.txt", reason="is no CT", problem=False)
    tell(event="start", total=2)
    for number in (1, 2):
        tell(event="series", source=f"series {number}", number=number, total=2)
        tell(event="progress", source=f"series {number}", number=number, done=1, total=2)
        if number == 1:
            facts = {"noise_before_hu": 30.0, "noise_after_hu": 12.0, "tissue_shift_hu": {}}
            tell(event="done", source="series 1", number=1, seconds=1, outputs=["x"], facts=facts, warnings=["careful"])
        else:
            tell(event="failed", source="series 2", number=2, reason="pixels are damaged", seconds=1)
    tell(event="end", manifest="out/manifest.json")
    sys.exit(1)


def hang(pid_file: str) -> None:
    """Ignore every polite request to stop, with a child that does too."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(["sleep", "600"])
    Path(pid_file).write_text(f"{os.getpid()} {child.pid}")
    tell(event="progress", source="volume.nrrd", number=1, done=1, total=100)
    time.sleep(600)


def main() -> None:
    mode = os.environ.get("FAKE_ENGINE", "fine")
    if "--version" in sys.argv:
        print({"old": "med-stylesr 0.0.9", "other": "fortune 1.0"}.get(mode, "med-stylesr 0.1.0"))
        return
    if mode == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if mode == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "memory":
        tell(event="failed", source="volume.nrrd", number=1, reason="not enough memory; use a smaller --scale")
        sys.exit(1)
    if mode == "gpu":
        print("med-stylesr: --device cuda: this machine has 0 CUDA devices; use auto or cpu", file=sys.stderr)
        sys.exit(2)
    if mode == "silent":
        sys.exit(0)
    if mode == "hang":
        hang(os.environ["FAKE_ENGINE_PIDS"])
    if mode == "batch":
        batch()
    enhance(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])


if __name__ == "__main__":
    main()
