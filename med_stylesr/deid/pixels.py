"""Pixels: what may hold text is refused or blacked out, everything else is passed on bit for bit.

Reconstructed slices are checked for burned-in text; screens and secondary captures need known regions or OCR. Unused
bits, bytes behind the last pixel, comments in compressed frames and icons are hiding places too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from med_stylesr.deid import ocr, visual
from med_stylesr.deid.cleaner import OVERLAY_GROUPS
from med_stylesr.deid.context import Counts
from med_stylesr.deid.elements import PIXEL_DATA, Element, dictionary_vrs, raw_value
from med_stylesr.deid.frames import Frames, encapsulated_frames, reencapsulated
from med_stylesr.deid.profile import Profile, Region
from med_stylesr.deid.textmarks import Box, black_out, text_boxes
from med_stylesr.deid.values import ValueCleaner
from med_stylesr.errors import InputError

RECONSTRUCTIONS: Final = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2",
        "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.4",
        "1.2.840.10008.5.1.4.1.1.128", "1.2.840.10008.5.1.4.1.1.130", "1.2.840.10008.5.1.4.1.1.128.1",
        "1.2.840.10008.5.1.4.1.1.481.2", "1.2.840.10008.5.1.4.1.1.30",
    }
)  # fmt: skip
"""Images computed by a scanner: CT, MR, PET, RT dose, parametric maps; text in them is the exception."""
LABELS: Final = frozenset({"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"})
_SCREENS: Final = ("SCREEN SAVE", "SCREEN_SAVE", "SCREENSAVE", "SCREENSHOT", "PROTOCOL", "DOSE REPORT", "DOSE_INFO")
_FLOAT_PIXELS: Final = (0x7FE00008, 0x7FE00009)


@dataclass
class CleanedPixels:
    """Pixel elements to write, and what is known about them.

    Attributes:
        elements: what to write.
        transfer_syntax: of the output; differs from the source's when compressed pixels had to be changed.
        checked: whether the pixels were searched for text and none is left.
        blacked_out: whether pixels were changed because of text.
        face: whether a face can be recognised, or None when that was not asked.
    """

    transfer_syntax: UID
    elements: list[Element] = field(default_factory=list)
    checked: bool = False
    blacked_out: bool = False
    face: bool | None = None


def clean_pixels(
    dataset: Dataset, syntax: UID, profile: Profile, values: ValueCleaner, counts: Counts, *, derived: bool
) -> CleanedPixels:
    """Check, and if the profile says so clean, the pixels of an object.

    Args:
        dataset: the source object.
        syntax: its transfer syntax.
        profile: what to do with text and faces.
        values: knows the identifiers to look for in bytes.
        counts: what was done, added to.
        derived: the pixels were computed by this program from a reconstruction.

    Raises:
        InputError: if the pixels hold or may hold text and the profile refuses that, or they cannot be read.
    """
    cleaned = CleanedPixels(syntax)
    for tag in _FLOAT_PIXELS:
        if tag in dataset:
            value = raw_value(_item(dataset, tag), syntax.is_little_endian, ("ascii",))
            cleaned.elements.append(Element(tag, dictionary_vrs(tag)[0], value))
    if PIXEL_DATA not in dataset:
        return cleaned
    frames = Frames.of(dataset, syntax)
    risk = None if derived else risk_of_text(dataset)
    if values.hides_text(frames.native) if frames.native is not None else False:
        raise InputError("pixel data", "bytes of the pixels spell an identifier")
    # First of all: what stands in unused bits would hide text in the others from the search.
    changed = frames.clear_unused_bits(_overlay_in_pixels(dataset))
    if risk is not None:
        _clean_risky(dataset, frames, profile, risk)
        changed = cleaned.blacked_out = cleaned.checked = True
    elif str(dataset.get("SOPClassUID", "")) not in LABELS:
        cleaned.blacked_out = _clean_reconstruction(frames, profile)
        changed, cleaned.checked = changed or cleaned.blacked_out, True
    if profile.heads != "ignore" and not derived:
        cleaned.face = visual.shows_head(dataset, frames)
        if cleaned.face and profile.heads == "refuse":
            raise InputError("pixel data", "the scan shows a head, and the profile refuses recognisable faces")
        if cleaned.face:
            visual.deface(dataset, frames)
            changed, cleaned.face = True, False
    if changed and syntax.is_encapsulated:
        cleaned.transfer_syntax = ExplicitVRLittleEndian
    counts[PIXEL_DATA, "clean" if changed else "keep", "pixels"] += 1
    cleaned.elements.append(_encoded(dataset, frames, syntax, changed))
    return cleaned


def risk_of_text(dataset: Dataset) -> str | None:
    """Why the pixels of an object must be expected to hold text, or None for a reconstruction."""
    sop_class = str(dataset.get("SOPClassUID", ""))
    if str(dataset.get("BurnedInAnnotation", "")).strip().upper() == "YES":
        return "it says that text is burned in"
    kinds = [str(k).strip().upper() for k in _values(dataset, "ImageType")]
    if any(screen in kind for kind in kinds for screen in _SCREENS):
        return "it is a screen save"
    if "ConversionType" in dataset or str(dataset.get("Modality", "")) in ("SC", "OT"):
        return "it is a secondary capture"
    if sop_class not in RECONSTRUCTIONS | LABELS:
        return "such images often have text burned in"
    if int(dataset.get("SamplesPerPixel", 1) or 1) != 1:
        return "it is in colour"
    return None


def _clean_risky(dataset: Dataset, frames: Frames, profile: Profile, risk: str) -> None:
    """Black out known regions and what OCR or the text detector finds; refuse when that is not enough."""
    if profile.burned_in == "refuse":
        raise InputError("pixel data", f"{risk}, and the profile refuses it")
    regions = [r for r in profile.regions if _region_fits(r, dataset)]
    if not regions and not ocr.available():
        raise InputError("pixel data", f"{risk}, no region rule fits and tesseract is not installed")
    for index in range(frames.number):
        frame = frames.writable(index)
        black_out(frame, [_box(r, frame.shape) for r in regions], frames.darkest)
        black_out(frame, _all_text(frame), frames.darkest)
        if _all_text(frame):
            raise InputError("pixel data", f"{risk}, and text is left after blacking out")


def _all_text(frame: NDArray[Any]) -> list[Box]:
    grey = frame.max(axis=-1) if frame.ndim == 3 else frame
    return [*text_boxes(grey), *(ocr.text_boxes(grey) if ocr.available() else [])]


def _clean_reconstruction(frames: Frames, profile: Profile) -> bool:
    changed = False
    for index in range(frames.number):
        boxes = text_boxes(frames.read(index))
        if not boxes:
            continue
        if profile.burned_in == "refuse":
            raise InputError("pixel data", "text seems to be burned in, and the profile refuses it")
        frame = frames.writable(index)
        black_out(frame, boxes, frames.darkest)
        if text_boxes(frame):
            raise InputError("pixel data", "text is left after blacking out")
        changed = True
    return changed


def _region_fits(region: Region, dataset: Dataset) -> bool:
    return (
        (region.modality is None or region.modality == str(dataset.get("Modality", "")))
        and (region.manufacturer is None or bool(region.manufacturer.search(str(dataset.get("Manufacturer", "")))))
        and (region.model is None or bool(region.model.search(str(dataset.get("ManufacturerModelName", "")))))
    )


def _box(region: Region, shape: tuple[int, ...]) -> Box:
    def bound(number: int, size: int) -> int:
        return max(0, min(size, number + size if number < 0 else number))

    (top, bottom), (left, right) = region.rows, region.columns
    return bound(top, shape[0]), bound(bottom, shape[0]), bound(left, shape[1]), bound(right, shape[1])


def _encoded(dataset: Dataset, frames: Frames, syntax: UID, changed: bool) -> Element:
    source = _item(dataset, PIXEL_DATA)
    if changed or not syntax.is_encapsulated:
        vr = source.VR if source.VR in ("OB", "OW") and not syntax.is_encapsulated else "OW"
        return Element(PIXEL_DATA, vr, frames.encoded(changed))
    value = raw_value(source, True, ("ascii",))
    return Element(PIXEL_DATA, "OB", reencapsulated(value, encapsulated_frames(value), frames, syntax), True)


def _overlay_in_pixels(dataset: Dataset) -> bool:
    """Whether an overlay says that its bits are kept in unused bits of the pixels."""
    return any((g, 0x0102) in dataset and bool(dataset[g, 0x0102].value) for g in OVERLAY_GROUPS[::2])


def _item(dataset: Dataset, tag: int) -> Any:
    return dataset.get_item(tag)


def _values(dataset: Dataset, keyword: str) -> list[Any]:
    value = dataset.get(keyword)
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)
