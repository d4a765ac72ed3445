"""The rules that a MONAI bundle must keep, checked without network: structure, metadata, sizes, and what the net does.

The rules are those of the MONAI bundle specification and of the model zoo's contribution guide, restated here; they
check what `verify_net_in_out` does not: the output's spatial size.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch

from med_stylesr.inference.bundle import load_bundle

REQUIRED_FILES: Final = (
    "LICENSE",
    "configs/metadata.json",
    "configs/train.json",
    "configs/inference.json",
    "docs/README.md",
    "docs/data_license.txt",
    "models/model.pt",
)
REQUIRED_METADATA: Final = (
    "schema",
    "version",
    "changelog",
    "monai_version",
    "pytorch_version",
    "numpy_version",
    "required_packages_version",
    "task",
    "description",
    "authors",
    "copyright",
    "intended_use",
    "network_data_format",
)
REQUIRED_FORMAT: Final = (
    "type",
    "format",
    "num_channels",
    "spatial_shape",
    "dtype",
    "value_range",
    "is_patch_data",
    "channel_def",
)
LARGEST_FILE: Final = 25 * 1024 * 1024
"""The model zoo takes larger files through a download list only."""


def bundle_problems(bundle: Path) -> list[str]:
    """Name everything that is wrong with a bundle folder; an empty list means that it keeps all rules.

    Args:
        bundle: folder with LICENSE, configs, docs and models.
    """
    problems = [f"{name} is missing" for name in REQUIRED_FILES if not (bundle / name).is_file()]
    for path in sorted(bundle.rglob("*")):
        if path.is_file() and path.stat().st_size > LARGEST_FILE:
            problems.append(f"{path.relative_to(bundle)} is larger than {LARGEST_FILE // 2**20} MiB")
    if re.fullmatch(r"[a-z0-9_]+", bundle.name) is None:
        problems.append("the folder's name must be lower case letters, digits and underscores")
    metadata_file = bundle / "configs" / "metadata.json"
    if metadata_file.is_file():
        problems += metadata_problems(json.loads(metadata_file.read_text(encoding="utf-8")))
    return problems


def metadata_problems(metadata: Mapping[str, Any]) -> list[str]:
    """Name everything that is wrong with a bundle's metadata."""
    problems = [f"metadata has no {key}" for key in REQUIRED_METADATA if not metadata.get(key)]
    version = str(metadata.get("version", ""))
    if re.fullmatch(r"\d+\.\d+\.\d+", version) is None:
        problems.append(f"version {version!r} is not of the form 1.2.3")
    if version not in metadata.get("changelog", {}):
        problems.append(f"the changelog does not name version {version}")
    formats = metadata.get("network_data_format", {})
    for side in ("inputs", "outputs"):
        if not formats.get(side):
            problems.append(f"network_data_format has no {side}")
        for name, entry in formats.get(side, {}).items():
            problems += [f"{side}#{name} has no {key}" for key in REQUIRED_FORMAT if key not in entry]
            if len(entry.get("channel_def", {})) != entry.get("num_channels"):
                problems.append(f"{side}#{name}: channel_def does not name every channel")
    return problems


def network_problems(bundle: Path) -> list[str]:
    """Run the bundle's network once and name what contradicts its metadata or its scale.

    Args:
        bundle: folder of a complete bundle.
    """
    loaded = load_bundle(bundle, torch.device("cpu"))
    network = loaded.network
    formats = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))["network_data_format"]
    shape = [32, 32] if network.spatial_dims == 2 else [6, 32, 32]
    image = torch.full([1, formats["inputs"]["image"]["num_channels"], *shape], 40.0)
    problems = []
    for scale in network.scales:
        with torch.no_grad():
            pred = network(image, scale=scale)
        wanted = [1, formats["outputs"]["pred"]["num_channels"], *(n * s for n, s in zip(shape, scale, strict=True))]
        if list(pred.shape) != wanted:
            problems.append(f"scale {scale}: output {list(pred.shape)} is not {wanted}")
        if pred.dtype != torch.float32 or not bool(torch.isfinite(pred).all()):
            problems.append(f"scale {scale}: output is not finite float32")
    return problems
