"""`med-stylesr train`: a bundle trained on your own scans."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train(
    bundle: Annotated[str, typer.Argument(help="ldct_stylesr_2d, ldct_stylesr_3d, or the folder of a bundle.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Config values, for example batch_size=2.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of scans (the config's dataset_dir).")
    ] = None,
    overlay: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME|FILE", help="Config laid over the bundle's, may be repeated: smoke, paired, mayo …"),
    ] = None,
    run_dir: Annotated[Path, typer.Option(metavar="DIR", help="Folder for weights, logs and curves.")] = Path(
        "runs/train"
    ),
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in the run folder.")] = False,
) -> None:
    """Train a bundle on your own scans, or fine-tune it.

    Without an overlay DIR holds normal-dose scans only (one file or DICOM folder each) and low dose is simulated. The
    run folder gets model.pt (best weights), last.pt (to resume), curves.png, history.csv, TensorBoard logs, the merged
    config and the environment. Every key is explained in docs/reference/config.md; unknown keys are refused.

    Examples:
      med-stylesr train ldct_stylesr_2d --overlay smoke --run-dir runs/try
      med-stylesr train ldct_stylesr_2d --data scans/ train#trainer#max_epochs=200 --run-dir runs/mine
      med-stylesr train ldct_stylesr_2d --overlay paired --data pairs/ --run-dir runs/mine --resume
    """
    from med_stylesr.service.train import TrainingRun, parse_overrides
    from med_stylesr.service.train import train as run_training

    values = parse_overrides(overrides or [])
    if data is not None:
        values["dataset_dir"] = str(data)
    weights = run_training(TrainingRun(bundle, overlay or [], values, run_dir, resume), typer.echo)
    typer.echo(f"best weights: {weights}; curves: {run_dir / 'curves.png'}")
