"""Frame Anatomy of Enhanced CT: the coded region that a word of a single-frame header stands for."""

from __future__ import annotations

from typing import Final

from pydicom.dataset import Dataset

from med_stylesr.io.attributes import word
from med_stylesr.io.derivation import Code

_REGIONS: Final = {
    "ABDOMEN": ("818981001", "Abdomen"),
    "ABDOMENPELVIS": ("818982008", "Abdomen and Pelvis"),
    "BRAIN": ("12738006", "Brain"),
    "BREAST": ("76752008", "Breast"),
    "CHEST": ("816094009", "Chest"),
    "CHESTABDOMEN": ("416550000", "Chest and Abdomen"),
    "CHESTABDPELVIS": ("416775004", "Chest, Abdomen and Pelvis"),
    "COLON": ("71854001", "Colon"),
    "CSPINE": ("122494005", "Cervical spine"),
    "EXTREMITY": ("66019005", "Extremity"),
    "FOOT": ("56459004", "Foot"),
    "HAND": ("85562004", "Hand"),
    "HEAD": ("69536005", "Head"),
    "HEADNECK": ("774007", "Head and Neck"),
    "HEART": ("80891009", "Heart"),
    "HIP": ("29836001", "Hip"),
    "KIDNEY": ("64033007", "Kidney"),
    "KNEE": ("72696002", "Knee"),
    "LIVER": ("10200004", "Liver"),
    "LSPINE": ("122496007", "Lumbar spine"),
    "NECK": ("45048000", "Neck"),
    "NECKCHEST": ("417437006", "Neck and Chest"),
    "NECKCHESTABDOMEN": ("416152001", "Neck, Chest and Abdomen"),
    "NECKCHESTABDPELV": ("416319003", "Neck, Chest, Abdomen and Pelvis"),
    "PANCREAS": ("15776009", "Pancreas"),
    "PELVIS": ("816092008", "Pelvis"),
    "PHANTOM": ("706342009", "Phantom"),
    "SHOULDER": ("16982005", "Shoulder"),
    "SKULL": ("89546000", "Skull"),
    "SPINE": ("421060004", "Spine"),
    "TSPINE": ("122495006", "Thoracic spine"),
    "WHOLEBODY": ("38266002", "Entire body"),
}
"""BodyPartExamined (PS3.16 Annex L) to SNOMED CT codes of CID 4030."""
_SOMEWHERE: Final = ("91723000", "Anatomical Structure")
"""For scans that do not say what they show."""
_SIDES: Final = ("R", "L", "U", "B")


def anatomy(header: Dataset) -> Dataset:
    """Frame Anatomy (PS3.3 C.7.6.16.2.8) of a single-frame header; both of its attributes are asked for.

    A region that the header does not tell is an anatomical structure, a side that it does not tell is U (unpaired),
    which is what the regions of CT are, extremities apart.
    """
    item = Dataset()
    side = word(header, "ImageLaterality") or word(header, "Laterality")
    item.FrameLaterality = side if side in _SIDES else "U"
    if header.get("AnatomicRegionSequence"):
        item.AnatomicRegionSequence = header.AnatomicRegionSequence
        return item
    named = "".join(c for c in word(header, "BodyPartExamined").upper() if c.isalpha())
    value, meaning = _REGIONS.get(named, _SOMEWHERE)
    item.AnatomicRegionSequence = [Code(value, "SCT", meaning).dataset()]
    return item
