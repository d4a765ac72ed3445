"""`med-stylesr push`: results into an archive, by DICOMweb."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def push(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="DICOM file, or a folder of them; only read.")],
    url: Annotated[str, typer.Argument(metavar="URL", help="Base URL of the DICOMweb service.")],
    everything: Annotated[
        bool, typer.Option("--all", help="Send also what the service has already; it decides what becomes of that.")
    ] = False,
    ca_file: Annotated[Path | None, typer.Option(help="CA (PEM) that the service is checked against.")] = None,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=1, metavar="SECONDS", help="Longest wait for an answer.")
    ] = 60.0,
) -> None:
    """Send DICOM files to an archive by DICOMweb (STOW-RS).

    Run the same command again to go on after an interruption: the archive is asked what it has (QIDO-RS), and that is
    not sent again. Files that are no DICOM are passed over.

    Example: med-stylesr push out/ https://pacs/dicom-web

    Credentials: MED_STYLESR_DICOMWEB_USER and MED_STYLESR_DICOMWEB_PASSWORD, or MED_STYLESR_DICOMWEB_TOKEN, or
    ~/.netrc.

    Exit status: 0 the archive has everything, 1 something was not sent, 2 wrong usage or no DICOM file.
    """
    from med_stylesr.cli.transfers import tell_tally, web_service
    from med_stylesr.service.pacs.transfer import push as run

    service = web_service(url, timeout_s, ca_file)
    tell_tally(run(service, folder, everything, typer.echo), "sent")
