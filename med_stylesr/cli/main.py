"""The `med-stylesr` program: registers the verbs and turns errors into one line and an exit status.

Exit status: 0 everything done; 1 something failed and the rest was done; 2 wrong usage or nothing usable in SOURCE.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from med_stylesr.cli import data as _data
from med_stylesr.cli import deidentify as _deidentify
from med_stylesr.cli import demo as _demo
from med_stylesr.cli import doctor as _doctor
from med_stylesr.cli import enhance as _enhance
from med_stylesr.cli import evaluate as _evaluate
from med_stylesr.cli import simulate as _simulate
from med_stylesr.cli import train as _train
from med_stylesr.cli import view as _view
from med_stylesr.errors import MedStyleError, UsageError

app = typer.Typer(
    name="med-stylesr",
    help="Low-dose CT in normal-dose style, super-resolved on request. Research use only, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from med_stylesr import __version__

        typer.echo(f"med-stylesr {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the full traceback of an error.")] = False,
) -> None:
    """Options that stand before the verb."""
    if debug:
        os.environ["MED_STYLESR_DEBUG"] = "1"


app.command("enhance")(_enhance.enhance)
app.command("demo")(_demo.demo)
app.command("doctor")(_doctor.doctor)
app.add_typer(_data.app, name="data")
app.command("evaluate")(_evaluate.evaluate)
app.command("view")(_view.view)
app.command("deidentify")(_deidentify.deidentify)
app.command("simulate")(_simulate.simulate)
app.command("train")(_train.train)


def run() -> None:
    """Entry point of the program: no traceback reaches a user unless `--debug` asks for it."""
    # Idle threads sleep instead of spinning: beside a busy neighbour process, spinning costs several times the work.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app()
    except MedStyleError as error:
        _tell(str(error), error)
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except (KeyboardInterrupt, SystemExit) as error:
        # Typer makes exit status 130 of Ctrl-C, without a word.
        if isinstance(error, SystemExit) and error.code != 130:
            raise
        _tell("interrupted: whole outputs were kept, unfinished ones removed; run again with --resume", error)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output (head, less) went away; that is no error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        name = type(error).__name__
        _tell(f"internal error: {name}: {error}; please report it with the output of `med-stylesr --debug …`", error)
        sys.exit(1)


def _tell(line: str, error: BaseException) -> None:
    if os.environ.get("MED_STYLESR_DEBUG"):
        import traceback

        traceback.print_exception(error)
    print("med-stylesr: " + " ".join(line.split()), file=sys.stderr)
