"""The page of the benchmark, from its numbers: nothing on it is written by hand but what the numbers mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks import bound, pooling
from benchmarks.methods import DOSE, Method
from benchmarks.pooling import Records
from benchmarks.recipes import RECIPES
from benchmarks.tables import number, table
from benchmarks.targets import CONVENTION, Check

from med_stylesr.metrics.fidelity import CONVENTIONS
from med_stylesr.metrics.texture import BANDS_PER_MM


@dataclass
class Numbers:
    """Everything that a run found.

    Attributes:
        rows: methods at scale 1.
        records: method → scan → figures.
        pixels: rows and columns that were measured.
        checks: targets.
        frechet: method → distance; empty without the encoder.
        bias: style → scan → HU that it moves tissues by, noise aside.
        in_plane: scan → dose → method → dB.
        through: "factor scan" → dose → method → dB.
        kernels: direction → method → HU.
        strength: scan → noise left.
        costs: method → CPU seconds a slice, megabytes above what stood before.
        sizes: network → parameters, GMAC.
        ablation: variant → figure → value.
        possible: scan → dB above the input that exact knowledge of the anatomy would give.
        eight_bits: scan → what 8-bit integers change.
        bundles: name → version and weights hash.
        peers: network → record of its training.
    """

    rows: list[Method]
    records: dict[str, Records]
    pixels: int = 512
    checks: list[Check] = field(default_factory=list)
    frechet: dict[str, float] = field(default_factory=dict)
    bias: dict[str, Records] = field(default_factory=dict)
    in_plane: dict[str, Any] = field(default_factory=dict)
    through: dict[str, Any] = field(default_factory=dict)
    kernels: dict[str, Any] = field(default_factory=dict)
    strength: dict[str, Any] = field(default_factory=dict)
    costs: dict[str, dict[str, float]] = field(default_factory=dict)
    sizes: dict[str, dict[str, Any]] = field(default_factory=dict)
    ablation: dict[str, dict[str, float]] = field(default_factory=dict)
    possible: dict[str, float | None] = field(default_factory=dict)
    eight_bits: dict[str, dict[str, float]] = field(default_factory=dict)
    bundles: dict[str, tuple[str, str]] = field(default_factory=dict)
    peers: dict[str, dict[str, Any]] = field(default_factory=dict)


def page(n: Numbers, images: str) -> str:
    """The page in Markdown.

    Args:
        n: the numbers.
        images: folder of the figures as seen from the page.
    """
    bundles = "; ".join(f"{name} {version}, weights `{digest[:16]}`" for name, (version, digest) in n.bundles.items())
    scans = list(n.records["input"])
    parts = [
        "# Benchmark",
        f"Made by `make benchmark`: every number, and whether a target was met, comes from that run. {bundles}.",
        f"Simulated dose fraction {DOSE}, stored as scanners store it (nothing below -1024 HU, no noise in padding); "
        "simulated noise is not real low-dose noise. Networks were trained on "
        "`configs/weights/data_train.json`, filters tuned on `tests/benchmarks/data_tune.json`, and everything is "
        f"measured on `tests/benchmarks/data_test.json`: {len(scans)} scans, no slice of which took part in training, "
        "in tuning or in the choice of a checkpoint. (Of chest_lidc0001 and of some patients among the singles other "
        "slices were trained on.) A number "
        "in brackets after a filter is its tuned parameter. Minutes after a network are its training time on one CPU "
        "core, on the same pairs; papers train for days. The shipped weights were trained longer: see their model "
        "card. Filters are tuned for this dose, and ours is told it (`--dose`) where its row says so.",
        f"Measured on the middle {n.pixels} × {n.pixels} pixels of slices.",
        *_budgets(n),
        "## Targets",
        table(
            ["Target", "Found", "Met"],
            [[check.target, check.found, "yes" if check.met else "**no**"] for check in n.checks],
        ),
        "## PSNR on every scan",
        f"dB, RED-CNN convention ({CONVENTIONS[CONVENTION].low:g} … {CONVENTIONS[CONVENTION].high:g} HU).",
        table(
            ["Method", *scans, "mean"],
            [
                *(_psnr_row(row, n.records[row.name], scans) for row in n.rows),
                *bound.row(n.possible, n.records["input"]),
            ],
        ),
        "The last row estimates what nobody can exceed, since the normal-dose scan holds noise of its own: anatomy "
        "known exactly, and the best share of the noise kept, by the noise measured in flat soft tissue."
        if n.possible
        else "",
        f"![Slices by all methods, abdominal window]({images}/benchmark-montage-soft.png)",
        f"![Slices by all methods, lung window]({images}/benchmark-montage-lung.png)",
        "## Every convention",
        "PSNR in dB / SSIM / RMSE in HU, means over scans.",
        table(["Method", *CONVENTIONS], (_convention_row(row, n.records[row.name]) for row in n.rows)),
        "## Texture, sharpness, structure",
        "Noise power over that of normal dose per band (1/mm), geometric mean over scans; shift of peak and of mean "
        "frequency; f50 at the skin over that of normal dose; concordance (CCC) of first-order and GLCM features on "
        "14 mm patches of the body; residual-structure index (less is better)"
        + (
            "; Fréchet distance on features of the package's CT encoder, not Inception's (less is better)."
            if n.frechet
            else "."
        ),
        table(_texture_head(n), (_texture_row(row, n) for row in n.rows)),
        f"![Noise power spectra]({images}/benchmark-nps.png)",
        "Noise power over that of normal dose on every scan, of the input and of `normal-dose` told the dose. "
        f"A scan at dose {DOSE} should have {1 / DOSE:g} times the power. Where it inserts more (it is fitted to the "
        "noise of other regions, and spreads it otherwise than the scanner did), √F of that is more than normal dose "
        "has, and costs decibels "
        "against `smooth`, which keeps F.",
        table(["Scan", *BANDS_PER_MM], _noise_rows(n)),
        "## HU",
        "Result minus input in HU: mean over all voxels of a tissue, in brackets the scan where it is largest.",
        _shift_table({row.label: n.records[row.name] for row in n.rows if row.kind != "input"}),
        "Noise alone moves the means of small regions, and whatever takes it away moves them back. The bias of ours: "
        "mean of the results for two inputs whose noise is opposite everywhere, minus the mean of those inputs.",
        _shift_table({f"`{style}` `--dose {DOSE}`": records for style, records in n.bias.items()}),
        "## Strength",
        f"`--dose F` aims at √F of the noise amplitude. Measured in flat soft tissue with noise of both signs, so that "
        f"anatomy cancels. ![Noise left over strength]({images}/benchmark-strength.png)",
        _strength_table(n),
        "## Super-resolution",
        f"In plane, twice the pixels, PSNR in dB ({CONVENTION}), mean over scans:",
        _resolution_table(n.in_plane),
        "Through plane, from means of so many slices:",
        _through_table(n.through),
        f"![Profiles through plane]({images}/benchmark-through-plane.png)",
        "## Kernels",
        "The same scan reconstructed with a sharp (L) and a soft (B) kernel; RMSE in HU inside the body against the "
        "other kernel's slices. Gaussian and unsharp mask are fitted to the first half of both; `--style` gets the "
        "first half of the wanted kernel as its reference; all are measured on the second half.",
        table(
            ["Direction", "Method", "RMSE, HU"],
            [[d, name, number(v, 1)] for d, rows in n.kernels.items() for name, v in rows.items()],
        ),
        "## Cost",
        "CPU time and rise of memory for one 512 × 512 slice, one thread, float32 torch, one run on a shared machine: "
        "trust the ratios.",
        _cost_table(n),
        *_eight_bits(n),
        "## Ablation",
        _ablation(n),
    ]
    return "\n\n".join(parts) + "\n"


def _eight_bits(n: Numbers) -> list[str]:
    """The section on 8-bit integers, if there is a model of them."""
    if not n.eight_bits:
        return []
    figures = ("mean_hu", "bias_hu", "p999_hu", "max_hu", "psnr_db")
    head = ["Scan", "mean, HU", "bias", "99.9 %", "max", "PSNR, dB"]
    return [
        "## 8-bit integers",
        f"`--precision int8` against float32 torch, `smooth` `--dose {DOSE}`.",
        table(
            head,
            [
                [s, *(number(row[f], 2, f in ("bias_hu", "psnr_db")) for f in figures)]
                for s, row in n.eight_bits.items()
            ],
        ),
    ]


def _budgets(n: Numbers) -> list[str]:
    """A sentence where networks were trained for less than their recipes ask for."""
    less = {
        (record["minutes"], RECIPES[name].minutes)
        for name, record in n.peers.items()
        if record["minutes"] < RECIPES[name].minutes
    }
    told = ", ".join(f"{had:g} CPU minutes instead of {asked:g}" for had, asked in sorted(less, reverse=True))
    return [f"Networks of this run were trained for less than their recipes ask for: {told}."] if less else []


def _psnr_row(row: Method, records: Records, scans: list[str]) -> list[str]:
    values = pooling.fidelity(records, CONVENTION, "psnr_db")
    return [row.label, *(number(values[scan]) for scan in scans), number(pooling.mean(values))]


def _convention_row(row: Method, records: Records) -> list[str]:
    cells = []
    for name in CONVENTIONS:
        psnr, ssim, rmse = (
            pooling.mean(pooling.fidelity(records, name, key)) for key in ("psnr_db", "ssim", "rmse_hu")
        )
        cells.append(f"{number(psnr)} / {number(ssim, 3)} / {number(rmse, 1)}")
    return [row.label, *cells]


def _texture_head(n: Numbers) -> list[str]:
    bands = [f"{name} {low:g}–{high:g}" for name, (low, high) in BANDS_PER_MM.items()]
    distance = ["Fréchet"] if n.frechet else []
    return ["Method", *bands, "peak", "mean f", "f50", "CCC", "structure", *distance]


def _texture_row(row: Method, n: Numbers) -> list[str]:
    records = n.records[row.name]
    bands = pooling.band_ratios(records)
    cells = [number(bands[name][0]) if name in bands else "–" for name in BANDS_PER_MM]
    cells += [f"{pooling.frequency_shift(records, which):.0%}" for which in ("peak_per_mm", "mean_per_mm")]
    cells.append(number(pooling.sharpness(records)))
    cells.append(number(pooling.mean(pooling.radiomic_concordance(records)), 3))
    cells.append(number(pooling.structure(records), 3))
    if n.frechet:
        cells.append(number(n.frechet[row.name] / n.frechet["input"]))
    return [row.label, *cells]


def _noise_rows(n: Numbers) -> list[list[str]]:
    """Scan, and per band the noise power of input and result over that of normal dose."""

    methods = [name for name in ("input", "normal-dose") if name in n.records]

    def ratio(method: str, scan: str, band: str) -> str:
        spectrum = n.records[method][scan]["spectrum"]
        own, normal = spectrum["bands"][band] if spectrum else (None, None)
        return number(own / normal if own and normal else None)

    return [
        [scan, *(" → ".join(ratio(method, scan, band) for method in methods) for band in BANDS_PER_MM)]
        for scan in n.records["input"]
    ]


def _shift_table(records: Mapping[str, Records]) -> str:
    shifts = {label: pooling.tissue_shift(each) for label, each in records.items()}
    tissues = list(dict.fromkeys(tissue for each in shifts.values() for tissue in each))
    rows = [
        [label, *(f"{each[t][0]:+.2f} ({each[t][1]:+.2f})" if t in each else "–" for t in tissues)]
        for label, each in shifts.items()
    ]
    return table(["Method", *tissues], rows)


def _strength_table(n: Numbers) -> str:
    doses = list(next(iter(n.strength.values()))["dose"]) if n.strength else []
    rows = [["√F", *(number(float(d) ** 0.5) for d in doses)]]
    rows += [[scan, *(number(result["dose"][d]) for d in doses)] for scan, result in n.strength.items()]
    return table(["Noise left", *(f"`--dose {d}`" for d in doses)], rows)


def _resolution_table(scans: Mapping[str, Any]) -> str:
    if not scans:
        return "Not measured."
    doses = list(next(iter(scans.values())))
    methods = list(next(iter(scans.values()))[doses[0]])
    rows = [
        [name, *(number(pooling.mean([scan[d][name] for scan in scans.values()])) for d in doses)] for name in methods
    ]
    return table(["Method", *(f"dose {d}" for d in doses)], rows)


def _through_table(through: Mapping[str, Any]) -> str:
    if not through:
        return "Not measured."
    doses = list(next(iter(through.values())))
    methods = list(next(iter(through.values()))[doses[0]])
    rows = [
        [f"×{name.split(' ')[0]}", name.split(" ")[1], dose, *(number(each[dose][m]) for m in methods)]
        for name, each in through.items()
        for dose in doses
    ]
    return table(["Factor", "Scan", "Dose", *methods], rows)


def _cost_table(n: Numbers) -> str:
    named = [("ours", "ours"), *((row.name, row.label) for row in n.rows if row.kind != "input")]
    rows = [
        [
            label,
            number(n.costs[name]["seconds"] / n.costs["ours"]["seconds"], 1),
            number(1000 * n.costs[name]["seconds"], 0),
            number(n.costs[name]["megabytes"], 0),
            *_size(n.sizes.get(name, {})),
        ]
        for name, label in named
        if name in n.costs
    ]
    return table(["Method", "Time over ours", "CPU ms", "Peak memory, MB", "Parameters", "GMAC"], rows)


def _size(size: Mapping[str, Any]) -> list[str]:
    return [f"{size['parameters']:,}", number(size["gmac"], 1)] if size else ["–", "–"]


def _ablation(n: Numbers) -> str:
    if not n.ablation:
        return "Not run: `make benchmark-peers` trains the variants, and they then appear here."
    head = list(next(iter(n.ablation.values())))
    minutes = next(iter(n.peers[name]["minutes"] for name in n.peers if name.startswith("ablation")))
    told = (
        f"Our network trained {minutes:g} CPU minutes, fidelity losses only; means over scans. That is short, and the "
        "differences are of the size of those between two runs: only the large ones mean anything."
    )
    rows = [[name, *(number(each[key], 3) for key in head)] for name, each in n.ablation.items()]
    return told + "\n\n" + table(["Variant", *head], rows)
