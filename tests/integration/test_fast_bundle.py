"""The fast bundle costs at most half and gives nearly the same: the promise of its model card, on the sample scan."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from med_stylesr.inference.bundle import load_bundle
from med_stylesr.inference.bundle_folder import BUNDLE_2D, BUNDLE_FAST
from med_stylesr.inference.enhancer import EnhanceOptions, Enhancer
from med_stylesr.inference.request import StrengthRequest
from med_stylesr.io.dicom_read import read_volume
from med_stylesr.io.source import find_inputs
from med_stylesr.metrics.fidelity import CONVENTIONS, slice_fidelity
from med_stylesr.volume import CTVolume

SAMPLE = pathlib.Path(__file__).resolve().parents[1] / "data" / "lidc_idri_0001"
SLICES = slice(6, 10)


def few(name: str) -> CTVolume:
    """Some slices of a scan of the sample."""
    with find_inputs(SAMPLE / name) as inputs:
        volume = read_volume(inputs.series[0])
    return CTVolume(volume.hu[SLICES], volume.affine)


def psnr(result: CTVolume, normal: CTVolume) -> float:
    pairs = zip(result.hu.astype(np.float32), normal.hu.astype(np.float32), strict=True)
    return float(np.mean([slice_fidelity(a, b, CONVENTIONS["redcnn"])["psnr_db"] for a, b in pairs]))


def multiplications(bundle: str) -> int:
    network = load_bundle(bundle, torch.device("cpu")).network.requires_grad_(False).to("meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.empty(1, 3, 128, 128, device="meta"))
    return counter.get_total_flops()


def test_it_takes_at_most_half_the_multiplications() -> None:
    assert multiplications(BUNDLE_FAST) <= 0.5 * multiplications(BUNDLE_2D)


@pytest.mark.parametrize("style", ["normal-dose", "smooth"])
def test_it_comes_within_a_third_of_a_decibel_of_the_whole_one(style: str) -> None:
    low, normal = few("quarter_dose"), few("normal_dose")
    options = EnhanceOptions(style=style, request=StrengthRequest(dose_fraction=0.25))
    fast, whole = (
        psnr(Enhancer(bundle, device="cpu", runtime="torch", precision="float32").enhance(low, options)[0], normal)
        for bundle in (BUNDLE_FAST, BUNDLE_2D)
    )
    assert whole > psnr(low, normal) + 1
    assert fast > whole - 0.33
