"""The marks of a de-identified object: what was done, in attributes and in codes of CID 7050 (PS3.15 E.1.1)."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from med_stylesr.deid.codes import code_item
from med_stylesr.deid.elements import Element, padded
from med_stylesr.deid.pixels import CleanedPixels
from med_stylesr.deid.profile import Profile
from med_stylesr.deid.table import BASIC_PROFILE_CODE, OPTIONS, ps315


def marks(
    profile: Profile, pixels: CleanedPixels, image: bool
) -> Iterator[tuple[int, str, bytes | list[list[Element]]]]:
    """(tag, VR, encoded value or items) of every mark.

    Args:
        profile: what was applied.
        pixels: what was found in and done to the pixels.
        image: whether the object has pixels at all.
    """
    yield 0x00120062, "CS", b"YES "
    lines = [f"med-stylesr {_version()}", f"profile {profile.name}", f"PS3.15 {ps315()['source']['edition']}"]
    yield 0x00120063, "LO", padded("\\".join(lines).encode("ascii"), "LO")
    yield 0x00120064, "SQ", [code_item((code, "DCM", meaning)) for code, meaning in applied_codes(profile, pixels)]
    yield 0x00280303, "CS", padded(_dates_mark(profile).encode("ascii"), "CS")
    if image and pixels.checked:
        yield 0x00280301, "CS", b"NO"
    if image and pixels.face is not None:
        yield 0x00280302, "CS", padded(b"YES" if pixels.face else b"NO", "CS")


def applied_codes(profile: Profile, pixels: CleanedPixels) -> list[tuple[str, str]]:
    """Codes and meanings of the basic profile and of the options that were really applied to this object."""
    done = set(profile.options)
    if not pixels.checked:
        done.discard("clean_pixel_data")
    if pixels.face is None or pixels.face:
        done.discard("clean_recognizable_visual_features")
    return [BASIC_PROFILE_CODE, *(OPTIONS[option] for option in sorted(done))]


def _dates_mark(profile: Profile) -> str:
    if "retain_longitudinal_full_dates" in profile.options:
        return "UNMODIFIED"
    return "MODIFIED" if "retain_longitudinal_modified_dates" in profile.options else "REMOVED"


def _version() -> str:
    try:
        return version("med-stylesr")
    except PackageNotFoundError:
        return "unreleased"
