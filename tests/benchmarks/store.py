"""Results on disk, under the hash of what determines them: a run that was interrupted, or has new weights, goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Store:
    """A folder of JSON records and arrays.

    Args:
        folder: where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def record(self, topic: str, key: str, make: Callable[[], Any]) -> Any:
        """The JSON value under a key, made if it is not there yet."""
        path = self._path(topic, key, ".json")
        if not path.is_file():
            value = make()
            _put(path, lambda part: part.write_text(json.dumps({"key": key, "value": value})))
        return json.loads(path.read_text())["value"]

    def array(self, topic: str, key: str, make: Callable[[], NDArray[Any]]) -> NDArray[np.float32]:
        """The array under a key, made if it is not there yet."""
        path = self._path(topic, key, ".npy")
        if not path.is_file():
            value = np.asarray(make(), dtype=np.float32)

            def write(part: Path) -> None:
                with part.open("wb") as file:
                    np.save(file, value)

            _put(path, write)
        return np.asarray(np.load(path))

    def has(self, topic: str, key: str, ending: str = ".npy") -> bool:
        """Whether a value is there."""
        return self._path(topic, key, ending).is_file()

    def _path(self, topic: str, key: str, ending: str) -> Path:
        return self.folder / topic / (hashlib.sha256(key.encode()).hexdigest()[:24] + ending)


def _put(path: Path, write: Callable[[Path], Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    write(part)
    part.replace(path)
