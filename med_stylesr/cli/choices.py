"""What options may be set to, where the choice is among names."""

from __future__ import annotations

from enum import Enum


class RuntimeName(str, Enum):
    """What runs the networks."""

    auto = "auto"
    torch = "torch"
    openvino = "openvino"
    onnx = "onnx"


class Precision(str, Enum):
    """Of the networks' convolutions."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"
    int8 = "int8"


class Format(str, Enum):
    """Output formats."""

    auto = "auto"
    dicom = "dicom"
    nifti = "nifti"
    nrrd = "nrrd"


class TransferSyntax(str, Enum):
    """Encodings of DICOM results, all without loss."""

    uncompressed = "uncompressed"
    deflated = "deflated"
    rle = "rle"
    jpeg_ls = "jpeg-ls"
    jpeg_2000 = "jpeg-2000"
