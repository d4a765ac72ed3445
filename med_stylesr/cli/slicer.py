"""`med-stylesr slicer path|install|doctor`: the module for 3D Slicer that comes along."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The module for 3D Slicer: where it is, adding it to Slicer, checking.", no_args_is_help=True)


@app.command("path")
def path() -> None:
    """Print the folder of the module.

    Try it in Slicer without changing any setting: Slicer --additional-module-paths "$(med-stylesr slicer path)"

    Or in Slicer: Edit, Application Settings, Modules, drag the folder onto Additional module paths, restart.
    """
    from med_stylesr.service.slicer_setup import module_folder

    typer.echo(module_folder())


@app.command("install")
def install(
    settings: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Settings file of one Slicer (there: slicer.app.slicerRevisionUserSettingsFilePath); may be repeated.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Add the module to Slicer's settings, for every start.

    Without --settings, every version of Slicer that you have started is changed, after asking. Close Slicer first: it
    writes its settings when it ends. A copy of each file is kept beside it (….ini.before-med-stylesr).

    For example: med-stylesr slicer install --yes
    """
    from med_stylesr.errors import UsageError
    from med_stylesr.service.slicer_setup import add_module, module_folder, settings_files, settings_folders

    folder = module_folder()
    files = settings or settings_files(os.environ, Path.home())
    if not files:
        looked = ", ".join(str(place) for place in settings_folders(os.environ, Path.home()))
        why = f"none was found in {looked}"
        raise UsageError("settings of Slicer", why, "start Slicer once and close it, or name the file with --settings")
    for file in files:
        if not yes and not typer.confirm(f"Add {folder} to {file}?"):
            typer.echo(f"left as it is: {file}")
            continue
        typer.echo(f"{'added to' if add_module(file, folder) else 'listed already in'} {file}")
    typer.echo("Start Slicer; the module is in the group Filtering, Denoising: MedStyleSR")


@app.command("doctor")
def doctor() -> None:
    """Check that the module is whole and known to Slicer.

    Also whether the module will find this program.

    Whether the program itself is fit for work is for: med-stylesr doctor

    Exit status 0 if the module can be used, 1 if something it needs is missing.
    """
    from med_stylesr import __version__
    from med_stylesr.service.slicer_setup import (
        listed_paths,
        module_folder,
        module_scripts_missing,
        own_program,
        settings_files,
    )

    folder = module_folder()
    missing = module_scripts_missing(folder)
    _tell(not missing, "module", f"lacks {', '.join(missing)}: reinstall med-stylesr" if missing else str(folder))
    program = own_program()
    todo = f"none beside {sys.executable}; choose one on the module's Settings tab"
    _tell(program is not None or None, "program", f"{program} {__version__}" if program else todo)
    files = settings_files(os.environ, Path.home())
    for file in files:
        known = folder.as_posix() in [entry.strip('"') for entry in listed_paths(file)]
        _tell(known or None, "Slicer", f"{file} {'lists' if known else 'does not list'} the module")
    if not files:
        _tell(None, "Slicer", "has not been started by this user yet; use: med-stylesr slicer path")
    if missing:
        sys.exit(1)


def _tell(good: bool | None, name: str, told: str) -> None:
    marks = {True: "ok", False: "MISSING", None: "-"}
    typer.echo(f"{marks[good]:<8}{name:<18}{told}")
