"""`med-stylesr view`: low dose, enhanced and their difference in linked 3D views."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def view(
    low: Annotated[Path, typer.Argument(help="The input scan: a series' folder or a volume file.")],
    enhanced: Annotated[Path, typer.Argument(help="Its result, on any grid.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Page to write.")] = Path("view.html"),
    open_page: Annotated[bool, typer.Option("--open/--no-open", help="Show the page in the browser.")] = True,
    full: Annotated[bool, typer.Option("--full", help="Full resolution, however large the page gets.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing page.")] = False,
) -> None:
    """Look at a scan and its result side by side: axial, coronal, sagittal, linked, with window presets.

    Writes one page that needs no network and opens it in the browser.

    For example:

      med-stylesr view low.nii.gz out/low.nii.gz

      med-stylesr view scans/chest out/PATIENT/1.2.3 --out chest.html --no-open
    """
    import sys
    import webbrowser

    from med_stylesr.service.preflight import check_outputs

    # Before the scans are read, which takes a while.
    check_outputs(out.parent, [out.name], overwrite=overwrite)

    from med_stylesr.io.publish import staged_file
    from med_stylesr.report.view_page import DEFAULT_VOXELS, write_view_page
    from med_stylesr.service.reading import read_single

    first, second = read_single(low), read_single(enhanced)
    with staged_file(out, overwrite) as path:
        factor = write_view_page(path, first, second, max_voxels=sys.maxsize if full else DEFAULT_VOXELS)
    shrunk = f" (averaged over {factor} × {factor} pixels; --full for all)" if factor > 1 else ""
    typer.echo(f"written: {out}{shrunk}")
    if open_page:
        webbrowser.open(out.resolve().as_uri())
