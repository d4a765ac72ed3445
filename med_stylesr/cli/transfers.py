"""What `pull` and `push` have in common: the service they talk to, and how they tell what became of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from med_stylesr.errors import UsageError, one_line

if TYPE_CHECKING:
    from med_stylesr.service.pacs.dicomweb import WebService
    from med_stylesr.service.pacs.transfer import Tally


def require_packages(verb: str, *packages: str) -> None:
    """Refuse to go on without the packages of the `pacs` extra.

    Raises:
        UsageError: naming the first that is missing.
    """
    from importlib.util import find_spec

    for package in packages:
        if find_spec(package) is None:
            raise UsageError(verb, f"needs {package}, which is not installed", "pip install 'med-stylesr[pacs]'")


def web_service(url: str, timeout_s: float, ca_file: Path | None) -> WebService:
    """The service at a URL.

    Raises:
        UsageError: if it cannot be talked to that way.
    """
    require_packages("DICOMweb", "dicomweb_client")
    if ca_file is not None and not ca_file.is_file():
        raise UsageError(f"--ca-file {ca_file}", "is no file")
    import warnings

    from med_stylesr.service.pacs.dicomweb import WebService

    # What pydicom warns of is for those who made the images; whoever fetches or sends them changes nothing.
    warnings.simplefilter("ignore")
    return WebService(url, timeout_s, ca_file)


def tell_tally(tally: Tally, verb: str) -> None:
    """Tell what was transferred and what was not, and end with status 1 if something was not."""
    for line in tally.failed:
        typer.echo(one_line(f"med-stylesr: {line}"), err=True)
    there = f", {tally.there} were there already" if tally.there else ""
    typer.echo(f"{tally.done} images {verb}{there}")
    if tally.failed:
        typer.echo("med-stylesr: not everything was transferred; run the same command again to go on", err=True)
        sys.exit(1)
