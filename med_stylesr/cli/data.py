"""`med-stylesr data`: prepare scans for training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Prepare scans for training.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def options() -> None:
    """Prepare scans for training."""


@app.command()
def prepare(
    plan: Annotated[
        Path, typer.Argument(help="JSON plan: scans, doses, own_kernel, seed (configs/weights/data_*.json).")
    ],
    root: Annotated[Path, typer.Argument(help="Folder that the plan's folders lie in.")],
    cache: Annotated[Path, typer.Argument(help="Folder of the cache; scans that are in it are kept.")],
) -> None:
    """Simulate the noise of lower doses for normal-dose scans, once, for training on cached pairs.

    About half a second a slice and draw on one core. Can be interrupted and started again.

    Example:
      med-stylesr data prepare configs/weights/data_train.json SCANS cache/train
    """
    from med_stylesr.service.training_data import prepare as run

    run(plan, root, cache, typer.echo)
