"""All scans of a folder through the engine: its process and the state of every scan. Knows neither Qt nor MRML."""

from dataclasses import dataclass
from pathlib import Path

from .engine_run import EngineRun
from .i18n import _
from .problems import explain

GRACE_S = 15.0
"""Time for the engine to remove unfinished results from the user's folder."""

NAME_LENGTH = 120


@dataclass
class Row:
    """One scan.

    Attributes:
        source: its name.
        status: in words.
        detail: reason, or noise before and after.
        good: False for a problem, True when done, None otherwise.
    """

    source: str
    status: str
    detail: str = ""
    good: bool = None


class BatchRun(EngineRun):
    """A folder being enhanced. Cancelled, it keeps finished results; the engine removes unfinished ones.

    Args:
        program: called on the run's thread; gives the `Program`.
        request: `EnhanceRequest`.
        source: folder with scans.
        dest: folder for the results.
        resume: whether to go on with an earlier run.
        overwrite: whether to replace results.
        jobs: scans at the same time.

    Attributes:
        rows: `Row`s in the order in which scans were met.
        finished: scans that are done or failed.
        total: scans in all; 0 while unknown.
        slices: (done, total) of the scan at work, or None.
    """

    def __init__(self, program, request, source, dest, resume=False, overwrite=False, jobs=1):
        super().__init__("MedStyleSR batch", program, GRACE_S)
        self._source = str(source)
        self._arguments = request.for_folder(source, dest, resume, overwrite, jobs)
        self._by_number = {}
        self.rows = []
        self.finished, self.total, self.slices = 0, 0, None

    def _work(self):
        program = self._program()
        program.version()
        for event, _line in self._lines(program, self._arguments, None):
            self._take(event)
        status = self._process.finish()
        self._go_on()
        # 1: some scans failed, and the rows say which and why.
        if status not in (0, 1) or not self.rows:
            raise explain(status, "", list(self._process.errors))

    def _take(self, event):
        kind = event.get("event")
        if kind == "start":
            self.total = event["total"]
        elif kind == "series":
            self._row(event).status = _("running")
        elif kind == "progress":
            self.slices = (event["done"], event["total"])
        elif kind in ("done", "failed"):
            self.finished, self.slices = self.finished + 1, None
            row = self._row(event)
            row.good = kind == "done"
            row.status = _("done") if row.good else _("failed")
            row.detail = _told(event["facts"], event["warnings"]) if row.good else event["reason"]
        elif kind == "skip":
            good = False if event["problem"] else None
            self.rows.append(Row(self._shown(event["source"]), _("not used"), event["reason"], good))

    def _row(self, event):
        """The row of a scan, made at its first event: a scan whose worker died begins twice."""
        number = event["number"]
        if number not in self._by_number:
            self._by_number[number] = Row(self._shown(event["source"]), "")
            self.rows.append(self._by_number[number])
        return self._by_number[number]

    def _shown(self, name):
        """A scan's name, short enough for a table."""
        name = name[len(self._source) :].lstrip("/\\") if name.startswith(self._source) else name
        return name if len(name) <= NAME_LENGTH else "…" + name[1 - NAME_LENGTH :]


def _told(facts, warnings):
    before, after = facts.get("noise_before_hu"), facts.get("noise_after_hu")
    parts = []
    if before is not None and after is not None:
        parts.append(_("noise {before:.1f} → {after:.1f} HU").format(before=before, after=after))
    return "; ".join([*parts, *warnings])


def default_dest(source):
    """A folder beside the source that results may go to."""
    source = Path(source)
    return str(source.with_name(source.name + "_enhanced"))
