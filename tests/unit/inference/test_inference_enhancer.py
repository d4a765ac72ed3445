"""The one public entry, with the shipped weights: what it refuses, and what it says of its work."""

from __future__ import annotations

import numpy as np
import pytest

from med_stylesr.errors import InputError, UsageError
from med_stylesr.inference.enhancer import EnhanceOptions, Enhancer
from med_stylesr.inference.strength import StrengthRequest
from med_stylesr.volume import CTVolume


@pytest.fixture(scope="module")
def enhancer() -> Enhancer:
    return Enhancer(device="cpu")


def scan(slices: int) -> CTVolume:
    hu = np.random.default_rng(0).normal(40, 25, (slices, 96, 96)).round().astype(np.int16)
    return CTVolume(hu, np.diag([0.8, 0.8, 2.5, 1.0]))


def test_strength_zero_gives_the_same_values_and_type(enhancer: Enhancer) -> None:
    volume = scan(3)
    result, _ = enhancer.enhance(volume, EnhanceOptions(request=StrengthRequest(strength=0.0)))
    assert result.hu.dtype == np.int16
    assert (result.hu == volume.hu).all()
    assert (result.affine == volume.affine).all()


def test_noise_goes_down_to_what_was_asked_and_the_mean_stays(enhancer: Enhancer) -> None:
    volume = scan(5)
    result, done = enhancer.enhance(volume, EnhanceOptions(request=StrengthRequest(dose_fraction=0.5)))
    assert result.hu.std() == pytest.approx(np.sqrt(0.5) * volume.hu.std(), rel=0.12)
    assert abs(result.hu.mean() - volume.hu.mean()) < 0.3
    assert done.facts()["basis"] == "given dose"


def test_super_resolution_keeps_the_field_of_view_in_every_direction(enhancer: Enhancer) -> None:
    volume = scan(3)
    result, _ = enhancer.enhance(volume, EnhanceOptions(scale=(2, 2, 2)))
    assert result.hu.shape == (6, 192, 192)
    for corner in ((-0.5, -0.5, -0.5), (95.5, 95.5, 2.5)):
        fine = tuple(2 * c + 0.5 for c in corner)
        np.testing.assert_allclose(result.grid.positions(fine), volume.grid.positions(corner), atol=1e-9)


def test_one_slice_gets_no_neighbours_invented(enhancer: Enhancer) -> None:
    with pytest.raises(InputError, match="no neighbour"):
        enhancer.enhance(scan(1), EnhanceOptions(scale=(2, 1, 1)))


def test_uncertainty_leaves_the_result_as_it_is_and_safe_gives_back_only_where_it_is_large(enhancer: Enhancer) -> None:
    volume = scan(2)
    volume.hu[:, 40:56, 40:56] += 900
    given = StrengthRequest(strength=1.0)
    plain, _ = enhancer.enhance(volume, EnhanceOptions(request=given))
    told, done = enhancer.enhance(volume, EnhanceOptions(request=given, uncertainty=True))
    assert (told.hu == plain.hu).all()
    assert done.spread_hu is not None
    assert done.spread_hu.shape == volume.hu.shape
    assert done.spread_hu.min() >= 0 < done.spread_hu.max()
    safe, done_safely = enhancer.enhance(volume, EnhanceOptions(request=given, safe=True))
    limits = done_safely.facts()["uncertainty"]["safe"]
    # What the neighbourhood made uncertain gives back too, so only this direction holds voxel by voxel.
    lost = done.spread_hu > limits["none_above_hu"] + 0.1
    assert (safe.hu[lost] == volume.hu[lost]).all()
    between = np.sort([volume.hu, plain.hu], axis=0)
    assert ((safe.hu >= between[0]) & (safe.hu <= between[1])).all()
    assert abs(safe.hu.mean() - volume.hu.mean()) < 0.3


def test_strength_zero_is_the_input_for_safe_too_and_certain(enhancer: Enhancer) -> None:
    # More slices than are handed on at once.
    volume = scan(9)
    options = EnhanceOptions(request=StrengthRequest(strength=0.0), uncertainty=True, safe=True)
    result, done = enhancer.enhance(volume, options)
    assert (result.hu == volume.hu).all()
    assert done.spread_hu is not None
    assert done.spread_hu.max() == 0


def test_uncertainty_lies_on_the_grid_of_a_super_resolved_result(enhancer: Enhancer) -> None:
    options = EnhanceOptions(scale=(2, 2, 2), request=StrengthRequest(strength=1.0), uncertainty=True, safe=True)
    result, done = enhancer.enhance(scan(2), options)
    assert done.spread_hu is not None
    assert done.spread_hu.shape == result.hu.shape == (4, 192, 192)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (EnhanceOptions(style="vivid"), "normal-dose"),
        (EnhanceOptions(scale=(1, 7, 7)), "offers"),
        (EnhanceOptions(request=StrengthRequest(strength=1.5)), "between 0 and 1"),
        (EnhanceOptions(request=StrengthRequest(dose_fraction=0.0)), "fraction"),
    ],
)
def test_impossible_options_are_refused_with_what_is_possible(
    enhancer: Enhancer, options: EnhanceOptions, told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        enhancer.check(options)


@pytest.mark.parametrize("scale", [(1, 2, 2), (2, 1, 1)])
def test_automatic_strength_spares_noise_and_not_the_detail_of_super_resolution(
    enhancer: Enhancer, scale: tuple[int, int, int]
) -> None:
    """At full dose no noise is to go: what is left of the enhancement is the style that super-resolves only."""
    volume = scan(4)
    spared, done = enhancer.enhance(volume, EnhanceOptions(scale, request=StrengthRequest(dose_fraction=1.0)))
    assert done.plan.strength == 0
    only, _ = enhancer.enhance(volume, EnhanceOptions(scale, style="as-is", request=StrengthRequest(strength=1.0)))
    plain, _ = enhancer.enhance(volume, EnhanceOptions(scale, request=StrengthRequest(strength=0.0)))
    near, far = (float(np.abs(spared.hu.astype(float) - other.hu).mean()) for other in (only, plain))
    assert near < 0.3 * far


def test_padding_and_metal_pass_through_between_slices_too(enhancer: Enhancer) -> None:
    volume = scan(5)
    volume.hu[:, :20, :20] = -2000
    volume.hu[2, 60:66, 60:66] = 8000
    result, _ = enhancer.enhance(volume, EnhanceOptions((2, 1, 1), request=StrengthRequest(strength=1.0)))
    assert (result.hu[:, :20, :20] == -2000).all()
    assert (result.hu[4:6, 60:66, 60:66] == 8000).all()
