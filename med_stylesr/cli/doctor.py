"""`med-stylesr doctor`: checks the installation."""

from __future__ import annotations

import sys

import typer


def doctor() -> None:
    """Check the installation: packages, codecs, devices, bundles.

    Exit status 0 if the main job can run, 1 if something it needs is missing.
    """
    from med_stylesr.service.doctor import examine

    marks = {True: "ok", False: "MISSING", None: "-"}
    broken = False
    for finding in examine():
        broken = broken or finding.good is False
        typer.echo(f"{marks[finding.good]:<8}{finding.name:<18}{finding.told}")
    if broken:
        sys.exit(1)
