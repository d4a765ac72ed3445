"""`med-stylesr deidentify`: DICOM and volume files without anybody's identity."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def deidentify(
    source: Annotated[Path, typer.Argument(help="DICOM or volume file, or a folder of them. Never written to.")],
    dest: Annotated[Path, typer.Argument(help="Folder for the results; made if needed. Never inside SOURCE.")],
    profile: Annotated[
        str,
        typer.Option(help="basic, share-minimal, research-longitudinal, internal-qa, or a YAML file of your own."),
    ] = "basic",
    key_file: Annotated[
        Path | None,
        typer.Option(help="Secret key, made if there is none: the same key gives the same pseudonyms in every run."),
    ] = None,
    mapping_csv: Annotated[
        Path | None, typer.Option(help="Write old and new identifiers here, for the holder of the key only.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Worker processes (default: one a core).")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be done; write nothing.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that exist in DEST.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Progress as JSON lines on standard output.")] = False,
) -> None:
    """Remove everybody's identity from DICOM files after PS3.15 Annex E, and prove it.

    Attributes go by the standard's table and by what the object's definition allows; what is unknown is removed.
    Files that cannot be cleaned (text in the pixels, unreadable frames, unknown objects) are named and held back.
    Every file that was written is read back and searched for every name, number and date of the whole SOURCE.
    DEST/deidentify-audit.json tells what was done, without any identifier.

    Example: med-stylesr deidentify scans/ shared/ --profile share-minimal --key-file ~/keys/study.key
    """
    import os

    from med_stylesr.cli.progress import reporter
    from med_stylesr.service.preflight import check_writable

    if not dry_run:
        check_writable(dest, "DEST")
        if mapping_csv is not None:
            check_writable(mapping_csv.parent, "--mapping-csv")

    from med_stylesr.service.deidentify import DeidentifyJob, run_deidentify

    job = DeidentifyJob(source, dest, profile, key_file, mapping_csv, jobs or os.cpu_count() or 1, dry_run, overwrite)
    with reporter(as_json) as events:
        record = run_deidentify(job, events)
    files, verification = record["files"], record["verification"]
    if as_json:
        import json

        typer.echo(json.dumps({"event": "record", **record}))
    else:
        if dry_run:
            for row in record["actions"]:
                typer.echo(f"{row['action']:>10} {row['times']:>6}x {row['tag']} {row['name']} ({row['why']})")
        would = "would be written" if dry_run else "written"
        others = sum(files["left_out"].values())
        typer.echo(f"{files['written']} {would}, {len(files['quarantined'])} held back, {others} no images")
    if not verification["passed"]:
        typer.echo("an identifier was found in what was written; those files were removed", err=True)
    if files["quarantined"] or not verification["passed"]:
        raise typer.Exit(1)
    if not files["written"]:
        raise typer.Exit(2)
