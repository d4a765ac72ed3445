"""The Batch tab: every CT scan of a folder, with the look chosen on the Enhance tab."""

import os

import ctk
import qt

from .batch_run import BatchRun, default_dest
from .engine_run import CANCELLED, DONE, RUNNING
from .i18n import _
from .problems import EngineProblem
from .pump import Pump

POLL_S = 0.004
_COLOURS = {True: "#1f8a70", False: "#d0342c", None: "#808080"}


class BatchPanel:
    """The controls of a batch run.

    Args:
        ui: the module's widgets by name.
        logic: `MedStyleSRLogic`.
        request: gives the `EnhanceRequest` of the Enhance tab.
    """

    def __init__(self, ui, logic, request):
        self.ui, self._logic, self._request = ui, logic, request
        self.run = None
        self._pump = Pump(self._work)
        for path in (ui.batchSource, ui.batchDest):
            path.filters = ctk.ctkPathLineEdit.Dirs
            path.connect("currentPathChanged(QString)", self.refresh)
        ui.batchSource.connect("currentPathChanged(QString)", self._suggest_dest)
        ui.batchStart.connect("clicked(bool)", self._start_clicked)
        ui.batchStop.connect("clicked(bool)", self._stop_clicked)
        ui.batchOpen.connect("clicked(bool)", self._open_clicked)
        table = ui.batchTable
        table.setColumnCount(3)
        table.setHorizontalHeaderLabels([_("Scan"), _("Status"), _("Details")])
        table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.Stretch)
        table.horizontalHeader().setSectionResizeMode(1, qt.QHeaderView.ResizeToContents)
        table.verticalHeader().hide()
        ui.batchProgress.hide()
        self.refresh()

    @property
    def running(self):
        """Whether a run is at work."""
        return self.run is not None and self.run.state == RUNNING

    def refresh(self, _what=None):
        """Enable what can be pressed."""
        ui = self.ui
        ready = os.path.isdir(ui.batchSource.currentPath) and bool(ui.batchDest.currentPath)
        ui.batchStart.enabled = ready and not self.running
        ui.batchStop.enabled = self.running
        ui.batchOpen.enabled = os.path.isdir(ui.batchDest.currentPath)

    def stop(self):
        """Cancel what runs: the module goes."""
        if self.running:
            self.run.cancel()
        self._pump.stop()

    def _suggest_dest(self, path):
        if os.path.isdir(path) and not self.ui.batchDest.currentPath:
            self.ui.batchDest.currentPath = default_dest(path)

    def _start_clicked(self, _checked=False):
        ui = self.ui
        try:
            self.run = BatchRun(
                self._logic.preferences.program_finder(),
                self._request(),
                ui.batchSource.currentPath,
                ui.batchDest.currentPath,
                resume=ui.batchResume.checked,
                overwrite=ui.batchOverwrite.checked,
                jobs=ui.batchJobs.value,
            )
        except EngineProblem as problem:
            self._tell(str(problem), False)
            return
        self.run.start()
        ui.batchTable.setRowCount(0)
        ui.batchProgress.setRange(0, 0)
        ui.batchProgress.show()
        self._tell(_("Looking for scans …"))
        self.refresh()
        self._pump.start()

    def _stop_clicked(self, _checked=False):
        if self.running:
            self.ui.batchStop.enabled = False
            self._tell(_("Stopping: what is finished stays, what is not is removed …"))
            self.run.cancel()

    def _open_clicked(self, _checked=False):
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(self.ui.batchDest.currentPath))

    def _work(self):
        self.run.wait(POLL_S)
        self._show_rows()
        if self.running:
            if self.ui.batchStop.enabled:
                self._show_progress()
            return True
        self.ui.batchProgress.hide()
        self._tell_end()
        self.refresh()
        return False

    def _show_rows(self):
        table, rows = self.ui.batchTable, list(self.run.rows)
        table.setRowCount(len(rows))
        for number, row in enumerate(rows):
            for column, text in enumerate((row.source, row.status, row.detail)):
                item = table.item(number, column)
                if item is None:
                    item = qt.QTableWidgetItem()
                    table.setItem(number, column, item)
                if item.text() != text:
                    item.setText(text)
                    item.setToolTip(text)
                if column == 1:
                    item.setForeground(qt.QBrush(qt.QColor(_COLOURS[row.good])))

    def _show_progress(self):
        run, bar = self.run, self.ui.batchProgress
        if not run.total:
            return
        part = run.slices[0] / run.slices[1] if run.slices else 0
        bar.setRange(0, 1000)
        bar.setValue(int(1000 * (run.finished + part) / run.total))
        self._tell(_("{done} of {total} scans").format(done=run.finished, total=run.total))

    def _tell_end(self):
        run = self.run
        if run.state == CANCELLED:
            self._tell(_("Stopped. Tick Resume to go on later."))
        elif run.state != DONE:
            self._tell(str(run.problem), False)
        else:
            bad = sum(row.good is False for row in run.rows)
            good = sum(row.good is True for row in run.rows)
            told = _("{good} scans done, {bad} failed. The record is manifest.json in the results' folder.")
            self._tell(told.format(good=good, bad=bad), bad == 0)

    def _tell(self, text, good=None):
        self.ui.batchStatus.setText(text)
        self.ui.batchStatus.setStyleSheet("" if good is None else f"color: {_COLOURS[good]}")
