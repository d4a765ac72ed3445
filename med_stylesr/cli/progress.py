"""How a run tells what it is doing: bars on a terminal, plain lines elsewhere, JSON lines for programs."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from med_stylesr.errors import one_line

_MANY: Final = 20
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
        return
    tally = _Tally()
    if sys.stdout.isatty():
        with _bars() as events:
            yield tally.after(events)
    else:
        yield tally.after(_plain_lines)
    tally.show()


class _Tally:
    """Counts what became of everything, for the table at the end."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(("done", "failed", "skipped"), 0)
        self._failed: list[str] = []
        self._slices, self._begun, self._ended = 0, time.monotonic(), False

    def after(self, events: Events) -> Events:
        """A receiver that passes everything on and counts."""

        def count(event: Mapping[str, Any]) -> None:
            events(event)
            kind = event["event"]
            failed = kind == "failed" or (kind == "skip" and event["problem"])
            status = "failed" if failed else {"done": "done", "skip": "skipped"}.get(kind)
            if status:
                self._counts[status] += 1
            if failed:
                self._failed.append(one_line(f"{event['source']}: {event['reason']}"))
            if kind == "done":
                # Verbs that make something else than enhanced scans do not count slices.
                self._slices += event["facts"].get("shape", (0,))[0]
            self._ended = self._ended or kind == "end"

        return count

    def show(self) -> None:
        """Print the table, unless the run did not come to its end."""
        if not self._ended:
            return
        counts = self._counts
        slices = f"{self._slices} slices " if self._slices else ""
        print(f"{'done':>9} {counts['done']:>6}   {slices}in {_time(time.monotonic() - self._begun)}")
        print(f"{'failed':>9} {counts['failed']:>6}")
        print(f"{'skipped':>9} {counts['skipped']:>6}", flush=True)
        if sum(counts.values()) > _MANY:
            # Long runs have scrolled their problems away.
            for line in self._failed[:_MANY]:
                print(f"          {line}", flush=True)
            if len(self._failed) > _MANY:
                print(f"          … and {len(self._failed) - _MANY} more", flush=True)


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
    elif kind == "plan":
        text = f"[{event['number']}/{event['total']}] would do {event['source']}{_cost(event)}"
    elif kind == "estimate":
        text = f"{event['total']} to do{_cost(event)} of {_bytes(event['free_bytes'])} free; nothing was written"
    elif kind == "frame":
        text = event["told"]
    elif kind == "end":
        text = f"record: {event['manifest']}"
    else:
        text = ""
    return one_line(text)


def _cost(event: Mapping[str, Any]) -> str:
    return f": about {_time(event['seconds'])} and {_bytes(event['bytes'])}"


def _time(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _facts(facts: Mapping[str, Any]) -> str:
    if facts.get("noise_before_hu") is None:
        return ""
    before, after = facts["noise_before_hu"], facts["noise_after_hu"]
    # A kernel given afterwards changes the noise again, by how much is not foretold.
    left = "" if after is None or facts.get("finish") is not None else f" -> {after:.1f}"
    moved = max((abs(s) for s in facts["tissue_shift_hu"].values()), default=0.0)
    noise = f": noise {before:.1f}{left} HU{_dose(facts.get('dose_estimate') or {})}"
    return f"{noise}, strength {facts['strength']:.2f}, HU moved by at most {moved:.2f}"


def _dose(estimate: Mapping[str, Any]) -> str:
    if estimate.get("dose_fraction") is None:
        return ""
    low, high = estimate["dose_range"]
    return f", made with about {estimate['dose_fraction']:.0%} of normal dose ({low:.0%} to {high:.0%})"


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
            if kind in ("series", "done", "skip", "scan", "plan", "estimate", "frame", "end"):
                text = _line(event)
                if text:
                    # As it is: a name with :smile: in it is no picture, and a broken path cannot be copied.
                    progress.console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)

        yield show


__all__ = ["Events", "reporter"]
