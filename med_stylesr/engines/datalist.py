"""Finding pairs of scans in the folder layouts that data sets come in; splits are by scan, never by slice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from med_stylesr.errors import InputError, UsageError

Item = dict[str, str]


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
    """Pairs of the TCIA collection LDCT-and-Projection-data or of the AAPM 2016 challenge folders.

    TCIA: `<case>/<study>/<number>-Low Dose Images-<id>/` beside `…-Full Dose Images-…`. AAPM 2016: one case folder with
    `quarter_<thickness>…` and `full_<thickness>…` of the same ending, at any depth.

    Args:
        dataset_dir: the folder above the cases.

    Raises:
        InputError: if no pair is found.

    Source: Moen et al. 2021, doi 10.1002/mp.14594 (TCIA doi 10.7937/9NPB-2637); McCollough et al. 2017,
        doi 10.1002/mp.12345.
    """
    items: list[Item] = []
    for low in sorted(path for path in Path(dataset_dir).rglob("*") if path.is_dir()):
        name = low.name.lower()
        if "low dose images" in name:
            partners = [p for p in sorted(low.parent.iterdir()) if "full dose images" in p.name.lower()]
        elif name.startswith("quarter_"):
            partners = [p for p in sorted(low.parent.iterdir()) if p.name.lower() == "full_" + name[len("quarter_") :]]
        else:
            continue
        if len(partners) != 1:
            raise InputError(str(low), f"has {len(partners)} full-dose partners beside it", "keep exactly one")
        items.append({"image": str(low), "label": str(partners[0])})
    if not items:
        raise InputError(
            dataset_dir, "holds no Mayo low-dose and full-dose folders", "set dataset_dir to the case folders"
        )
    return items


def split(items: Sequence[Item], part: str, every: int) -> list[Item]:
    """Give one scan in `every` to validation and the others to training, by position in the list.

    Args:
        items: all scans or pairs, in a fixed order.
        part: `"train"` or `"validate"`.
        every: >= 2.

    Raises:
        UsageError: for another part, or if a part would be empty.
    """
    if part not in ("train", "validate") or every < 2:
        raise UsageError("split", f"part {part!r}, every {every}", "use train or validate and every >= 2")
    chosen = [item for k, item in enumerate(items) if (k % every == every - 1) == (part == "validate")]
    if not chosen:
        raise UsageError("split", f"{len(items)} scans leave none to {part}", f"give at least {every} scans")
    return chosen


def _entries(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(str(folder), "is no folder", "set dataset_dir")
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
