"""The hook that every writing path calls: harvest all headers first, then clean each object before it is written."""

from __future__ import annotations

import copy
import zlib
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import correct_ambiguous_vr
from pydicom.tag import Tag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from med_stylesr.deid.cleaner import DatasetCleaner
from med_stylesr.deid.context import Context, Counts
from med_stylesr.deid.elements import DEFAULT_ENCODINGS, Element, encode, encode_items, padded
from med_stylesr.deid.harvest import Harvest
from med_stylesr.deid.keys import SecretKey
from med_stylesr.deid.marks import marks
from med_stylesr.deid.matching import Matcher
from med_stylesr.deid.pixels import clean_pixels
from med_stylesr.deid.profile import Profile
from med_stylesr.deid.table import iods_by_sop_class, plain_words
from med_stylesr.deid.values import PSEUDONYMS, ValueCleaner
from med_stylesr.errors import InputError

IMPLEMENTATION_UID: Final = "2.25.161803398874989484820458683436563811"
LATERALITY: Final = 0x00200060
BODY_PART: Final = 0x00180015
IMPLEMENTATION_NAME: Final = "MEDSTYLESR_DEID"


@dataclass
class Cleaned:
    """One cleaned object: elements in bytes, and how they are to be encoded."""

    elements: list[Element]
    implicit_vr: bool
    little_endian: bool
    transfer_syntax: str
    sop_class: str
    sop_instance: str
    series: str
    patient: str

    def dataset(self) -> Dataset:
        """The object as a pydicom data set with file meta information of its own."""
        dataset = Dataset(
            {
                Tag(e.tag): RawDataElement(
                    Tag(e.tag),
                    None if self.implicit_vr else e.vr,
                    0xFFFFFFFF if e.undefined_length else len(e.value),
                    e.value,
                    0,
                    self.implicit_vr,
                    self.little_endian,
                )
                for e in sorted(self.elements)
            }
        )
        dataset.set_original_encoding(self.implicit_vr, self.little_endian, dataset.get("SpecificCharacterSet", None))
        meta = FileMetaDataset()
        for keyword, value in self._meta().items():
            setattr(meta, keyword, value)
        dataset.file_meta = meta
        dataset.preamble = bytes(128)
        return dataset

    def file(self) -> bytes:
        """The object as a DICOM file: empty preamble, file meta information written anew (PS3.10 section 7.1)."""
        meta = self._meta()
        numbers = {
            "MediaStorageSOPClassUID": 0x00020002,
            "MediaStorageSOPInstanceUID": 0x00020003,
            "TransferSyntaxUID": 0x00020010,
            "ImplementationClassUID": 0x00020012,
        }
        elements = [Element(0x00020001, "OB", b"\0\1")]
        elements += [Element(tag, "UI", padded(meta[name].encode("ascii"), "UI")) for name, tag in numbers.items()]
        elements.append(Element(0x00020013, "SH", padded(IMPLEMENTATION_NAME.encode("ascii"), "SH")))
        body = encode(elements, False, True)
        length = encode([Element(0x00020000, "UL", len(body).to_bytes(4, "little"))], False, True)
        content = encode(self.elements, self.implicit_vr, self.little_endian)
        if self.transfer_syntax == DeflatedExplicitVRLittleEndian:
            deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
            content = padded(deflater.compress(content) + deflater.flush(), "OB")
        return b"".join((bytes(128), b"DICM", length, body, content))

    def _meta(self) -> dict[str, str]:
        return {
            "MediaStorageSOPClassUID": self.sop_class,
            "MediaStorageSOPInstanceUID": self.sop_instance,
            "TransferSyntaxUID": self.transfer_syntax,
            "ImplementationClassUID": IMPLEMENTATION_UID,
            "ImplementationVersionName": IMPLEMENTATION_NAME,
        }


