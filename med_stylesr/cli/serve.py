"""`med-stylesr serve`: beside a PACS, without anybody's help."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated, Any

import typer

from med_stylesr.cli.transfers import require_packages
from med_stylesr.errors import UsageError

_TAKEN = (
    "resume",
    "retry_quarantined",
    "overwrite",
    "format",
    "report",
    "as_json",
    "stop_with_stdin",
    "dry_run",
    "watch",
)
"""Parameters of `enhance` that the server decides on."""
_POINTLESS = {
    "quiet_seconds": "use --quiet of serve, which says when a study is complete",
    "dicomdir": "leave it out; results go to archives, not to a medium",
    "stream": "leave it out; a study is complete before it is begun",
    "isolate": "leave it out; a scan that is not isolated has no limits",
}
"""Parameters of `enhance` that mean nothing beside an archive, or undo what a server is for, and what to do instead."""
_LIMITS = ("memory_limit", "time_limit")
"""Parameters of both."""


def serve(
    context: typer.Context,
    state: Annotated[
        Path,
        typer.Argument(metavar="STATE", help="Folder of the server: queue, received images, results. Made if needed."),
    ],
    to: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Where results go: dicom://AET@host:port, dicoms://…, https://… Repeatable."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML or TOML file of these options; those given here win.")
    ] = None,
    aet: Annotated[str | None, typer.Option(help="Own AE title (MEDSTYLESR).")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on (127.0.0.1: this machine alone).")] = None,
    port: Annotated[int | None, typer.Option(help="DICOM port (11112); 0 takes a free one.")] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(metavar="AET@NETWORK", help="Who may send: AET, @network or both. Repeatable; `any` for all."),
    ] = None,
    http_port: Annotated[
        int | None, typer.Option(help="Port of /healthz and /metrics on 127.0.0.1 (11180); 0 takes a free one.")
    ] = None,
    accept: Annotated[
        str | None, typer.Option(metavar="ct|all", help="Take CT images alone (ct), or every storage class.")
    ] = None,
    quiet_s: Annotated[
        float | None, typer.Option("--quiet", metavar="SECONDS", help="Silence that completes a study (30).")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate (PEM): only TLS is spoken then.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key (PEM, without a password).")] = None,
    tls_ca: Annotated[
        Path | None, typer.Option(help="CA (PEM) that senders must be signed by and destinations are checked against.")
    ] = None,
    max_instance_mb: Annotated[float | None, typer.Option(help="Largest image taken, MB (512).")] = None,
    min_free_gb: Annotated[
        float | None, typer.Option(help="Free disk space, GB, below which nothing is taken (2).")
    ] = None,
    attempts: Annotated[int | None, typer.Option(help="Tries of a delivery before it is a dead letter (12).")] = None,
    memory_limit: Annotated[
        int | None,
        typer.Option(metavar="MB", min=0, help="Memory for one scan; 0: no limit. (0.9 of what is free)"),
    ] = None,
    time_limit: Annotated[
        float | None,
        typer.Option(metavar="MINUTES", min=0, help="Time for one scan; 0: no limit. (10 and 1 for every 6 slices)"),
    ] = None,
    keep_hours: Annotated[float | None, typer.Option(help="How long delivered studies are kept (24).")] = None,
    dead: Annotated[
        bool, typer.Option("--dead", help="List what could not be enhanced or delivered, and stop.")
    ] = False,
    resend: Annotated[bool, typer.Option("--resend", help="Have all of that tried again; stop.")] = False,
    discard: Annotated[bool, typer.Option("--discard", help="Give all of that up for good; stop.")] = False,
) -> None:
    """Receive CT studies by DICOM C-STORE, enhance each when it is complete, send the results on.

    An image is answered with Success once it is safe on the disk; from then on it survives crashes, full disks and
    dead destinations. A study is complete when its senders have hung up and nothing came for a while. Results are
    derived series of the same study. Options of `enhance` follow after --.

    Back into the PACS that sends: med-stylesr serve /var/lib/med-stylesr --to dicom://PACS@127.0.0.1:4242

    From one scanner, by DICOMweb: med-stylesr serve STATE --host 10.1.2.3 --peer CT1@10.1.2.0/24 --to https://pacs/dicom-web

    Quarter-dose scans, de-identified: med-stylesr serve STATE --to URL -- --dose 0.25 --deidentify basic --key-file KEY

    After repairing a destination: med-stylesr serve STATE --resend

    Credentials for https:// come from MED_STYLESR_DICOMWEB_USER and _PASSWORD, or _TOKEN, or ~/.netrc.
    The log is JSON lines on standard error, without anything that names a patient.
    """
    if dead or resend or discard:
        _settle(state, dead, resend, discard)
        return
    names = (
        *("to", "aet", "host", "port", "peer", "http_port", "accept", "quiet_s", "tls_cert", "tls_key", "tls_ca"),
        *("max_instance_mb", "min_free_gb", "attempts", "memory_limit", "time_limit", "keep_hours"),
    )
    given: dict[str, Any] = {name: context.params[name] for name in names}
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    given["enhance"] = tuple(context.args)

    from med_stylesr.service.pacs.serve_settings import load_settings

    settings = load_settings(config, given)
    _check_enhance(settings.enhance, [name for name in _LIMITS if getattr(settings, name) is not None])
    require_packages("serve", "pynetdicom", "dicomweb_client", "prometheus_client")

    from med_stylesr.service.pacs.serve import Server

    with Server(state, settings) as server:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda signum, frame: server.stop())
        server.run()


def _check_enhance(options: tuple[str, ...], limited: list[str]) -> None:
    """Refuse options that `enhance` does not know, or that the server sets itself, before the first study does.

    Args:
        options: those after --.
        limited: limits that the server was given itself.
    """
    from med_stylesr.cli.main import app

    command = typer.main.get_command(app).commands["enhance"]  # type: ignore[attr-defined]
    try:
        parsed = command.make_context("enhance", ["SOURCE", "DEST", *options])
    except Exception as error:
        # The errors of click, or of the copy of it that newer versions of typer bring along.
        told = error.format_message() if hasattr(error, "format_message") else str(error)
        raise UsageError("the options after --", told.rstrip("."), "see enhance --help") from error
    for name in parsed.params:
        source = parsed.get_parameter_source(name)
        if source is None or source.name != "COMMANDLINE":
            continue
        option = f"--{name.removeprefix('as_').replace('_', '-')}"
        if name in _TAKEN:
            raise UsageError(option, "is set by serve itself", "leave it out")
        if name in _POINTLESS:
            raise UsageError(option, "is not for a server", _POINTLESS[name])
        if name in limited:
            raise UsageError(option, "is given to serve and again after --", "give it once")
    if parsed.params["deidentify"] and not parsed.params["key_file"]:
        raise UsageError(
            "--deidentify", "needs a key, or one patient would get a new pseudonym each time", "give --key-file"
        )


def _settle(state: Path, dead: bool, resend: bool, discard: bool) -> None:
    if dead + resend + discard > 1:
        raise UsageError("--dead, --resend and --discard", "are three different things", "give one of them")
    from med_stylesr.service.pacs.queue import DEAD, NAME, Queue

    if not (state / NAME).is_file():
        raise UsageError(str(state), "is no folder of a server", "check STATE")
    queue = Queue(state)
    try:
        if dead:
            uids = {study.key: study.uid for study in queue.studies(*queue.counts("study"))}
            for study in queue.studies(DEAD):
                typer.echo(f"study {study.uid} was not enhanced: {study.reason}")
            for one in queue.deliveries(DEAD):
                typer.echo(
                    f"series {Path(one.folder).name} of study {uids[one.study]} to {one.destination}: {one.reason}"
                )
        else:
            count = queue.revive() if resend else queue.discard()
            typer.echo(f"{count} {'will be tried again' if resend else 'given up'}")
    finally:
        queue.close()
