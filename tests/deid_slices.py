"""Synthetic slices with and without writing in them, and their way through de-identification."""

from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from med_stylesr.deid import Deidentifier, load_profile
from med_stylesr.deid.keys import new_key


def phantom(rows: int = 512) -> np.ndarray:
    """A chest-like slice in HU with noise: body, lungs, spine and a clipped piece of metal."""
    y, x = np.mgrid[:rows, :rows] / rows - 0.5
    hu = np.full((rows, rows), -1000.0)
    hu[(x / 0.42) ** 2 + (y / 0.3) ** 2 < 1] = 40
    for side in (-0.2, 0.2):
        hu[((x - side) / 0.13) ** 2 + (y / 0.2) ** 2 < 1] = -850
    hu[(x / 0.05) ** 2 + ((y - 0.2) / 0.05) ** 2 < 1] = 700
    hu += np.random.default_rng(5).normal(0, 25, hu.shape)
    hu[(np.abs(x) < 0.01) & (np.abs(y + 0.2) < 0.006)] = 3071
    return np.clip(np.rint(hu), -1024, 3071).astype(np.int16)


def draw(image: np.ndarray, text: str, row: int, column: int, value: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The image with text and the mask of its ink."""
    drawing = pytest.importorskip("PIL.ImageDraw")
    from PIL import Image, ImageFont

    ink = Image.new("L", image.shape[::-1], 0)
    font = ImageFont.load_default(size) if size else ImageFont.load_default_imagefont()
    drawing.Draw(ink).text((column, row), text, fill=255, font=font)
    share = np.asarray(ink) / 255.0
    return (image * (1 - share) + value * share).astype(image.dtype), share > 0.2


def clean(dataset: Dataset, profile: str) -> Dataset:
    deidentifier = Deidentifier(load_profile(profile), new_key())
    deidentifier.harvest(dataset)
    return pydicom.dcmread(io.BytesIO(deidentifier.clean(dataset).file()))
