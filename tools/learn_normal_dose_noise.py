r"""Learn what noise normal dose has from the scans that a bundle was trained on; say how far to trust it.

    python tools/learn_normal_dose_noise.py ../shared/data/dicom \
        --check docs/validation/normal-dose.md --cache cache/validation

Run again whenever the bundle's weights change: noise is measured with them, as `enhance` measures it.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from med_stylesr.engines.pair_cache import STORED_PER_HU, open_cache
from med_stylesr.inference.bundle_folder import BUNDLE_2D
from med_stylesr.inference.enhancer import Enhancer
from med_stylesr.inference.normal_dose import FILE, MOST_TRUNCATED, NormalDoseNoise, likely_fraction
from med_stylesr.inference.normal_dose_fit import Observation, learn
from med_stylesr.inference.request import DEFAULT_STYLE, StrengthRequest
from med_stylesr.inference.slices import ArraySlices, DecodedSlices, SliceSource
from med_stylesr.inference.strength import SAMPLE_SLICES, plan_strength, remover
from med_stylesr.io.dicom_read import read_slices
from med_stylesr.metrics.body_size import body_size
from med_stylesr.metrics.regions import inner_indices
from med_stylesr.service.acquisition import acquisition_of
from med_stylesr.service.training_data import PlannedScan, planned_scans

CONTEXT = 8
OWN_TEXTURE = 2
"""Draws of the validation cache that keep the texture of the scan."""
PLANS = Path("configs") / "weights"
HEAD = """# Noise of normal dose: what the table knows

Made by `tools/learn_normal_dose_noise.py` with the weights sha256
`{digest}` of {bundle}, style `{style}`.

log σ = {level:.3f} + offset of the kernel + ½ log(2.5 / thickness) + ½ · {share:.2f} · 0.019 · (diameter − 280), in mm

| kernel | scans | noise at 2.5 mm and 280 mm | spread of single scans |
|---|---|---|---|
"""


def main() -> None:
    """Measure, learn, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", type=Path, help="folder of the scans that the plans name")
    parser.add_argument("--bundle", default=BUNDLE_2D)
    parser.add_argument("--train", type=Path, default=PLANS / "data_train.json", help="plan of the normal-dose scans")
    parser.add_argument("--validation", type=Path, default=PLANS / "data_validation.json", help="plan of others")
    parser.add_argument("--check", type=Path, help="Markdown page to write: how well the table foretells")
    parser.add_argument("--cache", type=Path, help="cached pairs of the validation plan: check simulated doses as well")
    arguments = parser.parse_args()
    # float32 torch: the table must not depend on the processor at hand.
    enhancer = Enhancer(arguments.bundle, device="cpu", runtime="torch", precision="float32")
    bundle = enhancer.bundle(2)
    seen = _measured(arguments.train, arguments.scans, enhancer)
    table = learn(seen, bundle.weights_sha256, remover(bundle.network.style_names))
    table.save(bundle.path / FILE)
    print(f"{bundle.path / FILE}: {sum(one.scans for one in table.classes.values())} of {len(seen)} scans")
    if arguments.check:
        others = _measured(arguments.validation, arguments.scans, enhancer)
        page = _page(table, others, bundle.name)
        if arguments.cache:
            page += _simulated(arguments.cache, table, others, enhancer)
        arguments.check.write_text(page, encoding="utf-8")


def _measured(plan: Path, root: Path, enhancer: Enhancer) -> list[Observation]:
    found = [_observation(scan, enhancer) for scan in planned_scans(plan, root)]
    return [one for one in found if one is not None]


def _observation(scan: PlannedScan, enhancer: Enhancer) -> Observation | None:
    """Noise as `enhance` measures it, and size of the body in the same slices; None without flat tissue."""
    series, count = scan.series, scan.stop - scan.start
    source = DecodedSlices(
        (count, *series.grid.shape[1:]),
        lambda start, stop: read_slices(series, scan.start + start, scan.start + stop),
        CONTEXT,
    )
    noise = _noise(source, series.grid.spacing_mm, enhancer)
    if noise is None:
        print(f"{scan.name}: no flat tissue")
        return None
    slices = np.concatenate([source.read(k, k + 1) for k in inner_indices(count, SAMPLE_SLICES)])
    size = body_size(slices, series.grid.spacing_mm[1:])
    wed = size.wed_mm if size is not None and size.truncated <= MOST_TRUNCATED else None
    known = replace(acquisition_of(series), wed_mm=wed)
    odd = "" if known.axial else ", not axial: left out"
    cut = f", {size.truncated:.0%} of the outline cut off" if size is not None and size.truncated > 0 else ""
    print(f"{scan.name}: {noise:.1f} HU, kernel {series.kernel} = {known.kernel_class}, {_mm(wed)}{cut}{odd}")
    return Observation(scan.name, known, noise)


