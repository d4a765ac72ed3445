"""Is everything there that the program needs? One line a check, with what to do where something is missing."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_CORE: Final = ("torch", "monai", "numpy", "scipy", "nibabel", "pydicom", "SimpleITK")
_CODECS: Final = {
    "JPEG-LS": "pyjpegls",
    "JPEG 2000": "pylibjpeg-openjpeg",
    "JPEG lossless": "python-gdcm",
}
_EXTRAS: Final = {
    "report": ("matplotlib", "jinja2", "scikit-image"),
    "train": ("pytorch-ignite", "fire", "tensorboard"),
    "openvino": ("openvino",),
    "onnx": ("onnxruntime",),
    "pacs": ("pynetdicom", "dicomweb-client"),
}


@dataclass(frozen=True)
class Finding:
    """One check.

    Attributes:
        name: what was looked at.
        good: whether it is as it should be; None for something optional that is absent.
        told: what was found, and what to do.
    """

    name: str
    good: bool | None
    told: str


def examine() -> Iterator[Finding]:
    """All checks, cheap ones first."""
    yield Finding("Python", sys.version_info >= (3, 10), f"{platform.python_version()} on {platform.platform()}")
    for package in _CORE:
        version = _version(package)
        yield Finding(package, version is not None, version or "not installed: reinstall med-stylesr")
    for codec, package in _CODECS.items():
        version = _version(package)
        yield Finding(codec, version is not None, f"{package} {version}" if version else f"pip install {package}")
    for extra, packages in _EXTRAS.items():
        missing = [package for package in packages if _version(package) is None]
        told = f"not installed: pip install 'med-stylesr[{extra}]'" if missing else "installed"
        yield Finding(f"extra {extra}", None if missing else True, told)
    yield from _devices()
    yield from _bundles()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _devices() -> Iterator[Finding]:
    import torch

    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    yield Finding("CPU", True, f"{torch.get_num_threads()} threads")
    yield Finding("CUDA", True if names else None, ", ".join(names) or "no device; the CPU does the work")


def _bundles() -> Iterator[Finding]:
    import torch

    from med_stylesr.errors import UsageError
    from med_stylesr.inference.bundle import load_bundle
    from med_stylesr.inference.bundle_folder import BUNDLE_2D, BUNDLE_3D

    for name in (BUNDLE_2D, BUNDLE_3D):
        try:
            bundle = load_bundle(name, torch.device("cpu"))
        except UsageError as error:
            yield Finding(name, False, str(error))
            continue
        scales = ", ".join("x".join(map(str, scale)) for scale in bundle.network.scales)
        told = f"version {bundle.version}, styles {', '.join(bundle.network.style_names)}, scales {scales}"
        yield Finding(name, True, f"{told}, weights {bundle.weights_sha256[:12]}")
