"""`med-stylesr evaluate`: results against normal dose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer


def evaluate(
    pred: Annotated[Path, typer.Argument(help="Result: a DICOM folder, NIfTI, NRRD or MHA, or a tree of them.")],
    reference: Annotated[Path, typer.Argument(help="Normal-dose partner: the same kinds.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for metrics.json, its schema and report.html.")],
    low_dose: Annotated[
        Path | None, typer.Option("--input", metavar="LOWDOSE", help="The scans the results were made from.")
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=PATH", help="A further method to compare; may be given several times."),
    ] = None,
    name: Annotated[str, typer.Option(help="Name of PRED in tables.")] = "enhanced",
    max_slices: Annotated[
        int, typer.Option(min=0, help="Slices a scan for PSNR, SSIM and the like, spread evenly; 0 for all.")
    ] = 32,
    roi: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SLICE,ROW,COLUMN,SIZE",
            help="Square to measure noise spectra in, in pixels of the reference, slices from 1; may be repeated. "
            "Without any, flat tissue is found by itself.",
        ),
    ] = None,
    roi_file: Annotated[
        Path | None, typer.Option(metavar="JSON", help="Such squares from a file, for all scans or by scan.")
    ] = None,
    page: Annotated[bool, typer.Option("--report/--no-report", help="Write report.html.")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the files of an earlier run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print metrics.json instead of a table.")] = False,
) -> None:
    """Judge image quality against normal dose, the way physicists do.

    PSNR and SSIM in every convention in use, noise texture (NPS), sharpness (TTF), detectability, HU shift of every
    tissue, signs of invented structure, radiomics, distances on CT features. Folders are paired by file name or
    SeriesDescription; several methods are compared with significance.

    For example:

      med-stylesr evaluate enhanced.nii.gz normal.nii.gz --input low.nii.gz --out quality/

      med-stylesr evaluate out/ normal/ --input low/ --method bm3d=bm3d_out/ --out quality/

      med-stylesr evaluate phantom_out/ phantom/ --roi 12,200,240,64 --roi 13,200,240,64 --out quality/

    Exit status: 0 all measured, 1 some pairs could not be measured, 2 wrong usage or nothing to pair.
    """
    from med_stylesr.errors import UsageError
    from med_stylesr.service.evaluate import INPUT, Evaluation, evaluate_all
    from med_stylesr.service.rois import read_rois

    methods = {name: pred}
    for entry in method or []:
        label, separator, path = entry.partition("=")
        if not separator or not label or not path:
            raise UsageError(
                f"--method {entry}", "is not of the form NAME=PATH", "write for example --method bm3d=out/"
            )
        if label in methods or label == INPUT:
            raise UsageError(f"--method {entry}", f"the name {label} is taken", "choose another name")
        methods[label] = Path(path)
    plan = Evaluation(methods, reference, low_dose, max_slices, read_rois(roi or [], roi_file))
    outcome = evaluate_all(plan, out, page=page, overwrite=overwrite, events=_quiet if as_json else _tell)
    if as_json:
        typer.echo(json.dumps(outcome.document, ensure_ascii=False))
    else:
        _table(outcome.document)
        typer.echo(f"written: {out / 'metrics.json'}" + (f", {out / 'report.html'}" if page else ""))
    if outcome.problems:
        raise typer.Exit(1)


def _tell(event: Any) -> None:
    if event["event"] == "case":
        typer.echo(f"[{event['number']}/{event['total']}] {event['name']}")
    _quiet(event)


def _quiet(event: Any) -> None:
    if event["event"] == "problem":
        typer.echo(f"med-stylesr: {event['what']}: {event['why']}", err=True)


def _table(document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from med_stylesr.report.methods import HEADLINES

    comparison = document["comparison"]
    table = Table(title=f"Against normal dose (mean [95 % interval] over {comparison['unit']}s)")
    table.add_column("figure")
    for each in document["methods"]:
        table.add_column(each, justify="right")
    for figure, (words, sign) in HEADLINES.items():
        cells = [_interval(comparison["summary"][each][figure]) for each in document["methods"]]
        table.add_row(f"{words} {'↑' if sign > 0 else '↓'}", *cells)
    for words, part, key in (
        ("local SD in soft tissue (HU)", "texture", "noise_sd_hu"),
        ("the same in normal dose (HU)", "texture", "reference_noise_sd_hu"),
        ("texture cosine", "texture", "cosine"),
    ):
        cells = [_mean([scan[part].get(key) for scan in scans.values()]) for scans in document["methods"].values()]
        table.add_row(words, *cells)
    for words, key in (("Fréchet distance on CT features", "frechet"), ("kernel distance on CT features", "kernel")):
        cells = [
            _mean([(scan["distribution"] or {}).get(key) for scan in scans.values()], 4)
            for scans in document["methods"].values()
        ]
        table.add_row(f"{words} ↓", *cells)
    worst = [
        max((abs(row["shift_hu"]) for scan in scans.values() for row in scan["bias"].values()), default=None)
        for scans in document["methods"].values()
    ]
    table.add_row("largest HU shift of a tissue", *[_mean([value]) for value in worst])
    Console().print(table)


def _interval(entry: dict[str, float | None]) -> str:
    if entry["mean"] is None:
        return "–"
    interval = "" if entry["low"] is None else f" [{entry['low']:.3f}, {entry['high']:.3f}]"
    return f"{entry['mean']:.3f}{interval}"


def _mean(values: list[float | None], digits: int = 2) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.{digits}f}" if known else "–"