_COLUMNS: Final = (
    "| scan | kernel | thickness, mm | body, mm | noise, HU | foretold, HU | F by noise alone | F estimated |\n"
    "|---|---|---|---|---|---|---|---|\n"
)


def _mm(wed_mm: float | None) -> str:
    return "body not measurable" if wed_mm is None else f"body {wed_mm:.0f} mm"


def _noise(source: SliceSource, spacing_mm: tuple[float, float, float], enhancer: Enhancer) -> float | None:
    request = StrengthRequest(dose_fraction=1.0)
    return plan_strength(source, enhancer.runtime(2), DEFAULT_STYLE, request, spacing_mm).noise_before_hu


def _page(table: NormalDoseNoise, others: Sequence[Observation], bundle: str) -> str:
    text = HEAD.format(
        digest=table.weights_sha256, bundle=bundle, style=table.style, level=table.level, share=table.size_share
    )
    for name, kernel in table.classes.items():
        level = math.exp(table.level + kernel.offset)
        text += f"| {name} | {kernel.scans} | {level:.1f} HU | ×÷ {math.exp(kernel.spread):.2f} |\n"
    learned = table.learned_from
    left = learned["left_one_out"]
    text += (
        f"\n## Each learning scan, foretold from the others\n\nNoise is off by a factor of {left['median_factor']} in "
        f"the median (root mean square of the logarithm {left['rms_log']}); {left['foretold']} of {left['of']} scans "
        "can be foretold, the others are alone with their kernel. All of them are normal-dose scans, so F by "
        "noise alone should be 1."
        f"\n\n{_COLUMNS}"
    )
    for scan in learned["scans"]:
        expected = scan["foretold_hu"]
        start = (scan["name"], scan["kernel_class"], scan["thickness_mm"], scan["wed_mm"])
        text += _line(*start, scan["noise_hu"], expected, None)
    text += (
        "\n## Scans that training has not seen\n\nHeld-out scans of normal dose (of `chest_lidc0001` other slices, of "
        "`singles_nysbu` partly the same patients).\n\n"
        f"{_summary(table, others)}{_COLUMNS}"
    )
    for one in others:
        known, told = one.acquisition, table.expected(one.acquisition)
        wed = "not measurable" if known.wed_mm is None else round(known.wed_mm, 1)
        start = (one.name, known.kernel_class, known.thickness_mm, wed)
        likely = table.likely_dose(one.noise_hu, known)
        foretold = None if told is None else round(told.noise_hu, 2)
        text += _line(*start, round(one.noise_hu, 2), foretold, None if likely is None else likely[0])
    return text


def _simulated(cache: Path, table: NormalDoseNoise, others: Sequence[Observation], enhancer: Enhancer) -> str:
    """Does F follow the dose, whatever the table says? Noise inserted for two doses in the scan's own texture."""
    text = (
        "\n## Simulated lower dose\n\nF by noise alone, F as `enhance` estimates it, and what F by noise alone falls "
        "to relative to the scan as it was: that should be the dose.\n\n"
        "| scan | dose | F by noise alone | F | falls to |\n|---|---|---|---|---|\n"
    )
    normal = {one.name: one for one in others}
    for scan in open_cache(cache):
        for noise, dose in list(zip(scan.noise, scan.doses, strict=True))[:OWN_TEXTURE]:
            lower = ArraySlices(scan.hu + noise.astype(np.float32) / STORED_PER_HU)
            measured = _noise(lower, scan.spacing_mm, enhancer)
            if scan.name not in normal or measured is None:
                continue
            one = normal[scan.name]
            told, alone = table.likely_dose(measured, one.acquisition), table.dose_fraction(measured, one.acquisition)
            estimate = "– | –" if told is None else f"{alone:.2f} | {told[0]:.2f}"
            text += f"| {scan.name} | {dose:g} | {estimate} | {(one.noise_hu / measured) ** 2:.3f} |\n"
    return text


def _summary(table: NormalDoseNoise, others: Sequence[Observation]) -> str:
    told = [f for one in others if (f := table.likely_dose(one.noise_hu, one.acquisition)) is not None]
    near = sum(f[0] >= 0.5 for f in told)
    spread = table.classes["standard"].spread
    typical = likely_fraction(0.0, 2 * spread)[0]
    return (
        f"F can be told for {len(told)} of {len(others)}; it is at least 0.5 for {near} of them. All were made with "
        f"normal dose; a scan of a standard kernel with exactly its noise has F = {typical:.2f}.\n\n"
    )


def _line(
    name: str,
    kernel: str | None,
    thickness: float | None,
    wed: float | str,
    noise: float,
    expected: float | None,
    likely: float | None,
) -> str:
    start = f"| {name} | {kernel} | {thickness} | {wed} | {noise} |"
    if expected is None:
        return f"{start} – | – | – |\n"
    return f"{start} {expected} | {(expected / noise) ** 2:.2f} | {'–' if likely is None else f'{likely:.2f}'} |\n"


if __name__ == "__main__":
    main()