class Deidentifier:
    """Cleans DICOM objects under one profile and key.

    Call `harvest` for every source header of the study first, then `apply` for every object to be written. It can be
    pickled: send it to worker processes after the harvest, and `absorb` their audits.

    Args:
        profile: what to do.
        key: the secret that pseudonyms, UIDs and date offsets come from.
    """

    def __init__(self, profile: Profile, key: SecretKey) -> None:
        self.profile = profile
        self.key = key
        self.harvested = Harvest()
        self.counts: Counts = Counter()
        self._cleaner: DatasetCleaner | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without memories of cleaned values and without counts, which belong to the process."""
        return {**self.__dict__, "_cleaner": None, "counts": Counter()}

    def __repr__(self) -> str:
        return f"Deidentifier({self.profile.name!r}, {self.harvested!r})"

    def harvest(self, dataset: Dataset) -> None:
        """Collect the identifiers of a source header; the data set is not changed."""
        self.harvested.add(dataset, self.profile.options)
        self._cleaner = None

    def adopt(self, harvested: Harvest) -> None:
        """Take in what was harvested elsewhere."""
        self.harvested.merge(harvested)
        self._cleaner = None

    def absorb(self, counts: Counts) -> None:
        """Add the counts of a worker process."""
        self.counts.update(counts)

    def apply(self, dataset: Dataset, *, derived: bool = False) -> Dataset:
        """A cleaned copy of an object, ready to be written; `dataset` is not changed.

        Args:
            dataset: a whole object, read from a file or made in memory.
            derived: made by this program, so that its own descriptions stay; they are still searched.

        Raises:
            InputError: if the object cannot be cleaned and must not be written.
        """
        return self.clean(dataset, derived=derived).dataset()

    def clean(self, dataset: Dataset, *, derived: bool = False) -> Cleaned:
        """As `apply`, but as encoded elements, which are quickest to write."""
        try:
            return self._clean(dataset, derived)
        except (InputError, MemoryError):
            raise
        except Exception as error:
            # Values of a malformed object can break any reader; what they say must not get into the message.
            raise InputError("DICOM object", f"is malformed ({type(error).__name__})") from error

    def _clean(self, dataset: Dataset, derived: bool) -> Cleaned:
        sop_class = str(dataset.get("SOPClassUID", ""))
        iod = iods_by_sop_class().get(sop_class)
        if iod is None:
            name = UID(sop_class).name if sop_class else "none"
            shown = name if name != sop_class else "a private one"
            raise InputError("SOP class", f"{shown}: no rules are known for such objects, so it was not copied")
        syntax = _transfer_syntax(dataset)
        implicit, little = syntax.is_implicit_VR, syntax.is_little_endian
        read_as = dataset.original_encoding
        if read_as[0] is None or read_as[0] != implicit or read_as[1] != little:
            dataset = correct_ambiguous_vr(copy.copy(dataset), little)
        patient = patient_of(dataset)
        days = self.key.day_offset(patient, self.profile.max_shift_days, self.profile.whole_weeks)
        context = Context(iod, implicit, little, DEFAULT_ENCODINGS, patient, days, derived=derived)
        cleaner = self._cleaner_now()
        elements = cleaner.walk(dataset, context, self.counts)
        pixels = clean_pixels(dataset, syntax, self.profile, cleaner.values, self.counts, derived=derived)
        elements += pixels.elements
        written = {e.tag for e in elements}
        for tag, vr, value in marks(self.profile, pixels, bool(pixels.elements)):
            if isinstance(value, list):
                coded = encode_items(value, implicit, little)
                elements.append(Element(tag, vr, coded))
            elif tag not in written:
                elements.append(Element(tag, vr, value))
        if iod.needs_presence(LATERALITY, True) and not written & {LATERALITY, BODY_PART}:
            # Without a body part the side is unknown, which PS3.3 C.7.3.1 has told by an empty value.
            elements.append(Element(LATERALITY, "CS", b""))
        uid = cleaner.values.uid
        return Cleaned(
            elements,
            implicit,
            little,
            str(pixels.transfer_syntax),
            sop_class,
            uid(str(dataset.get("SOPInstanceUID", ""))),
            uid(str(dataset.get("SeriesInstanceUID", ""))),
            self.patient_folder(dataset),
        )

    def patient_folder(self, dataset: Dataset) -> str:
        """Name of the folder for a patient: the pseudonym, the same in every run with the same key."""
        return self.key.pseudonym("patient", patient_of(dataset), "P", 16)

    def safe_name(self, name: str, prefix: str = "V") -> str:
        """A name for a file or folder that tells nothing of the original one."""
        return self.key.pseudonym("name", name, prefix, 16)

    def new_uid(self, original: str) -> str:
        """What stands for a UID in everything this object cleans."""
        return self._cleaner_now().values.uid(original)

    def new_identifiers(self, dataset: Dataset) -> dict[str, str]:
        """New values of the identifying attributes of an object, as `apply` gives them."""
        new = {
            k: self.new_uid(str(dataset.get(k, "")))
            for k in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
        }
        for keyword, tag in (("PatientID", 0x00100020), ("AccessionNumber", 0x00080050), ("StudyID", 0x00200010)):
            purpose, prefix = PSEUDONYMS[tag]
            new[keyword] = self.key.pseudonym(purpose, str(dataset.get(keyword, "")).strip(), prefix, 16)
        return new

    def _cleaner_now(self) -> DatasetCleaner:
        if self._cleaner is None:
            matcher = Matcher(self.harvested.identifiers, plain_words())
            self._cleaner = DatasetCleaner(ValueCleaner(self.profile, self.key, matcher))
        return self._cleaner


def patient_of(dataset: Dataset) -> str:
    """The original identifier that dates and pseudonyms hang on: the patient ID, else the study's UID."""
    return str(dataset.get("PatientID", "") or "").strip() or str(dataset.get("StudyInstanceUID", ""))


def _transfer_syntax(dataset: Dataset) -> UID:
    meta = getattr(dataset, "file_meta", None)
    syntax = UID(str(meta.get("TransferSyntaxUID", ""))) if meta is not None else UID("")
    if not syntax:
        return ExplicitVRLittleEndian
    if syntax.is_private or not syntax.is_transfer_syntax:
        raise InputError("TransferSyntaxUID", "is none of the standard's, so the pixels cannot be checked")
    return syntax
