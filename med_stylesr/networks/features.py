"""Feature extractors for perceptual and style losses: a small encoder trained on CT, or VGG19 from a local file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from med_stylesr.errors import InputError
from med_stylesr.hu import Window
from med_stylesr.networks.convolution import convolution
from med_stylesr.networks.state_file import read_state


class CTEncoder(nn.Module):
    """Plain strided encoder of windowed CT; every level gives one feature map.

    Args:
        spatial_dims: 2 or 3.
        features: channels per level; every level but the first halves in plane.
        window: (centre, width) in HU that the encoder sees, clipped.
    """

    def __init__(self, spatial_dims: int, features: Sequence[int], window: Sequence[float]) -> None:
        super().__init__()
        self.window = Window(window[0], window[1])
        step = [1] * (spatial_dims - 2) + [2, 2]
        levels, inputs = [], 1
        for level, channels in enumerate(features):
            stride = step if level else [1] * spatial_dims
            levels.append(
                nn.Sequential(
                    convolution(spatial_dims, inputs, channels, 3, stride=stride),
                    nn.ReLU(),
                    convolution(spatial_dims, channels, channels, 3),
                    nn.ReLU(),
                )
            )
            inputs = channels
        self.levels = nn.ModuleList(levels)

    def forward(self, hu: Tensor) -> list[Tensor]:
        """Return one feature map per level of an HU image (B, 1, …)."""
        x = (hu - self.window.low) / self.window.width
        x = x.clamp(0, 1)
        if x.dim() == 4:
            # Dense convolutions run near the CPU's peak in this layout only.
            x = x.contiguous(memory_format=torch.channels_last)
        maps = []
        for level in self.levels:
            x = level(x)
            maps.append(x)
        return maps


class CTAutoencoder(nn.Module):
    """The encoder with a decoder that restores what was hidden from it: how the encoder is trained, without labels.

    In training a share of square cells is painted over with the window's lower end, and the whole image has to come
    back, noise included. The features then come from CT itself (the idea of SACNN, doi 10.1109/TMI.2020.2968472; hidden
    cells as in masked autoencoders, arXiv 2111.06377), not from photographs.

    Args:
        spatial_dims: 2 or 3.
        features: see `CTEncoder`.
        window: see `CTEncoder`.
        hidden_share: share of the cells that is hidden in training, 0 … 1.
        cell: edge of a cell in pixels, in plane.
    """

    def __init__(
        self,
        spatial_dims: int,
        features: Sequence[int],
        window: Sequence[float],
        hidden_share: float,
        cell: int,
    ) -> None:
        super().__init__()
        self.encoder = CTEncoder(spatial_dims, features, window)
        self.hidden_share, self.cell = hidden_share, cell
        self.head = convolution(spatial_dims, features[-1], features[-1], 1)
        self.mode = "bilinear" if spatial_dims == 2 else "trilinear"
        self.merges = nn.ModuleList(
            convolution(spatial_dims, low, high, 3) for low, high in zip(features[:0:-1], features[-2::-1], strict=True)
        )
        self.tail = convolution(spatial_dims, features[0], 1, 3)

    def forward(self, hu: Tensor) -> Tensor:
        """Return the restored image in HU; there are no skip connections, so the last features must carry it all."""
        maps = self.encoder(self._hidden(hu) if self.training else hu)
        x = self.head(maps[-1])
        for merge, finer in zip(self.merges, maps[-2::-1], strict=True):
            x = F.relu(merge(F.interpolate(x, size=finer.shape[2:], mode=self.mode, align_corners=False)))
        return self.tail(x).float() * self.encoder.window.width + self.encoder.window.low

    def _hidden(self, hu: Tensor) -> Tensor:
        """Paint over random cells, through all slices of a slab."""
        rows, columns = (-(-n // self.cell) for n in hu.shape[-2:])
        chosen = torch.rand(len(hu), 1, rows, columns, device=hu.device) < self.hidden_share
        mask = chosen.repeat_interleave(self.cell, -2).repeat_interleave(self.cell, -1)
        mask = mask[..., : hu.shape[-2], : hu.shape[-1]]
        return hu.masked_fill(mask if hu.dim() == 4 else mask[:, :, None], self.encoder.window.low)


def trained_encoder(path: str, spatial_dims: int, features: Sequence[int], window: Sequence[float]) -> CTEncoder:
    """Return the encoder of a `CTAutoencoder` trained by `configs/encoder.json`.

    Args:
        path: state dict of the autoencoder, or of its part `encoder.` alone.
        spatial_dims: as in training.
        features: as in training.
        window: as in training.

    Raises:
        InputError: if the file is missing or does not fit.
    """
    network = CTEncoder(spatial_dims, features, window)
    state = _state(path, _TRAIN_ONE)
    _fit(network, {k.removeprefix(_PART): v for k, v in state.items() if k.startswith(_PART)}, path, _TRAIN_ONE)
    return network


class SliceFeatures(nn.Module):
    """A 2D extractor that also takes slabs, slice by slice.

    Args:
        extractor: from HU (B, 1, H, W) to feature maps (B, C, h, w).
    """

    def __init__(self, extractor: nn.Module) -> None:
        super().__init__()
        self.extractor = extractor

    def forward(self, hu: Tensor) -> list[Tensor]:
        """Return feature maps (B, C, h, w) of slices (B, 1, H, W), or (B, C, D, h, w) of slabs (B, 1, D, H, W)."""
        if hu.dim() == 4:
            return list(self.extractor(hu))
        slices, depth = hu.transpose(1, 2).flatten(0, 1), hu.shape[2]
        return [maps.unflatten(0, (len(hu), depth)).transpose(1, 2) for maps in self.extractor(slices)]


def shipped_encoder() -> SliceFeatures:
    """Return the CT encoder that comes with the package, for slices and slabs; its card is `ct_encoder.json`.

    Raises:
        InputError: if the installation lacks it or it is damaged.
    """
    folder = files("med_stylesr.networks")
    with as_file(folder / "ct_encoder.pt") as path:
        card = json.loads((folder / "ct_encoder.json").read_text(encoding="utf-8"))
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() != card["sha256"]:
            raise InputError(str(path), "is not the file that its card describes", "install the package again")
        encoder = trained_encoder(str(path), 2, card["features"], card["window"])
    return SliceFeatures(encoder)


class VGG19Features(nn.Module):
    """VGG19's first convolutions as a feature extractor, from a local weights file with torchvision's keys.

    Works with torchvision's `vgg19` state dict and with RadImageNet weights converted to it. Nothing is downloaded.

    Args:
        path: state dict with keys `features.<n>.weight`, `features.<n>.bias`.
        layers: numbers n of the layers after whose ReLU a feature map is taken, for example (2, 7, 16).
        window: (centre, width) in HU mapped to [0, 1] before ImageNet's normalisation.

    Raises:
        InputError: if the file is missing or does not fit.

    Source: Simonyan, Zisserman 2015, arXiv 1409.1556; Mei et al. 2022 (RadImageNet), doi 10.1148/ryai.210315.
    """

    # Output channels of the convolutions, "M" for max pooling (configuration E of the paper).
    _PLAN = (64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M", 512, 512, 512, 512, "M", 512, 512, 512, 512, "M")
    mean: Tensor
    deviation: Tensor

    def __init__(self, path: str, layers: Sequence[int], window: Sequence[float]) -> None:
        super().__init__()
        stack: list[nn.Module] = []
        inputs = 3
        for entry in self._PLAN:
            if isinstance(entry, int):
                stack += [nn.Conv2d(inputs, entry, 3, padding=1), nn.ReLU()]
                inputs = entry
            else:
                stack.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*stack[: max(layers) + 2])
        self.layers, self.window = set(layers), Window(window[0], window[1])
        todo = "give a VGG19 state dict with torchvision's keys"
        wanted = self.state_dict()
        _fit(self, {k: v for k, v in _state(path, todo).items() if k in wanted}, path, todo)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, hu: Tensor) -> list[Tensor]:
        """Return the chosen feature maps of an HU image (B, 1, H, W)."""
        unit = ((hu - self.window.low) / self.window.width).clamp(0, 1)
        x = (unit.expand(-1, 3, -1, -1) - self.mean) / self.deviation
        maps = []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number - 1 in self.layers:
                maps.append(x)
        return maps


_PART: Final = "encoder."
_TRAIN_ONE: Final = "train one with configs/encoder.json"


def _state(path: str, todo: str) -> dict[str, Any]:
    if not Path(path).is_file():
        raise InputError(path, "no weights file for the feature extractor", todo)
    return read_state(Path(path), path, todo)


def _fit(network: nn.Module, state: dict[str, Any], path: str, todo: str) -> None:
    try:
        network.load_state_dict(state)
    except (RuntimeError, AttributeError) as error:
        raise InputError(path, f"weights do not fit the feature extractor: {error}", todo) from error
