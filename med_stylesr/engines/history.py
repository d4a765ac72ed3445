"""What a run leaves for the eye: a table of every figure per epoch and its curves as a picture."""

from __future__ import annotations

import csv
import pathlib
from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine, Events


class History:
    """Collects the trainer's and the evaluator's metrics per epoch; writes `history.csv` and, at the end, `curves.png`.

    Args:
        folder: where the files go.
        evaluator: the engine whose metrics are added as `val_<name>`; None: there is no validation.
        interval: epochs between two validations (its metrics are recorded in those epochs only).
        enabled: False in all but one process of distributed training.
    """

    def __init__(self, folder: str, evaluator: Engine | None, interval: int, enabled: bool = True) -> None:
        self.folder, self.evaluator, self.interval = pathlib.Path(folder), evaluator, interval
        self.enabled = enabled
        self.rows: list[dict[str, float]] = []

    def attach(self, engine: Engine) -> None:
        """Register with a trainer, after the handler that validates."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._record)
        engine.add_event_handler(Events.COMPLETED, self._draw)

    def _record(self, engine: Engine) -> None:
        row: dict[str, float] = {"epoch": engine.state.epoch, "iteration": engine.state.iteration}
        row.update({name: float(value) for name, value in engine.state.metrics.items()})
        if self.evaluator is not None and engine.state.epoch % self.interval == 0:
            row.update({f"val_{name}": float(value) for name, value in self.evaluator.state.metrics.items()})
        self.rows.append(row)
        if not self.enabled:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        with (self.folder / "history.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(self.rows)

    def _draw(self, engine: Engine) -> None:
        if self.enabled and self.rows:
            draw_curves(self.rows, self.folder / "curves.png")

    def state_dict(self) -> dict[str, Any]:
        """Return the rows so far, so that the curves of a resumed run are whole."""
        return {"rows": self.rows}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the rows of the run that is resumed."""
        self.rows = list(state["rows"])


def draw_curves(rows: list[dict[str, float]], path: pathlib.Path) -> None:
    """Draw every column of a history against the epoch, one small panel each.

    Args:
        rows: one mapping per epoch, each with `epoch`.
        path: the PNG to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    names = [n for n in dict.fromkeys(name for row in rows for name in row) if n not in ("epoch", "iteration")]
    columns = min(4, len(names))
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(3.2 * columns, 2.2 * lines), layout="constrained")
    for k, name in enumerate(names):
        axes = figure.add_subplot(lines, columns, k + 1)
        shown = [row for row in rows if name in row]
        axes.plot([row["epoch"] for row in shown], [row[name] for row in shown], marker="." if len(shown) < 30 else "")
        axes.set_title(name, fontsize=9)
        axes.tick_params(labelsize=7)
        axes.ticklabel_format(useOffset=False)
        axes.set_xlim(rows[0]["epoch"] - 0.5, rows[-1]["epoch"] + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    FigureCanvasAgg(figure).print_png(path)
