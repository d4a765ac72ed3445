"""`med-stylesr simulate`: realistic low-dose and low-resolution partners of any scan."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class SliceProfile(str, Enum):
    """Shapes of a slice profile."""

    rectangular = "rectangular"
    smooth = "smooth"


def simulate(
    source: Annotated[
        Path, typer.Argument(help="DICOM folder, file, zip or DICOMDIR; NIfTI, NRRD or MHA; or a tree of them.")
    ],
    dest: Annotated[Path, typer.Argument(help="Folder for the results; made if needed. Never inside SOURCE.")],
    dose: Annotated[
        float, typer.Option(metavar="F", help="Dose to simulate, as a share of the dose the scan has; 1 adds no noise.")
    ] = 1.0,
    thickness: Annotated[float | None, typer.Option(metavar="MM", help="Thickness of the slices to make.")] = None,
    step: Annotated[
        float | None, typer.Option(metavar="MM", help="Distance of the slices to make (default: --thickness).")
    ] = None,
    profile: Annotated[SliceProfile, typer.Option(help="Slice profile.")] = SliceProfile.rectangular,
    pixel: Annotated[float | None, typer.Option(metavar="MM", help="Pixel size to make.")] = None,
    psf: Annotated[
        float | None, typer.Option(metavar="MM", help="FWHM of the in-plane point spread (default: --pixel).")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the noise: the same seed gives the same noise.")] = 0,
    scanner: Annotated[str, typer.Option(help="Scan geometry: ge-lightspeed or siemens-definition.")] = "ge-lightspeed",
    i0: Annotated[
        float | None,
        typer.Option(
            "--i0",
            metavar="PHOTONS",
            help="Photons a ray of the scan as it is, 100 … 1e9 (default: from its noise).",
        ),
    ] = None,
    kernel: Annotated[
        str,
        typer.Option(help="Noise texture: auto (as the scan's own), or smooth, soft, standard, sharp, lung, ramp."),
    ] = "auto",
    electronic_noise: Annotated[
        float, typer.Option(metavar="PHOTONS", help="SD of the electronic noise in photons a ray.")
    ] = 3.16,
    tube_current_modulation: Annotated[
        float | None,
        typer.Option(
            metavar="0..1",
            help="In-plane modulation of the tube current: 0 none, 0.5 optimal (default: as its noise tells; 0.5 with "
            "--i0).",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Skip what an earlier run has done, do the rest.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that exist in DEST.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Progress as JSON lines on standard output.")] = False,
) -> None:
    """Make low-dose and low-resolution partners of normal-dose CT scans.

    Noise of the missing dose is made in the projection domain and reconstructed alone, so anatomy stays as sharp as
    it is; its strength, texture and streaks are matched to the noise the scan has. DICOM comes out as a derived series,
    volumes in their own format. A JSON file beside each result tells dose, photons, kernel, modulation,
    seed and measured noise.

    A quarter of the dose: med-stylesr simulate scans/ out/ --dose 0.25

    Another realisation of a tenth: med-stylesr simulate chest.nii.gz out/ --dose 0.1 --seed 7

    Thick slices, large pixels: med-stylesr simulate thin/ out/ --thickness 5 --step 2.5 --pixel 1.4

    Go on after Ctrl-C, or do what failed or is new: med-stylesr simulate scans/ out/ --dose 0.25 --resume

    Exit status: 0 all done, 1 something failed and the rest was done, 2 wrong usage or nothing usable in SOURCE.
    """
    from med_stylesr.cli.progress import reporter
    from med_stylesr.service.preflight import check_places

    # Before torch is imported: a slip of the keyboard should not wait for it.
    check_places(source, dest, resume=resume, overwrite=overwrite, deidentify=None, key_file=None)

    with reporter(as_json) as events:
        from med_stylesr.degrade.scan import DegradationPlan
        from med_stylesr.service.manifest import FAILED
        from med_stylesr.service.simulate import simulate_all

        plan = DegradationPlan(
            dose_fraction=dose,
            thickness_mm=thickness,
            step_mm=step,
            profile="rectangular" if profile is SliceProfile.rectangular else "smooth",
            pixel_mm=pixel,
            psf_fwhm_mm=psf,
            seed=seed,
            scanner=scanner,
            i0_photons=i0,
            kernel=kernel,
            electronic_sd=electronic_noise,
            tube_current_modulation=tube_current_modulation,
        )
        manifest = simulate_all(source, dest, plan, device=device, overwrite=overwrite, resume=resume, events=events)
    if any(entry.status == FAILED for entry in manifest.entries):
        sys.exit(1)
