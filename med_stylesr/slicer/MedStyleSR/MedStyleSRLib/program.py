"""Where the `med-stylesr` program is, how it is started, and whether it is one we can work with."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from .i18n import _
from .problems import ProgramProblem

NEEDED = (0, 1, 0)
"""Oldest version with all options that the module uses."""
VARIABLE = "MED_STYLESR_PROGRAM"
"""Environment variable that names the program, for machines without a settings file."""
ANSWER_S = 60
"""Time that a program has to tell its version: a cold start from a network drive takes long."""
_VERSION = re.compile(r"^med-stylesr (\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True)
class Program:
    """How to start the engine.

    Attributes:
        arguments: program and leading arguments.
        environment: environment variables to start it with.
        origin: where it was found, in words.
    """

    arguments: tuple[str, ...]
    environment: dict[str, str] = field(repr=False)
    origin: str

    def version(self):
        """Ask the program for its version.

        Raises:
            ProgramProblem: if it cannot be started, is another program, or too old.
        """
        name = " ".join(self.arguments)
        try:
            run = self.answer("--version", ANSWER_S)
        except subprocess.TimeoutExpired:
            raise ProgramProblem(name, _("does not answer"), _("choose another on the Settings tab")) from None
        except OSError as error:
            why = _("cannot be started ({reason})").format(reason=error.strerror or error)
            raise ProgramProblem(name, why, _("choose the med-stylesr program on the Settings tab")) from None
        told = run.stdout.strip()
        found = _VERSION.match(told)
        if not found:
            last = run.stderr.strip().splitlines()
            why = _("is not med-stylesr ({answer})").format(answer=(last[-1:] or [told or "no answer"])[0][:200])
            raise ProgramProblem(name, why, _("choose the med-stylesr program on the Settings tab"))
        version = tuple(int(part) for part in found.groups())
        if version < NEEDED:
            have, need = (".".join(map(str, v)) for v in (version, NEEDED))
            why = _("is version {have}, this module needs {need} or newer").format(have=have, need=need)
            raise ProgramProblem(name, why, _("run: pip install --upgrade med-stylesr"))
        return ".".join(map(str, version))

    def answer(self, question, seconds):
        """Start the program with one argument and wait for its end; returns `subprocess.CompletedProcess` with text.

        Raises:
            OSError: if it cannot be started.
            subprocess.TimeoutExpired: if it takes longer.
        """
        return subprocess.run(
            [*self.arguments, question],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
            check=False,
            **hidden_window(),
        )


def find_program(chosen, environment, module_file, private=None):
    """Find the engine: as chosen, by the environment variable, around the module, on the PATH, installed privately.

    Args:
        chosen: path from the settings: the program, a Python, or the folder of a virtual environment; may be empty.
        environment: environment variables of the user (in Slicer: its startup environment).
        module_file: path of MedStyleSR.py, which may lie inside an installed package.
        private: `Program` of a private installation, or None.

    Raises:
        ProgramProblem: if there is none, or what was chosen is none.
    """
    clean = {name: value for name, value in environment.items() if name not in ("PYTHONHOME", "PYTHONPATH")}
    for place, origin in ((chosen, _("settings")), (environment.get(VARIABLE, ""), VARIABLE)):
        if place:
            return Program(_started_as(Path(place).expanduser()), clean, origin)
    for folder in Path(module_file).resolve().parents:
        for inside in (folder, folder / ".venv"):
            # Only a virtual environment or an installation prefix has both.
            if (inside / "pyvenv.cfg").is_file() or (inside / "conda-meta").is_dir():
                found = _program_in(inside)
                if found:
                    return Program((found,), clean, _("the environment that this module was installed in"))
    found = shutil.which("med-stylesr", path=environment.get("PATH", os.defpath)) or _program_in(Path.home() / ".local")
    if found:
        return Program((found,), clean, "PATH")
    if private is not None:
        return private
    raise ProgramProblem(
        "med-stylesr",
        _("was not found"),
        _("install it (pip install med-stylesr) in any Python from 3.10 on, then choose it on the Settings tab"),
    )


def hidden_window():
    """Options of `subprocess` that keep a console window from flashing up on Windows."""
    return {"creationflags": subprocess.CREATE_NO_WINDOW} if os.name == "nt" else {}


def _started_as(place):
    if place.is_dir():
        found = _program_in(place)
        if found:
            return (found,)
        todo = _("run: {folder}/bin/pip install med-stylesr").format(folder=place)
        raise ProgramProblem(str(place), _("holds no med-stylesr program"), todo)
    if not place.is_file():
        why = _("does not exist")
        raise ProgramProblem(str(place), why, _("choose the med-stylesr program on the Settings tab, or clear it"))
    if place.stem.lower().startswith(("python", "pypy")):
        return (str(place), "-m", "med_stylesr")
    return (str(place),)


def _program_in(folder):
    candidates = (folder / "bin" / "med-stylesr", folder / "Scripts" / "med-stylesr.exe")
    return next((str(path) for path in candidates if path.is_file()), None)
