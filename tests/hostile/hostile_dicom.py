"""Broken DICOM by kind: each builder fills an empty folder with files that no program should trust."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pydicom
from phantoms import BODY, slice_dataset, stack, write_series
from pydicom.dataset import Dataset
from pydicom.uid import (
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

Builder = Callable[[Path], None]
SAMPLE = Path(__file__).resolve().parents[1] / "data" / "lidc_idri_0001" / "quarter_dose"
SPEC = stack(2, shape=(32, 32))
UNDEFINED = b"\xff\xff\xff\xff"


def phantom(change: Callable[[Dataset], None] | None = None, syntax: str = "") -> bytes:
    """One slice as a file in memory, changed in its header first."""
    dataset = slice_dataset(SPEC, BODY, 0, "hostile")
    if syntax:
        dataset.compress(syntax, generate_instance_uid=False)
    if change:
        change(dataset)
    dataset.preamble = bytes(128)
    file = pydicom.filebase.DicomBytesIO()
    with pydicom.config.disable_value_validation():
        pydicom.dcmwrite(file, dataset, implicit_vr=False, little_endian=True, enforce_file_format=False)
    return bytes(file.getvalue())


def spliced(tag: int, vr: str, value: bytes) -> bytes:
    """One slice whose element has these bytes for a value, whatever they mean; no DICOM library would write it."""
    data = phantom()
    at = 132
    while True:
        group, element, known = struct.unpack_from("<HH2s", data, at)
        if known in (b"OB", b"OW", b"SQ", b"UN", b"UT"):
            end = at + 12 + struct.unpack_from("<L", data, at + 8)[0]
        else:
            end = at + 8 + struct.unpack_from("<H", data, at + 6)[0]
        here = group << 16 | element
        if here >= tag:
            break
        at = end
    wide = vr in ("OB", "SQ", "UN")
    length = b"\0\0" + struct.pack("<L", len(value)) if wide else struct.pack("<H", len(value))
    put = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode()) + length + value
    return data[:at] + put + data[end if here == tag else at :]


def bytes_in_place(tag: int, vr: str, value: bytes) -> Builder:
    return lambda folder: (folder / "0.dcm").write_bytes(spliced(tag, vr, value)) and None


def without(keyword: str) -> Callable[[Dataset], None]:
    return lambda dataset: dataset.pop(keyword, None) and None


def one(data: bytes) -> Builder:
    return lambda folder: (folder / "0.dcm").write_bytes(data) and None


def changed(change: Callable[[Dataset], None]) -> Builder:
    return lambda folder: (folder / "0.dcm").write_bytes(phantom(change)) and None


_TEXTS = {
    "empty": b"",
    "NaN": b"NaN\\nan\\NAN ",
    "infinite": b"inf\\-inf ",
    "overflowing": b"1e400\\1e400 ",
    "words": b"two\\words ",
    "binary": bytes(range(64)),
    "NUL": b"\0\0\0\0",
    "endless": b"1" * 5000 + b" ",
    "of 500 values": b"1\\" * 500,
    "not ASCII": "ひらがな".encode(),
    "minus one": b"-1\\-1 ",
    "zero": b"0\\0 ",
}
_TEXT_TAGS = {
    "PixelSpacing": (0x00280030, "DS"),
    "ImagePositionPatient": (0x00200032, "DS"),
    "ImageOrientationPatient": (0x00200037, "DS"),
    "RescaleSlope": (0x00281053, "DS"),
    "RescaleIntercept": (0x00281052, "DS"),
    "SliceThickness": (0x00180050, "DS"),
    "InstanceNumber": (0x00200013, "IS"),
    "SeriesInstanceUID": (0x0020000E, "UI"),
    "SOPInstanceUID": (0x00080018, "UI"),
    "StudyInstanceUID": (0x0020000D, "UI"),
    "PatientID": (0x00100020, "LO"),
    "PhotometricInterpretation": (0x00280004, "CS"),
    "ImageType": (0x00080008, "CS"),
    "SpecificCharacterSet": (0x00080005, "CS"),
    "WindowCenter": (0x00281050, "DS"),
    "NumberOfFrames": (0x00280008, "IS"),
}
_NUMBER_TAGS = {
    "Rows": 0x00280010,
    "Columns": 0x00280011,
    "BitsAllocated": 0x00280100,
    "BitsStored": 0x00280101,
    "HighBit": 0x00280102,
    "PixelRepresentation": 0x00280103,
    "SamplesPerPixel": 0x00280002,
}
_NUMBERS = {
    "empty": b"",
    "of three bytes": b"\x01\x02\x03",
    "zero": b"\0\0",
    "65535": b"\xff\xff",
    "many": b"\x20\0" * 99,
}


def headers() -> dict[str, Builder]:
    """Every attribute that matters, with every kind of value that it must not have."""
    cases: dict[str, Builder] = {}
    for (name, (tag, vr)), (kind, value) in product(_TEXT_TAGS.items(), _TEXTS.items()):
        cases[f"header {name} {kind}"] = bytes_in_place(tag, vr, value)
    for (name, tag), (kind, value) in product(_NUMBER_TAGS.items(), _NUMBERS.items()):
        cases[f"header {name} {kind}"] = bytes_in_place(tag, "US", value)
    for name, (tag, _) in _TEXT_TAGS.items():
        cases[f"header {name} as bytes"] = bytes_in_place(tag, "OB", b"\1\2\3\4")
        cases[f"header {name} as a sequence"] = bytes_in_place(tag, "SQ", b"\xfe\xff\x00\xe0\0\0\0\0")
        cases[f"header {name} missing"] = changed(without(name))
    for name in (*_NUMBER_TAGS, "SOPClassUID", "Modality", "FrameOfReferenceUID", "PixelData", "RescaleType"):
        cases[f"header {name} missing"] = changed(without(name))
    cases["header of an unknown VR"] = one(phantom().replace(b"\x28\x00\x10\x00US", b"\x28\x00\x10\x00ZZ"))
    cases["header with a value longer than the file"] = one(
        phantom().replace(b"\x10\x00\x10\x00PN\x10\x00", b"\x10\x00\x10\x00PN\xfe\xff")
    )
    cases["header with tags in disorder"] = one(phantom()[:132] + phantom()[400:700] + phantom()[132:])
    cases["meta length too long"] = one(phantom().replace(b"UL\x04\x00", b"UL\x04\x00\xff\xff\xff\x7f", 1))
    cases["transfer syntax unknown"] = one(phantom().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.99999.9.9.9\0"))
    cases["transfer syntax says implicit"] = one(
        phantom().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0\0\0")
    )
    cases["transfer syntax says big endian"] = one(
        phantom().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.2\0")
    )
    return cases


def damaged_samples() -> dict[str, Builder]:
    """A real slice, cut, bent and overwritten in many places."""
    cases: dict[str, Builder] = {}
    whole = (SAMPLE / "0001.dcm").read_bytes()
    start = whole.rindex(b"\xe0\x7f\x10\x00")
    for length in (
        1,
        64,
        127,
        128,
        131,
        132,
        136,
        140,
        180,
        260,
        300,
        330,
        345,
        360,
        380,
        400,
        440,
        500,
        800,
        start - 1,
    ):
        cases[f"real slice cut after {length} bytes"] = one(whole[:length])
    for extra in (0, 1, 4, 8, 12, 13, 20, 100, 1000):
        cases[f"real slice cut {extra} bytes into its pixels"] = one(whole[: start + extra])
    for percent in (10, 50, 90, 99):
        cases[f"real slice cut at {percent} % of its pixels"] = one(
            whole[: start + (len(whole) - start) * percent // 100]
        )
    for seed in range(40):
        chance, bent = random.Random(seed), bytearray(whole)
        end = start if seed % 2 else len(whole)
        for _ in range(chance.choice((1, 3, 30))):
            bent[chance.randrange(128, end)] ^= 1 << chance.randrange(8)
        cases[f"real slice with flipped bits {seed}"] = one(bytes(bent))
    for seed in range(10):
        chance, bent = random.Random(seed), bytearray(whole)
        at = chance.randrange(132, start)
        bent[at : at + chance.randrange(1, 300)] = chance.choice(
            (b"", bytes(200), b"\xff" * 200, chance.randbytes(200))
        )
        cases[f"real slice with a stretch replaced {seed}"] = one(bytes(bent))
    cases["real slice twice in one file"] = one(whole + whole)
    cases["real slice backwards"] = one(whole[::-1])
    cases["real slice without its first half"] = one(whole[len(whole) // 2 :])
    cases["real slice with carriage returns"] = one(whole.replace(b"\n", b"\r\n"))
    cases["real slice read as text"] = one(whole.decode("latin-1").encode("utf-8"))
    cases["real slice behind a mark of byte order"] = one(b"\xef\xbb\xbf" + whole)
    cases["real slices with holes of zeros"] = _with_holes
    return cases


def _with_holes(folder: Path) -> None:
    for number, path in enumerate(sorted(SAMPLE.glob("*.dcm"))[:4]):
        data = bytearray(path.read_bytes())
        data[4096 * number : 4096 * number + 2048] = bytes(2048)
        (folder / path.name).write_bytes(data)


def pixels() -> dict[str, Builder]:
    """Pixel data that are not what the header says, native and compressed."""
    cases: dict[str, Builder] = {}
    native = phantom()
    at = native.rindex(b"\xe0\x7f\x10\x00") + 8
    for name, length in {"zero": 0, "one": 1, "odd": 2047, "of gigabytes": 0x7FFFFFFE, "undefined": 0xFFFFFFFF}.items():
        cases[f"pixels of length {name}"] = one(native[:at] + struct.pack("<L", length) + native[at + 4 :])
    cases["pixels of another VR"] = one(native[: at - 4] + b"UT" + native[at - 2 :])
    cases["pixels in floating point"] = one(native[: at - 8] + b"\xe0\x7f\x08\x00OF" + native[at - 2 :])
    for syntax in (RLELossless, JPEGLSLossless, JPEG2000Lossless):
        whole = phantom(syntax=syntax)
        start = whole.rindex(b"\xe0\x7f\x10\x00")
        for seed in range(5):
            chance, bent = random.Random(seed), bytearray(whole)
            for _ in range(10):
                bent[chance.randrange(start + 12, len(whole))] = chance.randrange(256)
            cases[f"{syntax.name} with bytes overwritten {seed}"] = one(bytes(bent))
        cases[f"{syntax.name} without items"] = one(whole[: start + 12])
        cases[f"{syntax.name} of items without end"] = one(
            whole[: start + 12] + b"\xfe\xff\x00\xe0" + UNDEFINED + bytes(64)
        )
        cases[f"{syntax.name} of an empty item"] = one(whole[: start + 12] + b"\xfe\xff\x00\xe0\0\0\0\0" * 2 + _END)
        cases[f"{syntax.name} of a million empty items"] = one(
            whole[: start + 12] + b"\xfe\xff\x00\xe0\0\0\0\0" * 100_000 + _END
        )
        cases[f"{syntax.name} said to be JPEG lossless"] = one(
            whole.replace(
                str(syntax).encode(), str(JPEGLosslessSV1).encode()[: len(str(syntax))].ljust(len(str(syntax)), b"\0")
            )
        )
        cases[f"{syntax.name} of noise"] = one(
            whole[: start + 12] + _item(b"") + _item(random.Random(1).randbytes(3000)) + _END
        )
    cases["JPEG lossless of noise"] = _claimed(JPEGLosslessSV1, b"\xff\xd8\xff\xc3" + random.Random(2).randbytes(2000))
    cases["JPEG-LS of gigabytes"] = _claimed(JPEGLSLossless, _jpeg_header(0xF7, 65535, 65535))
    cases["JPEG lossless of gigabytes"] = _claimed(JPEGLosslessSV1, _jpeg_header(0xC3, 65535, 65535))
    cases["JPEG 2000 of gigabytes"] = _claimed(
        JPEG2000Lossless,
        b"\xff\x4f\xff\x51" + struct.pack(">HH8LH", 41, 0, 1 << 31, 1 << 31, 0, 0, 1, 1, 0, 0, 1) + bytes(99),
    )
    cases["compressed syntax, native pixels"] = one(
        phantom().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0")
    )
    return cases


_END = b"\xfe\xff\xdd\xe0\0\0\0\0"


def _item(data: bytes) -> bytes:
    data += b"\0" * (len(data) % 2)
    return b"\xfe\xff\x00\xe0" + struct.pack("<L", len(data)) + data


def _jpeg_header(marker: int, rows: int, columns: int) -> bytes:
    return b"\xff\xd8\xff" + bytes([marker]) + struct.pack(">HBHHB", 11, 16, rows, columns, 1) + bytes(40) + b"\xff\xd9"


def _claimed(syntax: str, frame: bytes) -> Builder:
    def change(dataset: Dataset) -> None:
        dataset.compress(RLELossless, generate_instance_uid=False)
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.PixelData = _item(b"") + _item(frame + b"\xff\xd9")

    return changed(change)


def structures() -> dict[str, Builder]:
    """Nesting, deflation and lengths that make parsers recurse, inflate or read for ever."""
    cases: dict[str, Builder] = {}
    whole = phantom()
    at = whole.index(b"\x10\x00\x10\x00PN")
    for tag, name in ((b"\x08\x00\x15\x11", "public"), (b"\x09\x00\x10\x10", "private")):
        opened = tag + b"SQ\0\0" + UNDEFINED + b"\xfe\xff\x00\xe0" + UNDEFINED
        closed = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
        for depth in (30, 900, 20_000):
            cases[f"{depth} {name} sequences in each other"] = one(
                whole[:at] + opened * depth + closed * depth + whole[at:]
            )
        cases[f"{name} sequence that never ends"] = one(whole[:at] + opened * 3 + whole[at:])
        flat = tag + b"SQ\0\0" + UNDEFINED + b"\xfe\xff\x00\xe0\0\0\0\0" * 50_000 + b"\xfe\xff\xdd\xe0\0\0\0\0"
        cases[f"{name} sequence of 50000 items"] = one(whole[:at] + flat + whole[at:])
    meta_end = whole.index(b"\x08\x00\x05\x00CS")
    meta = whole[:meta_end].replace(b"UI\x14\x001.2.840.10008.1.2.1\0", b"UI\x16\x001.2.840.10008.1.2.1.99")
    comment = b"\x10\x00\x00\x40LT\0\0"
    cases["deflated bomb"] = one(
        meta
        + _deflated(b"\x08\x00\x60\x00CS\x02\x00CT" + b"\x09\0\x10\x10OB\0\0" + struct.pack("<L", 1 << 30), 1 << 30)
    )
    cases["deflated noise"] = one(meta + random.Random(3).randbytes(5000))
    cases["deflated nothing"] = one(meta)
    cases["deflated and cut"] = one((meta + _deflated(whole[meta_end:]))[:-200])
    cases["deflated, then more"] = one(meta + _deflated(whole[meta_end:]) + bytes(100))
    cases["comment of a megabyte"] = one(
        whole[:at] + comment[:4] + b"UT\0\0" + struct.pack("<L", 1 << 20) + b"x" * (1 << 20) + whole[at:]
    )
    cases["a hundred thousand private elements"] = one(
        whole[:at]
        + b"".join(struct.pack("<HH2sH", 9, 0x1000 + k % 0xEFFF, b"LO", 0) for k in range(100_000))
        + whole[at:]
    )
    return cases


def _deflated(body: bytes, zeros: int = 0) -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = [deflater.compress(body)]
    chunk = bytes(1 << 20)
    packed += [deflater.compress(chunk) for _ in range(zeros >> 20)]
    return b"".join([*packed, deflater.flush()])


def series() -> dict[str, Builder]:
    """Whole series that cannot be what they say."""

    def written(**header: object) -> Builder:
        return lambda folder: write_series(folder, stack(3, shape=(32, 32)), BODY, **header) and None

    def per_slice(change: Callable[[Dataset, int], None]) -> Builder:
        return lambda folder: write_series(folder, stack(3, shape=(32, 32), per_slice=change), BODY) and None

    def same_uid(dataset: Dataset, k: int) -> None:
        dataset.SOPInstanceUID = "1.2.3"

    def same_place(dataset: Dataset, k: int) -> None:
        dataset.ImagePositionPatient = [0, 0, 0]

    def other_size(dataset: Dataset, k: int) -> None:
        if k == 1:
            dataset.Rows, dataset.PixelData = 16, dataset.PixelData[: 16 * 32 * 2]

    def other_patient(dataset: Dataset, k: int) -> None:
        dataset.PatientID = f"P{k}"

    def far_away(dataset: Dataset, k: int) -> None:
        dataset.ImagePositionPatient = [0, 0, 90_000.0 * k]

    def turned(dataset: Dataset, k: int) -> None:
        dataset.ImageOrientationPatient = [[1, 0, 0, 0, 1, 0], [0, 1, 0, 1, 0, 0], [0, 1, 0, 0, 0, 1]][k]

    def other_slope(dataset: Dataset, k: int) -> None:
        dataset.RescaleSlope = ["1e-5", "9999", "-1"][k]

    return {
        "one SOPInstanceUID for all slices": per_slice(same_uid),
        "all slices at one place": per_slice(same_place),
        "one slice of another size": per_slice(other_size),
        "a patient for every slice": per_slice(other_patient),
        "slices ninety metres apart": per_slice(far_away),
        "every slice turned": per_slice(turned),
        "absurd slopes": per_slice(other_slope),
        "patient with a path for an id": written(PatientID="../../../../tmp/evil"),
        "patient with an absolute path for an id": written(PatientID="/etc/passwd"),
        "patient named like a device": written(PatientID="CON"),
        "patient named with dots": written(PatientID=".."),
        "patient named with control characters": bytes_in_place(0x00100020, "LO", b"a\x1b[31mb\x07\n\r"),
        "series uid with a path": bytes_in_place(0x0020000E, "UI", b"../../../evil\0"),
        "series uid of 5000 characters": bytes_in_place(0x0020000E, "UI", b"1." * 2500),
        "description with escape sequences": bytes_in_place(0x0008103E, "LO", b"\x1b]0;evil\x07\x1b[2J"),
        "one frame of three in a single-frame image": written(NumberOfFrames="3"),
        "magnetic resonance said to be CT": written(SOPClassUID=pydicom.uid.MRImageStorage),
        "enhanced CT without frames": changed(lambda d: setattr(d, "SOPClassUID", pydicom.uid.EnhancedCTImageStorage)),
        "implicit VR without a preamble": lambda folder: _plain(folder, ImplicitVRLittleEndian),
        "big endian without a preamble": lambda folder: _plain(folder, ExplicitVRBigEndian),
    }


def _plain(folder: Path, syntax: str) -> None:
    dataset = slice_dataset(SPEC, BODY, 0, "plain")
    file = pydicom.filebase.DicomBytesIO()
    file.is_little_endian, file.is_implicit_VR = syntax != ExplicitVRBigEndian, syntax == ImplicitVRLittleEndian
    pydicom.filewriter.write_dataset(file, dataset)
    (folder / "0.dcm").write_bytes(file.getvalue()[:-100])


def cases() -> dict[str, Builder]:
    """All of them by name."""
    return {**headers(), **damaged_samples(), **pixels(), **structures(), **series()}


__all__ = ["Builder", "cases"]
