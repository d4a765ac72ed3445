"""What is made of a bundle once and used in every later run: kept in the user's cache folder, lost without harm.

An entry belongs to the digest of a bundle's weights and configs and of the code that makes models of them; what else
it depends on (the version of a runtime) is part of the names inside. Entries not used for long are removed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import platformdirs

from med_stylesr import __version__

VARIABLE: Final = "MED_STYLESR_CACHE"
"""Environment variable that names another folder than the user's."""
_ENTRIES_KEPT: Final = 16


def cache_root() -> Path:
    """The user's cache folder for this program."""
    return Path(os.environ.get(VARIABLE) or platformdirs.user_cache_path("med-stylesr", appauthor=False))


class CachedModels:
    """The entry of one bundle. Where the cache cannot be written, a temporary folder serves this process.

    Args:
        contents: bytes that the entry depends on.
        root: cache folder.
    """

    def __init__(self, *contents: bytes, root: Path | None = None) -> None:
        digest = hashlib.sha256(__version__.encode())
        for content in (*contents, *(path.read_bytes() for path in _code())):
            digest.update(hashlib.sha256(content).digest())
        models = (root or cache_root()) / "models"
        self._path = models / digest.hexdigest()[:32]
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            # Tells the age of an entry, and whether the folder can be written.
            (self._path / "used").touch()
        except OSError:
            self._temporary = tempfile.TemporaryDirectory(prefix="med-stylesr-")
            self._path = Path(self._temporary.name)
        else:
            _remove_old(models, self._path)

    def folder(self, name: str) -> Path:
        """A folder inside the entry, made if needed."""
        path = self._path / name
        path.mkdir(exist_ok=True)
        return path

    def file(self, name: str, make: Callable[[], bytes]) -> Path:
        """A file of the entry, made if it is not there; whole or not at all, however many processes make it."""
        path = self._path / name
        if not path.is_file():
            self._write(path, make())
        return path

    def record(self, name: str) -> Any:
        """JSON kept under a name, or None."""
        with suppress(OSError, ValueError):
            return json.loads((self._path / f"{name}.json").read_text(encoding="utf-8"))
        return None

    def keep(self, name: str, record: Any) -> None:
        """Keep JSON under a name; what cannot be kept is done again next time."""
        with suppress(OSError):
            self._write(self._path / f"{name}.json", json.dumps(record, indent=1).encode())

    def _write(self, path: Path, content: bytes) -> None:
        with tempfile.NamedTemporaryFile(dir=self._path, delete=False) as file:
            file.write(content)
        os.replace(file.name, path)


def _code() -> list[Path]:
    """The modules that decide on what is kept."""
    here = Path(__file__).parent
    names = ("bundle.py", "onnx_model.py", "parity.py")
    return [*sorted((here.parent / "networks").glob("*.py")), *(here / name for name in names)]


def _remove_old(models: Path, current: Path) -> None:
    """Drop the entries used longest ago, beyond a number of them."""

    def used(entry: Path) -> float:
        with suppress(OSError):
            return (entry / "used").stat().st_mtime
        return 0.0

    entries = sorted((entry for entry in models.iterdir() if entry != current), key=used, reverse=True)
    for entry in entries[_ENTRIES_KEPT:]:
        shutil.rmtree(entry, ignore_errors=True)
