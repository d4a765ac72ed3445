"""Strength, kernels and super-resolution are measured as said: known answers come out, and test slices fit nothing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from benchmarks import bound, kernels, pictures, quick, resolution, strength_check
from benchmarks.peers.interpolation import gaussian_match
from benchmarks.scans import BenchmarkScan
from benchmarks.store import Store
from benchmarks.targets import kernels as kernel_targets
from benchmarks.targets import resolution as resolution_targets

from med_stylesr.inference.enhancer import EnhanceOptions


def enhancer(*styles: str) -> Any:
    """Stands in for the bundle: its styles and the hash of its weights are all that is asked for."""
    bundle = SimpleNamespace(network=SimpleNamespace(style_names=styles), weights_sha256="0" * 8)
    return SimpleNamespace(bundle=lambda dims: bundle)


def body(slices: int, size: int = 96) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - size / 2
    disk = np.where(y**2 + x**2 < (0.45 * size) ** 2, 40.0, -1000.0)
    return np.repeat(disk[None], slices, 0)


def scan(slices: int = 5, seed: int = 0, texture: float = 0.0) -> BenchmarkScan:
    rng = np.random.default_rng(seed)
    normal = body(slices) + texture * rng.standard_normal((slices, 96, 96))
    noise = 20 * rng.standard_normal(normal.shape)
    return BenchmarkScan(
        "a", normal.astype(np.float32), noise.astype(np.float32), 0.25, (2.0, 1.0, 1.0), tuple(range(1, slices - 1))
    )


def test_noise_left_is_exact_whatever_the_anatomy(monkeypatch: pytest.MonkeyPatch) -> None:
    one = scan(texture=30.0)
    clean = one.normal

    def keeps_a_third(_: Any, low: np.ndarray, spacing: Any, options: Any) -> np.ndarray:
        return clean * 0.9 + (low - clean) / 3

    monkeypatch.setattr(strength_check, "enhanced", keeps_a_third)
    left = strength_check.noise_left(one, 0.25, EnhanceOptions(), enhancer())
    assert left == pytest.approx(1 / 3, rel=1e-3)


def test_exact_knowledge_of_anatomy_is_worth_the_share_of_noise_that_was_added(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """10 log₁₀(σ² / σ₀²), σ² being all noise and σ₀² that of normal dose: 1/F for a truly lowered dose."""
    one = scan(texture=20 / 3**0.5)
    anatomy = body(5).astype(np.float32)
    monkeypatch.setattr(bound, "enhanced", lambda *_: anatomy)
    told = bound.possible_gain(one, 0.25, enhancer(), Store(tmp_path))
    assert told == pytest.approx(10 * np.log10(4), abs=0.3)


def test_strength_asks_for_every_dose_and_strength(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def root_of_dose(_: Any, low: np.ndarray, spacing: Any, options: EnhanceOptions) -> np.ndarray:
        kept = options.request.dose_fraction**0.5 if options.request.dose_fraction else 1 - options.request.strength
        return one.normal + kept * (low - one.normal)

    one = scan()
    monkeypatch.setattr(strength_check, "enhanced", root_of_dose)
    told = strength_check.check(one, enhancer(), Store(tmp_path))
    assert strength_check.root_error(told["dose"]) < 1e-3
    assert told["strength"] == pytest.approx({f"{s:g}": 1 - s for s in strength_check.STRENGTHS}, abs=1e-3)


def test_kernel_match_is_fitted_on_slices_that_are_not_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shown: list[tuple[str, slice]] = []
    monkeypatch.setattr(kernels, "_as", lambda scan, part: shown.append((scan.name, part)))
    monkeypatch.setattr(kernels, "enhanced", lambda enhancer, hu, spacing, options: hu)
    rng = np.random.default_rng(2)
    sharp = (body(8) + 40 * rng.standard_normal((8, 96, 96))).astype(np.float32)
    soft = gaussian_match(sharp, 1.0)
    # The second half is softer: a fit that looked at it would choose another width.
    soft[4:] = gaussian_match(sharp[4:], 2.0)
    pair = [BenchmarkScan(n, hu, 0 * hu, 0.25, (5.0, 1.0, 1.0), ()) for n, hu in (("L", sharp), ("B", soft))]
    found = kernels.compare(*pair, enhancer("normal-dose"), Store(tmp_path))
    assert "Gaussian, 1 px" in found["L → B"]
    assert found["L → B"]["Gaussian, 1 px"] > 1
    # References are of the first half, and a bundle without the style has no row of it.
    assert shown == [("B", slice(0, 4)), ("L", slice(0, 4))]
    ours = [name for rows in found.values() for name in rows if name.startswith("`")]
    assert ours == ["`--style` the other kernel"] * 2
    assert all(rows[ours[0]] == rows["nothing"] for rows in found.values())
    assert not any(check.met for check in kernel_targets(found))


def test_super_resolution_is_judged_on_the_scan_s_own_grid(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    one = scan(slices=6, texture=20.0)

    def perfect(_: Any, low: np.ndarray, spacing: Any, options: EnhanceOptions) -> np.ndarray:
        assert [n * s for n, s in zip(low.shape, options.scale, strict=True)] == [6, 96, 96]
        assert spacing == tuple(mm * s for mm, s in zip(one.spacing_mm, options.scale, strict=True))
        return one.normal + 1

    monkeypatch.setattr(resolution, "enhanced", perfect)
    bundle = enhancer("smooth", "as-is")
    flat = resolution.in_plane(one, bundle, 1.0, tmp_path, Store(tmp_path))
    deep = resolution.through_plane(one, 2, bundle, Store(tmp_path))
    # One HU off everywhere, seen only where the convention does not clip it away.
    exact = 20 * np.log10(400) - 10 * np.log10((one.normal > -160).mean())
    for table in (flat, deep):
        for rows in table.values():
            assert rows["`smooth`"] == pytest.approx(exact, abs=0.5)
            assert rows["`smooth`"] > rows["B-spline"] + 5
    gains = resolution_targets({"a": flat}, {"2 a": deep})
    assert [check.met for check in gains] == [True] * 4


def test_the_quick_benchmark_tunes_and_measures_on_different_slices_of_the_sample() -> None:
    tuning, measured = quick.sample()
    assert quick.TUNED_ON.stop <= quick.MEASURED_ON.start
    assert len(measured.normal) == 5
    assert tuning.noise.std() > 10
    np.testing.assert_allclose(measured.low_dose(0.25), measured.normal + measured.noise, atol=1e-3)


def test_the_steepest_place_is_a_dome_and_lies_inside() -> None:
    normal = np.full((12, 60, 60), -850, dtype=np.float32)
    normal[6:, 20:36, 30:46] = 50
    row, column = pictures.steepest(normal)
    assert (20 <= row < 36, 30 <= column < 46) == (True, True)


def test_montage_shows_slices_that_are_smaller_than_its_piece(tmp_path: Path) -> None:
    shown: list[tuple[int, ...]] = []

    class Axis:
        def imshow(self, image: np.ndarray, *_: Any, **__: Any) -> None:
            shown.append(image.shape)

        def set_title(self, *_: Any, **__: Any) -> None: ...

        def set_axis_off(self) -> None: ...

    axes = np.array([[Axis(), Axis()], [Axis(), Axis()]])
    figure = SimpleNamespace(text=lambda *_, **__: None, savefig=lambda *_, **__: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "_figure", lambda *_: (figure, axes))
        pictures.montage(tmp_path / "a.png", {"a": np.zeros((40, 40)), "b": np.ones((40, 40))}, "b", "soft")
    assert set(shown) == {(40, 40)}
