"""`med-stylesr enhance`: the main job."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from med_stylesr.cli.choices import Format, Precision, RuntimeName, TransferSyntax
from med_stylesr.cli.enhance_request import refuse_beside_stream, strength_request
from med_stylesr.cli.stopping import stop_in_order


def enhance(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE", help="DICOM folder, file, zip or DICOMDIR; NIfTI, NRRD or MHA; or a tree of them."
        ),
    ],
    dest: Annotated[
        Path, typer.Argument(metavar="DEST", help="Folder for the results; made if needed. Never inside SOURCE.")
    ],
    scale: Annotated[
        tuple[int, int, int], typer.Option(metavar="Z Y X", help="Super-resolution factors: slices, rows, columns.")
    ] = (1, 1, 1),
    spacing: Annotated[
        tuple[float, float, float] | None,
        typer.Option(
            metavar="Z Y X", help="Target spacing in mm instead of --scale; the nearest whole factors are used."
        ),
    ] = None,
    strength: Annotated[
        str, typer.Option(metavar="auto|0..1", help="How much of the correction to apply; 0 gives the input back.")
    ] = "auto",
    dose: Annotated[
        float | None,
        typer.Option(
            metavar="F",
            help="Fraction of normal dose the scan was made with (auto leaves sqrt(F) of its noise). Left out: "
            "estimated from the noise, the kernel, the slice thickness and the size of the body, and told.",
        ),
    ] = None,
    target_noise: Annotated[
        float | None, typer.Option(metavar="HU", help="Noise that auto is to leave in soft tissue.")
    ] = None,
    uncertainty: Annotated[
        bool,
        typer.Option(
            "--uncertainty",
            help="Also write how uncertain each voxel is (standard deviation in HU over four mirror images). Takes "
            "four times as long.",
        ),
    ] = False,
    safe: Annotated[
        bool,
        typer.Option("--safe", help="Give the input back where the result is uncertain. Takes four times as long."),
    ] = False,
    style: Annotated[
        str,
        typer.Option(
            metavar="NAME|PATH",
            help="A style of the bundle (normal-dose; smooth: less noise, nearest to normal dose in the mean square; "
            "noise-free: none; soft, sharp: one kernel at normal dose; as-is: super-resolves only), or a normal-dose "
            "scan to take kernel and texture from: a path with a / or an ending.",
        ),
    ] = "normal-dose",
    bundle: Annotated[
        str, typer.Option(help="Bundle folder, or the name of a shipped one; ldct_stylesr_2d_fast takes half the time.")
    ] = "ldct_stylesr_2d",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    runtime: Annotated[
        RuntimeName,
        typer.Option(help="What runs the networks; auto: OpenVINO on a CPU if installed, else torch."),
    ] = RuntimeName.auto,
    precision: Annotated[
        Precision,
        typer.Option(
            help="Of the convolutions; auto: bfloat16 where the processor has it (within 1 HU of float32). int8: less "
            "time, 2D at scale 1 (within 1.5 HU)."
        ),
    ] = Precision.auto,
    jobs: Annotated[int, typer.Option(min=1, help="Scans worked on at the same time.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Skip what an earlier run has done, do the rest.")] = False,
    retry_quarantined: Annotated[
        bool,
        typer.Option("--retry-quarantined", help="With --resume: try again what killed its worker process twice."),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that exist in DEST.")] = False,
    format: Annotated[Format, typer.Option(help="Format of the results; auto keeps that of the input.")] = Format.auto,
    transfer_syntax: Annotated[
        TransferSyntax, typer.Option(help="How DICOM results are encoded; every choice is lossless.")
    ] = TransferSyntax.uncompressed,
    dicomdir: Annotated[
        bool, typer.Option("--dicomdir", help="Also copy all DICOM results to DEST/medium with a DICOMDIR.")
    ] = False,
    multiframe: Annotated[
        bool,
        typer.Option(
            "--multiframe/--no-multiframe", help="Each DICOM result as one Enhanced CT image, not one a slice."
        ),
    ] = False,
    deidentify: Annotated[
        str | None,
        typer.Option(metavar="PROFILE", help="De-identify what is written: a profile's name (basic) or file."),
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(
            help="With --deidentify: secret for pseudonyms, made if absent; without one, no two runs can be linked."
        ),
    ] = None,
    report: Annotated[bool, typer.Option("--report/--no-report", help="An HTML report for every scan.")] = True,
    memory_limit: Annotated[
        int | None,
        typer.Option(
            metavar="MB",
            min=0,
            help="Memory for one scan; 0: no limit. [default: 0.9 of what is free / jobs]",
        ),
    ] = None,
    time_limit: Annotated[
        float | None,
        typer.Option(
            metavar="MINUTES", min=0, help="Time for one scan; 0: no limit. [default: 10 and 1 for every 6 slices]"
        ),
    ] = None,
    isolate: Annotated[
        bool,
        typer.Option(
            "--isolate/--no-isolate",
            help="Work in processes of their own, so that a crash, a hang or a memory hog costs one scan only.",
        ),
    ] = True,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="local|ray://HEAD:10001",
            help="Let --jobs workers of a Ray cluster do it; SOURCE and DEST are on a file system they share.",
        ),
    ] = None,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Stay, and do whatever arrives in the folder SOURCE, until Ctrl-C."),
    ] = False,
    quiet_seconds: Annotated[
        float,
        typer.Option(min=0.5, metavar="S", help="With --watch: begin a scan when its files are so old."),
    ] = 30.0,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what would be done and what time and disk it takes; write nothing."),
    ] = False,
    stream: Annotated[
        bool,
        typer.Option(
            "--stream",
            help="SOURCE changes with time (cine, perfusion; NIfTI with a time axis, DICOM series with phases): frames "
            "in order, all with the strength of the first; slices per second and flicker are told.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Progress as JSON lines on standard output.")] = False,
    stop_with_stdin: Annotated[
        bool,
        typer.Option("--stop-with-stdin", help="Stop when standard input closes (for programs that start this one)."),
    ] = False,
) -> None:
    """Give low-dose CT scans the look of normal dose, super-resolved on request.

    HU, geometry and headers are kept; DICOM comes out as a derived series of the same study, volumes in their own
    format. DEST gets manifest.json: what was done to every scan, and why one was not.

    Everything in a folder: med-stylesr enhance scans/ out/

    Quarter dose, twice the rows and columns: med-stylesr enhance scans/ out/ --dose 0.25 --scale 1 2 2

    Half of the correction: med-stylesr enhance chest.nii.gz out/ --strength 0.5

    As this scan looks: med-stylesr enhance scans/ out/ --style normal_dose_chest.nii.gz

    Careful, with a map of what is uncertain: med-stylesr enhance scans/ out/ --safe --uncertainty

    What would it take: med-stylesr enhance scans/ out/ --dry-run

    Whatever a scanner puts there: med-stylesr enhance inbox/ out/ --watch

    Go on after Ctrl-C, or do what failed or is new: med-stylesr enhance scans/ out/ --resume

    Exit status: 0 all done, 1 something failed and the rest was done, 2 wrong usage or nothing usable in SOURCE.
    """
    stop_in_order(stop_with_stdin)
    request = strength_request(strength, dose, target_noise)

    from med_stylesr.inference.request import REFERENCE_STYLE, EnhanceOptions, StrengthRequest, check_scale
    from med_stylesr.service.preflight import check_bundle, check_multiframe, check_places, style_named, style_reference

    if stream:
        refuse_beside_stream(dry_run=dry_run, watch=watch, jobs=jobs > 1, cluster=cluster, dicomdir=dicomdir)
    # Before torch is imported: a slip of the keyboard should not wait for it.
    check_scale(scale, spacing)
    asked = StrengthRequest(*request)
    asked.check()
    reference = style_reference(style)
    check_bundle(bundle, style if reference is None else None)
    if multiframe:
        check_multiframe(format.value, transfer_syntax.value)
    check_places(source, dest, resume=resume or watch, overwrite=overwrite, deidentify=deidentify, key_file=key_file)

    from med_stylesr.cli.progress import reporter

    with reporter(as_json) as events, style_named(style, reference):
        from med_stylesr.service.settings import EnhanceSettings, Limits

        settings = EnhanceSettings(
            options=EnhanceOptions(
                scale=scale,
                style=style if reference is None else REFERENCE_STYLE,
                request=asked,
                uncertainty=uncertainty,
                safe=safe,
            ),
            spacing_mm=spacing,
            bundle=bundle,
            device=device,
            format=format.value,
            deidentify=deidentify,
            key_file=key_file,
            overwrite=overwrite,
            report=report,
            threads=max(1, (os.cpu_count() or 1) // jobs) if jobs > 1 else 0,
            limits=Limits(memory_limit, time_limit) if isolate else None,
            transfer_syntax=transfer_syntax.value,
            dicomdir=dicomdir,
            runtime=runtime.value,
            precision=precision.value,
            style_reference=reference,
            multiframe=multiframe,
        )
        if stream:
            from med_stylesr.service.stream import stream as stream_frames

            sys.exit(
                stream_frames(
                    source, dest, settings, lambda line: events({"event": "frame", "told": line}), resume=resume
                )
            )
        if dry_run:
            from med_stylesr.service.batch import exit_status
            from med_stylesr.service.rehearsal import rehearse

            manifest = rehearse(source, dest, settings, jobs=jobs, resume=resume, events=events)
            sys.exit(exit_status(manifest))
        if watch:
            from med_stylesr.service.watch import watch as watch_folder

            sys.exit(
                watch_folder(
                    source, dest, settings, jobs=jobs, cluster=cluster, quiet_seconds=quiet_seconds, events=events
                )
            )
        from med_stylesr.service.workers import workplace

        with workplace(settings, jobs, cluster) as place:
            # Imported while the first worker starts.
            from med_stylesr.service.batch import exit_status, run_batch

            manifest = run_batch(
                source,
                dest,
                settings,
                jobs=jobs,
                resume=resume,
                events=events,
                retry_quarantined=retry_quarantined,
                cluster=cluster,
                place=place,
            )
    status = exit_status(manifest)
    if status:
        sys.exit(status)
