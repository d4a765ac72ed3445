"""`med-stylesr pull`: studies out of an archive, by DICOMweb."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def pull(
    url: Annotated[str, typer.Argument(metavar="URL", help="Base URL of the DICOMweb service.")],
    dest: Annotated[Path, typer.Argument(metavar="DEST", help="Folder for the images; made if needed.")],
    study: Annotated[str, typer.Option(metavar="UID", help="StudyInstanceUID of the study to fetch.")],
    series: Annotated[list[str] | None, typer.Option(metavar="UID", help="Only this series of it. Repeatable.")] = None,
    ca_file: Annotated[Path | None, typer.Option(help="CA (PEM) that the service is checked against.")] = None,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=1, metavar="SECONDS", help="Longest wait for an answer.")
    ] = 60.0,
) -> None:
    """Fetch a study or series from an archive by DICOMweb (QIDO-RS, WADO-RS).

    Images go to DEST/<series>/<image>.dcm, encoded as the archive keeps them. Run the same command again to go on
    after an interruption: what is there is not fetched again.

    Example: med-stylesr pull https://pacs/dicom-web scans/ --study 1.2.840.113619.2.1

    Then: med-stylesr enhance scans/ out/, and med-stylesr push out/ https://pacs/dicom-web

    Credentials: MED_STYLESR_DICOMWEB_USER and MED_STYLESR_DICOMWEB_PASSWORD, or MED_STYLESR_DICOMWEB_TOKEN, or
    ~/.netrc.

    Exit status: 0 everything is there, 1 something could not be fetched, 2 wrong usage or no such study.
    """
    from med_stylesr.cli.transfers import tell_tally, web_service
    from med_stylesr.service.pacs.transfer import pull as run

    service = web_service(url, timeout_s, ca_file)
    tell_tally(run(service, study, series or [], dest, typer.echo), "fetched")
