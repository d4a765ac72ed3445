"""Finding pairs of scans in the folder layouts that data sets come in; splits are by scan, never by slice."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from med_stylesr.errors import InputError, UsageError

Item = dict[str, str]
_QUARTER, _FULL = "quarter_", "full_"
_CASE = re.compile(r"[LNC]\d{3}")


def scans(dataset_dir: str, key: str) -> list[Item]:
    """Every file or folder directly below `dataset_dir` is one scan.

    Args:
        dataset_dir: the folder.
        key: the entry that the path goes into.

    Raises:
        InputError: if there is none.
    """
    folder = Path(dataset_dir)
    found = [{key: str(path)} for path in _entries(folder)]
    if not found:
        raise InputError(str(folder), "holds no scans", "set dataset_dir to a folder with one file or folder per scan")
    return found


def paired_scans(dataset_dir: str, image_folder: str, label_folder: str) -> list[Item]:
    """Scans of the same name below two folders.

    Args:
        dataset_dir: folder that holds both.
        image_folder: name of the folder with the low-dose (or sharp-kernel) scans.
        label_folder: name of the folder with their partners.

    Raises:
        InputError: if a scan has no partner or there is none at all.
    """
    first, second = (
        {path.name: path for path in _entries(Path(dataset_dir) / name)} for name in (image_folder, label_folder)
    )
    alone = sorted(set(first) ^ set(second))
    if alone:
        raise InputError(alone[0], f"is not in both {image_folder} and {label_folder}", "give both or remove it")
    if not first:
        raise InputError(dataset_dir, f"holds no pairs in {image_folder} and {label_folder}", "set dataset_dir")
    return [{"image": str(first[name]), "label": str(second[name])} for name in sorted(first)]


def unpaired_scans(dataset_dir: str, image_folder: str, label_folder: str) -> list[Item]:
    """Scans of two folders side by side, the shorter list repeated; nothing says that they show the same patient.

    Args:
        dataset_dir: folder that holds both.
        image_folder: name of the folder with the low-dose scans.
        label_folder: name of the folder with normal-dose scans.

    Raises:
        InputError: if one holds nothing.
    """
    first, second = (
        scans(str(Path(dataset_dir) / name), key) for name, key in ((image_folder, "image"), (label_folder, "label"))
    )
    count = max(len(first), len(second))
    return [{**first[k % len(first)], **second[k % len(second)]} for k in range(count)]


def mayo_pairs(dataset_dir: str) -> list[Item]:
    """Pairs of the TCIA collection LDCT-and-Projection-data or of the AAPM 2016 challenge, as they are handed out.

    TCIA: `<case>/<study>/<n>-Low Dose Images-<id>/` with `<n>-Full Dose Images-<id>/` (or `Full dose images`) in the
    same study or, where images were published anew, in another study of the case. Projections are left alone.
    AAPM 2016: folders `quarter_<thickness>…` whose partner has `full_` in place of every `quarter_` of its path:
    `L067/quarter_3mm`, `quarter_3mm/L067` and `3mm B30/quarter_3mm/L067/quarter_3mm`. Each item names its `case`
    (L067), which `split` keeps together.

    Args:
        dataset_dir: a folder above the cases.

    Raises:
        InputError: if a low-dose scan has no partner or several, or there is none at all.

    Source: Moen et al. 2021, doi 10.1002/mp.14594 (TCIA doi 10.7937/9NPB-2637); McCollough et al. 2017,
        doi 10.1002/mp.12345.
    """
    root = Path(dataset_dir)
    items: list[Item] = []
    for low in sorted(path for path in root.rglob("*") if path.is_dir() and _holds_files(path)):
        parts = low.relative_to(root).parts
        if "low dose images" in low.name.lower():
            beside = _full_dose(low.parent.iterdir())
            partners = beside or _full_dose(low.parent.parent.glob("*/*"))
        elif any(part.lower().startswith(_QUARTER) for part in parts):
            wanted = [_FULL + part[len(_QUARTER) :] if part.lower().startswith(_QUARTER) else part for part in parts]
            partners = [path for path in [root.joinpath(*wanted)] if path.is_dir()]
        else:
            continue
        if len(partners) != 1:
            raise InputError(str(low), f"has {len(partners)} full-dose partners", "keep exactly one")
        case = next((part for part in parts if _CASE.fullmatch(part)), str(low))
        items.append({"image": str(low), "label": str(partners[0]), "case": case})
    if not items:
        raise InputError(
            dataset_dir, "holds no Mayo low-dose and full-dose folders", "set dataset_dir to the case folders"
        )
    return items


def split(items: Sequence[Item], part: str, every: int) -> list[Item]:
    """Give one scan in `every` to validation and the others to training, by position in the list.

    Items that name the same `case` (reconstructions of one patient) count as one scan and stay together: a patient whom
    training has seen validates nothing.

    Args:
        items: all scans or pairs, in a fixed order.
        part: `"train"` or `"validate"`.
        every: >= 2.

    Raises:
        UsageError: for another part, or if a part would be empty.
    """
    if part not in ("train", "validate") or every < 2:
        raise UsageError("split", f"part {part!r}, every {every}", "use train or validate and every >= 2")
    cases = [item.get("case", str(k)) for k, item in enumerate(items)]
    numbers = {case: k for k, case in enumerate(dict.fromkeys(cases))}
    held = [numbers[case] % every == every - 1 for case in cases]
    chosen = [item for item, out in zip(items, held, strict=True) if out == (part == "validate")]
    if not chosen:
        raise UsageError("split", f"{len(numbers)} scans leave none to {part}", f"give at least {every} scans")
    return chosen


def _entries(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(str(folder), "is no folder", "set dataset_dir")
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _holds_files(folder: Path) -> bool:
    return any(path.is_file() and not path.name.startswith(".") for path in folder.iterdir())


def _full_dose(folders: Iterable[Path]) -> list[Path]:
    return sorted(path for path in folders if path.is_dir() and "full dose images" in path.name.lower())
