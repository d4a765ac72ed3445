"""Side by side, difference, and what was measured: the lower part of the Enhance tab."""

import qt
import slicer

from . import compare
from .i18n import _

BIAS_LIMIT_HU = 1.0
"""A shift of a tissue's mean from here on is told in red; below it is what the engine promises."""
_ROW_PIXELS = 22


class ComparePanel:
    """Shows the result of an enhancement against its input.

    Args:
        ui: the module's widgets by name.
        blend_on: called when a volume was added that is to follow the strength.
        slice_in_view: gives the slice that is looked at.
    """

    def __init__(self, ui, blend_on, slice_in_view):
        self.ui, self._blend_on, self._slice_in_view = ui, blend_on, slice_in_view
        self._enhancement = None
        self._layout_before = None
        ui.sideBySideButton.connect("clicked(bool)", self._side_by_side)
        ui.differenceButton.connect("clicked(bool)", self._difference)
        table = ui.shiftTable
        table.setColumnCount(2)
        table.setHorizontalHeaderLabels([_("Tissue"), _("Shift of its mean, HU")])
        table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.Stretch)
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(_ROW_PIXELS)
        self.show(None)

    def show(self, enhancement):
        """Show an enhancement's numbers at its present strength; None for nothing."""
        self._enhancement = enhancement
        there = enhancement is not None and enhancement.node is not None and enhancement.source is not None
        self.ui.sideBySideButton.enabled = there
        self.ui.differenceButton.enabled = there
        if not there:
            self.ui.noiseLabel.setText(_("Noise and HU shifts appear here after a run."))
            self.ui.shiftTable.hide()
            return
        self.ui.noiseLabel.setText(_noise_line(*enhancement.noise_hu()))
        self._fill_table(enhancement.shifts_hu())

    def _fill_table(self, shifts):
        table = self.ui.shiftTable
        table.setVisible(bool(shifts))
        table.setRowCount(len(shifts))
        for row, (tissue, shift) in enumerate(shifts.items()):
            cells = (qt.QTableWidgetItem(tissue), qt.QTableWidgetItem(f"{round(shift, 2) + 0.0:+.2f}"))
            for column, cell in enumerate(cells):
                table.setItem(row, column, cell)
            if abs(shift) >= BIAS_LIMIT_HU:
                cells[1].setForeground(qt.QBrush(qt.QColor("#d0342c")))

    def _side_by_side(self, _checked=False):
        self._arrange(None)

    def _difference(self, _checked=False):
        enhancement = self._enhancement
        node = compare.difference_volume(enhancement.node, enhancement.live.blend, enhancement.result.affine)
        enhancement.live.follow_with(node, self._slice_in_view())
        self._blend_on()
        self._arrange(node)

    def _arrange(self, difference):
        """Show the layout, or go back from it when its button is pressed again."""
        layout = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")
        wanted = self.ui.differenceButton if difference is not None else self.ui.sideBySideButton
        other = self.ui.sideBySideButton if difference is not None else self.ui.differenceButton
        if not wanted.checked:
            if self._layout_before is not None:
                layout.SetViewArrangement(self._layout_before)
            return
        other.checked = False
        before = compare.show(layout, self._enhancement.source, self._enhancement.node, difference)
        self._layout_before = self._layout_before if before is None else before


def _noise_line(before, after):
    if before is None or after is None:
        return _("Noise: there is no flat soft tissue to measure it in.")
    change = 100 * (after / before - 1) if before > 0 else 0.0
    return _("Noise in soft tissue: {before:.1f} → {after:.1f} HU ({change:+.0f} %)").format(
        before=before, after=after, change=change
    )
