"""The `med-stylesr` program: registers the verbs and turns errors into one line and an exit status.

Exit status: 0 everything done; 1 something failed and the rest was done; 2 wrong usage or nothing usable in SOURCE.
"""

from __future__ import annotations

import inspect
import os
import sys
import warnings
from typing import Annotated, Final

import typer

from med_stylesr.cli import data as _data
from med_stylesr.cli import deidentify as _deidentify
from med_stylesr.cli import demo as _demo
from med_stylesr.cli import doctor as _doctor
from med_stylesr.cli import enhance as _enhance
from med_stylesr.cli import evaluate as _evaluate
from med_stylesr.cli import export as _export
from med_stylesr.cli import lesions as _lesions
from med_stylesr.cli import pull as _pull
from med_stylesr.cli import push as _push
from med_stylesr.cli import serve as _serve
from med_stylesr.cli import simulate as _simulate
from med_stylesr.cli import slicer as _slicer
from med_stylesr.cli import train as _train
from med_stylesr.cli import view as _view
from med_stylesr.cli.lines import place_line
from med_stylesr.errors import MedStyleError, UsageError, one_line

_ParserError: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
"""What the parser of the command line raises; typer names only some of its kinds."""

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
app.command("lesions")(_lesions.lesions)
app.command("export")(_export.export)
app.command("view")(_view.view)
app.command("deidentify")(_deidentify.deidentify)
app.command("simulate")(_simulate.simulate)
app.command("train")(_train.train)
app.command("serve", context_settings={"allow_extra_args": True})(_serve.serve)
app.command("pull")(_pull.pull)
app.command("push")(_push.push)
app.add_typer(_slicer.app, name="slicer")


_INTERRUPTED: Final = 130


def run() -> None:
    """Entry point of the program: no traceback reaches a user unless `--debug` asks for it."""
    # Idle threads sleep instead of spinning: beside a busy neighbour process, spinning costs several times the work.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if "--debug" not in sys.argv:
        # Libraries warn of damaged headers in lines of their own; what matters of that is in the manifest.
        os.environ.setdefault("PYTHONWARNINGS", "ignore")
        warnings.simplefilter("ignore")
    try:
        # Typer itself would tell a wrong option in four lines, and an interruption by status 130 without a word.
        status = app(standalone_mode=False)
        if status == _INTERRUPTED:
            raise KeyboardInterrupt
        sys.exit(status if isinstance(status, int) else 0)
    except _ParserError as error:
        _tell_wrong_usage(error)
        sys.exit(2)
    except MedStyleError as error:
        _tell(_as_offered(str(error)), error)
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except (KeyboardInterrupt, typer.Abort) as error:
        told = "interrupted: whole outputs were kept, unfinished ones removed; run again with --resume"
        _tell(_as_offered(told), error)
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output (head, less) went away; that is no error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        place = place_line(error)
        if place:
            _tell(place, error)
            sys.exit(2)
        name = type(error).__name__
        _tell(f"internal error: {name}: {error}; please report it with the output of `med-stylesr --debug …`", error)
        sys.exit(1)


_RESUMING: Final = (
    ("run again with --resume", "run again"),
    ("use --resume to add to them, --overwrite to replace them", "use --overwrite to replace them"),
)
"""What is advised where files are written, for any verb, and how it is put for a verb without that option."""


def _as_offered(line: str) -> str:
    """The line without the advice to use --resume if the verb that runs has no such option."""
    verb = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    callbacks = [one.callback for one in app.registered_commands if one.name == verb and one.callback]
    if any("resume" in inspect.signature(callback).parameters for callback in callbacks):
        return line
    for advised, offered in _RESUMING:
        line = line.replace(advised, offered)
    return line


def _tell_wrong_usage(error: Exception) -> None:
    """One line for what the parser of the command line refuses, or the help of a command that was given nothing."""
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(context.get_help() if context is not None else str(error), err=True)
        return
    given = [word for word in sys.argv[1:2] if word in {one.name for one in app.registered_commands}]
    command = context.command_path if context is not None else " ".join(["med-stylesr", *given])
    told = getattr(error, "format_message", lambda: str(error))().strip().rstrip(".").replace("Value error, ", "")
    _tell(f"{command.removeprefix('med-stylesr').strip() or 'usage'}: {told}; see `{command} --help`", error)


def _tell(line: str, error: BaseException) -> None:
    if os.environ.get("MED_STYLESR_DEBUG"):
        import traceback

        traceback.print_exception(error)
    print("med-stylesr: " + one_line(line, limit=sys.maxsize), file=sys.stderr)
