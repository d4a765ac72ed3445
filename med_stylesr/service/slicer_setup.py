"""The 3D Slicer module of this installation: where it is, and its entry in Slicer's settings.

Slicer keeps the folders it looks for modules in, one list for each of its versions, in `Slicer-<REVISION>.ini`, group
`Modules`, key `AdditionalPaths` (https://slicer.readthedocs.io/en/latest/user_guide/settings.html). The files are in
the INI format of Qt (https://doc.qt.io/qt-6/qsettings.html).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from med_stylesr.errors import InputError, UsageError
from med_stylesr.io.publish import staged_file

GROUP: Final = "[Modules]"
KEY: Final = "AdditionalPaths"
BACKUP: Final = ".before-med-stylesr"
"""Ending of the copy that is kept of a settings file."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:@+~ -]+")
"""What Qt writes into an INI file as it is."""
_ENTRY: Final = re.compile(rf"^{KEY}\s*=")


def module_folder() -> Path:
    """Folder of the module, for Slicer's `--additional-module-paths`.

    Raises:
        InputError: if it is not part of this installation.
    """
    folder = Path(__file__).resolve().parents[1] / "slicer" / "MedStyleSR"
    if not (folder / "MedStyleSR.py").is_file():
        raise InputError(str(folder), "the Slicer module is not part of this installation", "reinstall med-stylesr")
    return folder


def settings_folders(environment: Mapping[str, str], home: Path) -> list[Path]:
    """Where Slicer keeps its settings on this machine, newest habit first."""
    if os.name == "nt":
        roaming = Path(environment.get("APPDATA", home / "AppData" / "Roaming"))
        return [roaming / "slicer.org", roaming / "NA-MIC"]
    config = home / ".config"
    return [config / "slicer.org", config / "NA-MIC", config / "www.na-mic.org"]


def settings_files(environment: Mapping[str, str], home: Path) -> list[Path]:
    """The settings files of every version of Slicer that this user has started, newest first."""
    found = [path for folder in settings_folders(environment, home) for path in folder.glob("Slicer-*.ini")]
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


def listed_paths(settings: Path) -> list[str]:
    """Module folders that a settings file lists, as they are written in it.

    Raises:
        InputError: if the file cannot be read.
    """
    lines = _lines(settings)
    place = _entry(lines)
    return _values(lines[place]) if place is not None else []


def add_module(settings: Path, folder: Path) -> bool:
    """Add a module folder to a settings file; a copy of the file is kept beside it.

    Args:
        settings: `Slicer-<REVISION>.ini`.
        folder: folder of the module.

    Returns:
        Whether it had to be added; earlier places of this module are replaced.

    Raises:
        UsageError: if the folder's name needs quotes that Qt's versions write differently.
        InputError: if the file cannot be read or written.
    """
    value = folder.as_posix()
    if not _PLAIN.fullmatch(value):
        todo = f"add it in Slicer: Edit, Application Settings, Modules, Additional module paths: {value}"
        raise UsageError(str(folder), "has characters that cannot be written into Slicer's settings safely", todo)
    lines = _lines(settings)
    place = _entry(lines)
    kept = [] if place is None else [path for path in _values(lines[place]) if not _is_ours(path)]
    if place is not None and len(kept) < len(_values(lines[place])) and value in _values(lines[place]):
        return False
    entry = f"{KEY}={', '.join([*kept, value])}\n"
    if place is not None:
        lines[place] = entry
    elif GROUP in (stripped := [line.strip() for line in lines]):
        lines.insert(stripped.index(GROUP) + 1, entry)
    else:
        lines += ["\n", f"{GROUP}\n", entry]
    _write(settings.with_name(settings.name + BACKUP), settings.read_bytes())
    _write(settings, "".join(lines).encode("utf-8", "surrogateescape"))
    return True


def module_scripts_missing(folder: Path) -> list[str]:
    """Files that the module's CMakeLists.txt names and the folder lacks."""
    text = (folder / "CMakeLists.txt").read_text(encoding="utf-8").replace("${MODULE_NAME}", "MedStyleSR")
    named = re.findall(r"^\s+((?:MedStyleSR|Resources)[\w/]*\.(?:py|ui|png|svg))\s*$", text, re.MULTILINE)
    return [name for name in named if not (folder / name).is_file()]


def own_program() -> Path | None:
    """The `med-stylesr` program of this Python, if there is one where the module looks for it."""
    candidates = (Path(sys.prefix) / "bin" / "med-stylesr", Path(sys.prefix) / "Scripts" / "med-stylesr.exe")
    return next((path for path in candidates if path.is_file()), None)


def _lines(settings: Path) -> list[str]:
    try:
        return settings.read_bytes().decode("utf-8", "surrogateescape").splitlines(keepends=True)
    except OSError as error:
        raise InputError(str(settings), f"cannot be read ({error.strerror})", "check the path") from error


def _entry(lines: list[str]) -> int | None:
    """Number of the line with the key, within its group."""
    return next((number for number in _within_group(lines) if _ENTRY.match(lines[number])), None)


def _within_group(lines: list[str]) -> Iterator[int]:
    inside = False
    for number, line in enumerate(lines):
        if line.startswith("["):
            inside = line.strip() == GROUP
        elif inside:
            yield number


def _values(line: str) -> list[str]:
    """The list after the key; quoted values keep their quotes, so that they can be written back."""
    value = line.partition("=")[2].strip()
    parts = re.findall(r'\s*(?:"(?:[^"\\]|\\.)*"|[^,]+)', value)
    return [part.strip() for part in parts if part.strip() and part.strip() != "@Invalid()"]


def _is_ours(path: str) -> bool:
    return path.strip('"').replace("\\\\", "/").rstrip("/").endswith("med_stylesr/slicer/MedStyleSR")


def _write(path: Path, content: bytes) -> None:
    with staged_file(path, overwrite=True) as partial:
        try:
            partial.write_bytes(content)
        except OSError as error:
            raise InputError(str(path), f"cannot be written ({error.strerror})", "check the permissions") from error
