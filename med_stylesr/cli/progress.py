"""How a run tells what it is doing: bars on a terminal, plain lines elsewhere, JSON lines for programs."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from med_stylesr.errors import one_line

Events = Callable[[Mapping[str, Any]], None]


@contextmanager
def reporter(as_json: bool) -> Iterator[Events]:
    """A receiver of events that shows them in the way that fits where output goes.

    Problems always go to standard error as one line each; progress goes to standard output.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A file name need not be text in the encoding of the terminal.
            stream.reconfigure(errors="backslashreplace")
    if as_json:
        yield _json_lines
    elif sys.stdout.isatty():
        with _bars() as events:
            yield events
    else:
        yield _plain_lines


def _json_lines(event: Mapping[str, Any]) -> None:
    print(json.dumps(event, default=str), flush=True)
    _problems(event)


def _plain_lines(event: Mapping[str, Any]) -> None:
    _problems(event)
    text = _line(event)
    if text:
        print(text, flush=True)


def _line(event: Mapping[str, Any]) -> str:
    kind = event["event"]
    if kind == "scan":
        text = f"looking for CT series and volumes in {event['source']}"
    elif kind == "start":
        text = f"{event['total']} to do"
    elif kind == "series":
        text = f"[{event['number']}/{event['total']}] {event['source']}"
    elif kind == "done":
        number = f"[{event['number']}] " if "number" in event else ""
        text = f"{number}done in {event['seconds']:.1f} s{_facts(event['facts'])}"
    elif kind == "skip" and not event["problem"]:
        text = f"skipped {event['source']}: {event['reason']}"
    elif kind == "end":
        text = f"record: {event['manifest']}"
    else:
        text = ""
    return one_line(text)


def _facts(facts: Mapping[str, Any]) -> str:
    if facts.get("noise_before_hu") is None:
        return ""
    before, after = facts["noise_before_hu"], facts["noise_after_hu"]
    moved = max((abs(s) for s in facts["tissue_shift_hu"].values()), default=0.0)
    return f": noise {before:.1f} -> {after:.1f} HU, strength {facts['strength']:.2f}, HU moved by at most {moved:.2f}"


def _problems(event: Mapping[str, Any]) -> None:
    if event["event"] == "failed" or (event["event"] == "skip" and event["problem"]):
        _complain(f"{event['source']}: {event['reason']}")
    for warning in event.get("warnings", ()):
        _complain(f"warning: {event['source']}: {warning}")


def _complain(text: str) -> None:
    print(one_line(f"med-stylesr: {text}"), file=sys.stderr, flush=True)


@contextmanager
def _bars() -> Iterator[Events]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, redirect_stderr=sys.stderr.isatty()) as progress:
        whole = progress.add_task("scans", total=None)
        slices = progress.add_task("slices", visible=False)
        shown = time.monotonic()

        def show(event: Mapping[str, Any]) -> None:
            nonlocal shown
            _problems(event)
            kind = event["event"]
            if kind == "start":
                progress.update(whole, total=event["total"])
            elif kind == "progress" and (time.monotonic() - shown > 0.1 or event["done"] == event["total"]):
                shown = time.monotonic()
                progress.update(slices, visible=True, total=event["total"], completed=event["done"])
            elif kind in ("done", "failed"):
                progress.advance(whole)
            if kind in ("series", "done", "skip", "scan", "end"):
                text = _line(event)
                if text:
                    progress.console.print(text, markup=False, highlight=False)

        yield show


__all__ = ["Events", "reporter"]
