"""What earlier runs wrote into the same folder: its record goes on, and sets of different pseudonyms are kept apart."""

from __future__ import annotations

import json
import pathlib
from typing import Any, Final

from med_stylesr.deid.keys import SecretKey
from med_stylesr.errors import UsageError

AUDIT_NAME: Final = "deidentify-audit.json"


def key_name(key: SecretKey) -> str:
    """What a key is called in the record: tells whether two runs had the same one, and nothing of it."""
    return key.pseudonym("key", "", "K", 16)


def earlier_runs(dest: pathlib.Path, key: SecretKey) -> list[dict[str, Any]]:
    """Records of the runs that filled `dest`, oldest first; none if there is no record, or nothing but a record.

    Raises:
        UsageError: if results of another key lie there: the same patients would get two pseudonyms, side by side.
    """
    try:
        last = json.loads((dest / AUDIT_NAME).read_text("utf-8"))
        earlier = list(last.pop("earlier", []))
        same = last["key"] == key_name(key)
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        same = False
    if not any(path.is_file() and path.name != AUDIT_NAME and path.name[0] != "." for path in dest.rglob("*")):
        return []
    if not same:
        why = "holds results of an earlier run, and the record there tells of another key or of none"
        raise UsageError(str(dest), why, "give the --key-file of that run, or another DEST")
    return [*earlier, last]
