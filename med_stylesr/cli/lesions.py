"""`med-stylesr lesions`: what enhancing does to low-contrast lesions."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from med_stylesr.cli.choices import Precision, RuntimeName


def lesions(
    scan: Annotated[
        Path, typer.Argument(metavar="SCAN", help="The low-dose scan: a DICOM folder, NIfTI, NRRD or MHA.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for lesions.json, lesions.png and lesions.html.")],
    size: Annotated[str, typer.Option(metavar="MM,…", help="Diameters of the lesions.")] = "4,6",
    contrast: Annotated[
        str, typer.Option(metavar="HU,…", help="What they differ by from their surroundings; each with every size.")
    ] = "-15,-30",
    pairs: Annotated[
        int, typer.Option(min=60, help="Regions with and without a lesion; from 200 on intervals mean something.")
    ] = 260,
    strengths: Annotated[str, typer.Option(metavar="S,…", help="Strengths of the correction, 0 … 1.")] = "0.5,1",
    dose: Annotated[
        float | None, typer.Option(metavar="F", help="Also what `enhance --dose F` would make of the scan.")
    ] = None,
    style: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Style of the bundle; may be given several times. [default: normal-dose]"),
    ] = None,
    blur: Annotated[
        float,
        typer.Option(metavar="MM", min=0, help="Blur of the scan (standard deviation), which lesions are given too."),
    ] = 0.6,
    bundle: Annotated[str, typer.Option(help="Bundle folder, or the name of a shipped one.")] = "ldct_stylesr_2d",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    runtime: Annotated[RuntimeName, typer.Option(help="What runs the networks, as for enhance.")] = RuntimeName.auto,
    precision: Annotated[Precision, typer.Option(help="Of the convolutions, as for enhance.")] = Precision.auto,
    page: Annotated[bool, typer.Option("--report/--no-report", help="Write lesions.png and lesions.html.")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the files of an earlier run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print lesions.json instead of progress and table.")] = False,
) -> None:
    """Ask whether low-contrast lesions survive: put some into a scan, enhance it, let a model observer look.

    Disks are put into flat soft tissue all over the scan, which is then enhanced whole, with and without them. A
    channelised Hotelling observer who knows lesion and place tells the two apart (AUC; 0.5 is guessing), and the
    contrast that is left is measured. The AUC of the unprocessed scan is what to keep; where it falls, lesions went
    out with the noise.

    For example:

      med-stylesr lesions quarter_dose/ --out lesions/

      med-stylesr lesions liver.nii.gz --out lesions/ --size 5,10 --contrast -20,20 --strengths 0.25,0.5,0.75,1

      med-stylesr lesions quarter_dose/ --out lesions/ --dose 0.25 --style normal-dose --style smooth

    Exit status: 0 measured, 1 not enough flat soft tissue or damaged, 2 wrong usage.
    """
    sizes, contrasts = _numbers("--size", size), _numbers("--contrast", contrast)
    wanted = _numbers("--strengths", strengths)

    from med_stylesr.cli.progress import reporter
    from med_stylesr.service.preflight import check_outputs

    names = ["lesions.json", *(["lesions.png", "lesions.html"] if page else [])]
    # Before torch is imported and the scan enhanced.
    check_outputs(out, names, overwrite=overwrite)

    from med_stylesr.inference.request import DEFAULT_STYLE
    from med_stylesr.service.lesions import LesionPlan, run_lesions

    plan = LesionPlan(scan, sizes, contrasts, style or [DEFAULT_STYLE], wanted, dose, pairs, blur)
    plan.check()

    from med_stylesr.errors import UsageError
    from med_stylesr.inference.bundle_folder import find_bundle
    from med_stylesr.inference.enhancer import Enhancer

    enhancer = Enhancer(bundle, device, runtime.value, precision.value)
    if enhancer.bundle(2).path != find_bundle(bundle):
        raise UsageError(f"--bundle {bundle}", "adds slices; lesions are looked at in plane", "name a 2D bundle")
    if as_json:
        document = run_lesions(plan, enhancer, out, page=page, overwrite=overwrite, events=lambda event: None)
        typer.echo(json.dumps(document, ensure_ascii=False))
        return
    with reporter(as_json=False) as events:
        document = run_lesions(plan, enhancer, out, page=page, overwrite=overwrite, events=events)
    _table(document)
    typer.echo(f"written: {out / 'lesions.json'}" + (f", {out / 'lesions.html'}" if page else ""))


def _numbers(option: str, text: str) -> list[float]:
    from med_stylesr.errors import UsageError

    try:
        numbers = [float(word) for word in text.split(",") if word.strip()]
    except ValueError:
        numbers = [math.nan]
    if not all(map(math.isfinite, numbers)):
        raise UsageError(f"{option} {text}", "is no list of numbers", "separate numbers by commas")
    return numbers


def _table(document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    found, wanted = document["pairs"], document["pairs_wanted"]
    few = f" (the scan has no room for {wanted})" if found < wanted else ""
    table = Table(title=f"AUC, contrast left, 95 % interval of the AUC; {found} regions{few}")
    table.add_column("made by")
    for lesion in document["lesions"]:
        table.add_column(f"{lesion['diameter_mm']:g} mm, {lesion['contrast_hu']:+g} HU", justify="right")
    for way in document["ways"]:
        ones = [lesion["results"][way] for lesion in document["lesions"]]
        table.add_row(way, *[_cell(one) for one in ones])
    Console().print(table)
    if any(one["harder_to_see"] for lesion in document["lesions"] for one in lesion["results"].values()):
        typer.echo("* harder to see than in the scan as it is: the interval lies below that AUC")


def _cell(one: dict[str, Any]) -> str:
    star = "*" if one["harder_to_see"] else ""
    return f"{one['auc']:.3f}{star} {one['contrast_kept']:.0%}\n{one['auc_low']:.3f}–{one['auc_high']:.3f}"
