"""`med-stylesr demo`: the main job on the sample scan that comes with the program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from med_stylesr.errors import UsageError


def demo(
    dest: Annotated[Path, typer.Argument(help="Folder for the results.")] = Path("demo_out"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results of an earlier demo in DEST.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Progress as JSON lines on standard output.")] = False,
) -> None:
    """Enhance a real chest CT (simulated quarter dose) and compare it with its normal-dose partner.

    Writes a derived DICOM series, a super-resolved one, a picture and the full report. Takes a minute or two.

    Example:
      med-stylesr demo demo_out
    """
    from importlib.util import find_spec

    from med_stylesr.cli.progress import reporter

    if not all(find_spec(name) for name in ("matplotlib", "jinja2", "skimage")):
        raise UsageError("demo", "its pictures need the extra `report`", "pip install 'med-stylesr[report]'")
    with reporter(as_json) as events:
        from med_stylesr.inference.bundle_folder import BUNDLE_2D
        from med_stylesr.inference.enhancer import EnhanceOptions
        from med_stylesr.inference.strength import StrengthRequest
        from med_stylesr.service.demo import run_demo
        from med_stylesr.service.settings import EnhanceSettings

        options = EnhanceOptions(scale=(1, 2, 2), request=StrengthRequest(dose_fraction=0.25))
        settings = EnhanceSettings(
            options=options,
            spacing_mm=None,
            bundle=BUNDLE_2D,
            device=device,
            format="auto",
            deidentify=None,
            key_file=None,
            overwrite=overwrite,
            report=True,
            threads=0,
        )
        result = run_demo(dest, settings, events)
    if as_json:
        return
    width = max(len(name) for name in result.table)
    for name, value in result.table.items():
        typer.echo(f"  {name:<{width}}  {value}")
    typer.echo("\nLook at:")
    for what, folder in result.folders.items():
        typer.echo(f"  {what:<15} {folder}")
    typer.echo(f"  {'picture':<15} {result.picture}")
    typer.echo(f"  {'full report':<15} {result.page}")
