"""What of a run can be refused at once, before anything heavy is imported or a model loaded."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from med_stylesr.errors import UsageError
from med_stylesr.inference.bundle_folder import declared_styles, find_bundle
from med_stylesr.io.publish import check_apart
from med_stylesr.service.manifest import NAME

_STYLE: Final = "name a style of the bundle or a normal-dose scan"


def check_places(
    source: Path, dest: Path, *, resume: bool, overwrite: bool, deidentify: str | None, key_file: Path | None
) -> None:
    """Refuse places that cannot work.

    Raises:
        UsageError: if SOURCE is missing, DEST cannot be used or has results that may not be touched, or the key file
            would be passed on with the output.
    """
    if not source.exists():
        raise UsageError(str(source), "does not exist", "check SOURCE")
    check_apart(source, dest)
    check_writable(dest, "DEST")
    if (dest / NAME).exists() and not (resume or overwrite):
        why = "holds the results of an earlier run"
        raise UsageError(str(dest), why, "use --resume to add to them, --overwrite to replace them, or another DEST")
    if deidentify is None:
        if key_file is not None:
            raise UsageError("--key-file", "only serves --deidentify", "leave it out or name a profile")
        return
    if key_file is None:
        if resume:
            why = "need the key of the earlier run, or one patient would get two pseudonyms"
            raise UsageError("--resume and --deidentify", why, "give --key-file")
        return
    for place, name in ((source, "SOURCE"), (dest, "DEST")):
        if place.resolve() in key_file.resolve().parents:
            raise UsageError(str(key_file), f"the key file lies in {name}", "keep it apart from scans and results")


def check_writable(folder: Path, name: str) -> None:
    """Refuse a folder for results that cannot be made or written to.

    Args:
        folder: the folder; need not exist.
        name: what the command line calls it.

    Raises:
        UsageError: saying which.
    """
    standing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not standing.is_dir():
        raise UsageError(str(folder), f"cannot be made, {standing} is a file", f"choose another {name}")
    if not os.access(standing, os.W_OK | os.X_OK):
        raise UsageError(str(folder), "cannot be written to", f"check the permissions or choose another {name}")


def check_outputs(folder: Path, names: Sequence[str], *, overwrite: bool, option: str = "--out") -> None:
    """Refuse what would fail only after the work: a folder without the right to write, results that may not be touched.

    Args:
        folder: where the files go; need not exist.
        names: of the files.
        overwrite: whether files there may be replaced.
        option: what the command line calls the place.

    Raises:
        UsageError: saying which.
    """
    check_writable(folder, option)
    for name in names:
        place = folder / name
        if place.is_dir():
            # Replacing it would remove all that lies in it.
            raise UsageError(str(place), "is a folder, and a file is to be written there", f"choose another {option}")
        if not overwrite and (place.exists() or place.is_symlink()):
            raise UsageError(str(place), "exists already", f"use --overwrite, or another {option}")


def check_bundle(bundle: str, style: str | None) -> None:
    """Refuse a bundle that is none, and a style that it has not.

    Args:
        bundle: name or folder.
        style: as named by the user; None if it is a scan.

    Raises:
        UsageError: if there is no such bundle or style.
    """
    styles = declared_styles(find_bundle(bundle))
    if style is not None and styles is not None and style not in styles:
        raise UsageError(f"--style {style}", f"this bundle has: {', '.join(styles)}")


def check_multiframe(format: str, transfer_syntax: str) -> None:
    """Refuse what derived series cannot be written as one multi-frame image in.

    Args:
        format: of the results, see `settings.EnhanceSettings`.
        transfer_syntax: one of `io.dicom_write.TRANSFER_SYNTAXES`.

    Raises:
        UsageError: if it is no DICOM, or an encoding without access to single frames.
    """
    # Not at the top: whoever does not ask for it should not wait for numpy and pydicom.
    from med_stylesr.io.dicom_write import TRANSFER_SYNTAXES
    from med_stylesr.io.enhanced_write import refuse_transfer_syntax

    if format not in ("auto", "dicom"):
        why = f"is for DICOM results, and --format {format} asks for other ones"
        raise UsageError("--multiframe", why, "leave one of them out")
    refuse_transfer_syntax(TRANSFER_SYNTAXES[transfer_syntax])


def style_reference(style: str) -> Path | None:
    """The scan that `--style` names, or None if it names a style of the bundle.

    Raises:
        UsageError: if it looks like a path and there is nothing there.
    """
    path = Path(style)
    # Asked of the text: a path forgets that it began with "./".
    if not any(mark in style for mark in (os.sep, os.altsep) if mark) and not path.suffix:
        return None
    if not path.exists():
        raise UsageError(f"--style {style}", "does not exist", _STYLE)
    return path


@contextmanager
def style_named(style: str, reference: Path | None) -> Iterator[None]:
    """Let what is wrong with the scan that `--style` names be told of that option, not of SOURCE.

    Args:
        style: as named by the user.
        reference: see `style_reference`.

    Raises:
        UsageError: if the scan cannot be used; and whatever else the block raises.
    """
    try:
        yield
    except UsageError as error:
        if reference is None or error.args[0] != str(reference):
            raise
        # Whoever reads it does not know which option named it.
        raise UsageError(f"--style {style}", error.why, _STYLE if "SOURCE" in error.todo else error.todo) from error
