"""The Enhance tab: what is asked for, Apply and Cancel, progress, and the strength that is blended live."""

import qt

from .choices import Choices, regions, resolutions, strengths, styles
from .command import RUNTIMES, EnhanceRequest
from .compare import overlay
from .enhancement import CANCELLED, DONE, RUNNING
from .i18n import _
from .parameters import BY_EYE, DOSE, FACTORS, NOISE, SPACING
from .problems import EngineProblem
from .pump import Pump
from .region import ROI, SLICE, slice_looked_at, view_along_slices

BLEND_S = 0.05
"""Time that blending takes from the GUI at once."""
POLL_S = 0.004
"""Time given to the engine's thread at every look: Python lets one thread work at a time."""
_PROBLEM = "color: #d0342c"
_GOOD = "color: #1f8a70"


class EnhancePanel:
    """The controls of one enhancement.

    Args:
        ui: the module's widgets by name.
        logic: `MedStyleSRLogic`.
        shown: called with the `Enhancement` whenever the voxels shown have changed, and with None when it is over.
    """

    def __init__(self, ui, logic, shown):
        self.ui, self._logic, self._shown = ui, logic, shown
        self.parameters = None
        self.enhancement = None
        self._previewed = None
        self._pump = Pump(self._work)
        self._choices = [
            Choices(ui.regionCombo, "region", regions(), self.refresh),
            Choices(ui.styleCombo, "style", styles(), self.refresh),
            Choices(ui.strengthByCombo, "strengthBy", strengths(), self.refresh),
            Choices(ui.resolutionCombo, "resolution", resolutions(), self.refresh),
        ]
        ui.deviceCombo.addItems(["auto", "cpu", "cuda"])
        ui.deviceCombo.setEditText(logic.preferences.device)
        ui.deviceCombo.connect("editTextChanged(QString)", self._device_chosen)
        ui.runtimeCombo.addItems(RUNTIMES)
        ui.runtimeCombo.setCurrentText(logic.preferences.runtime)
        ui.runtimeCombo.connect("currentTextChanged(QString)", self._runtime_chosen)
        ui.bundlePath.connect("currentPathChanged(QString)", self._bundle_chosen)
        ui.applyButton.connect("clicked(bool)", self._apply_clicked)
        ui.cancelButton.connect("clicked(bool)", self._cancel_clicked)
        ui.strengthSlider.connect("valueChanged(double)", self._strength_changed)
        for selector in (ui.inputSelector, ui.outputSelector, ui.roiSelector):
            selector.connect("currentNodeChanged(vtkMRMLNode*)", self.refresh)
        self._shortcuts = [
            _shortcut(ui.enhanceTab, "Ctrl+Return", self._apply_clicked),
            _shortcut(ui.enhanceTab, "Esc", self._cancel_clicked),
        ]
        ui.progressBar.hide()

    @property
    def running(self):
        """Whether the engine is at work."""
        return self.enhancement is not None and self.enhancement.state == RUNNING

    def follow(self, parameters):
        """Show the settings of a scene, and write to them from now on."""
        self.parameters = parameters
        for choice in self._choices:
            choice.follow(parameters)
        self.ui.bundlePath.currentPath = parameters.bundle
        self.refresh()

    def request(self):
        """What the controls ask for, as an `EnhanceRequest`.

        Raises:
            EngineProblem: for what cannot be.
        """
        p = self.parameters
        scale = (p.factorSlices, p.factorPixels, p.factorPixels) if p.resolution == FACTORS else (1, 1, 1)
        spacing = (p.spacingSlices, p.spacingPixels, p.spacingPixels) if p.resolution == SPACING else None
        return EnhanceRequest(
            strength=p.strength,
            dose=p.dose if p.strengthBy == DOSE else None,
            target_noise=p.targetNoise if p.strengthBy == NOISE else None,
            style=p.style,
            bundle=p.bundle,
            scale=scale,
            spacing=spacing,
            device=self._logic.preferences.device,
            runtime=self._logic.preferences.runtime,
        )

    def refresh(self, _what=None):
        """Show what fits the settings, and why Apply cannot be pressed."""
        ui, p, running = self.ui, self.parameters, self.running
        if p is None:
            return
        ui.roiSelector.setVisible(p.region == ROI)
        ui.doseSpin.setVisible(p.strengthBy == DOSE)
        ui.noiseSpin.setVisible(p.strengthBy == NOISE)
        ui.factorsRow.setVisible(p.resolution == FACTORS)
        ui.spacingRow.setVisible(p.resolution == SPACING)
        missing = self._missing()
        ui.applyButton.enabled = not running and not missing
        ui.applyButton.text = _("&Preview slice") if p.region == SLICE else _("&Apply")
        ui.applyButton.toolTip = missing or _("Enhance the volume (Ctrl+Return). Slicer stays usable meanwhile.")
        ui.cancelButton.enabled = running
        live = self.enhancement.live if self.enhancement is not None else None
        ui.strengthSlider.enabled = p.strengthBy == BY_EYE or live is not None
        if self.enhancement is None:
            self.tell(missing or _("Ready."))

    def tell(self, text, style=""):
        """Show a line below the buttons."""
        self.ui.statusLabel.setText(text)
        self.ui.statusLabel.setStyleSheet(style)

    def stop(self, wait_s=0.0):
        """Cancel what runs and forget what was made: the scene closes or the module goes.

        Args:
            wait_s: how long to wait for the engine's thread to clean up, which it does by itself while Slicer lives.
        """
        if self.running:
            self.enhancement.cancel()
            self.enhancement.wait(wait_s)
        self._pump.stop()
        self.enhancement = None
        self._shown(None)
        self.ui.progressBar.hide()
        self.refresh()

    def _missing(self):
        if self.ui.inputSelector.currentNode() is None:
            return _("Choose an input volume.")
        if self.parameters.region == ROI and self.ui.roiSelector.currentNode() is None:
            return _("Choose a region of interest.")
        if self.ui.inputSelector.currentNode() is self.ui.outputSelector.currentNode():
            return _("The result cannot go into the input volume.")
        return ""

    def _apply_clicked(self, _checked=False):
        if not self.ui.applyButton.enabled:
            return
        p = self.parameters
        self._clear_preview()
        try:
            volume = p.inputVolume
            view = view_along_slices(volume) if p.region == SLICE else None
            output = p.outputVolume if p.region != SLICE else self._logic.preview_node(volume)
            self.enhancement = self._logic.start(volume, self.request(), output, p.region, p.roi, view)
        except EngineProblem as problem:
            self.tell(str(problem), _PROBLEM)
            return
        self.ui.logText.clear()
        self.ui.progressBar.setRange(0, 0)
        self.ui.progressBar.show()
        self._shown(None)
        self.refresh()
        self._pump.start()

    def _cancel_clicked(self, _checked=False):
        if self.running:
            self.ui.cancelButton.enabled = False
            self.tell(_("Stopping …"))
            self.enhancement.cancel()

    def _work(self):
        """One look at the engine, or one piece of blending; returns whether there is more to do."""
        enhancement = self.enhancement
        if enhancement is None:
            return False
        if enhancement.state == RUNNING:
            enhancement.wait(POLL_S)
            state = enhancement.poll()
            for line in enhancement.log():
                self.ui.logText.appendPlainText(line)
            if state != RUNNING:
                self._ended()
            elif self.ui.cancelButton.enabled:
                self._show_progress()
            return self.running
        if enhancement.live is not None and enhancement.live.busy:
            more = enhancement.live.step(BLEND_S)
            self._shown(enhancement)
            return more
        return False

    def _show_progress(self):
        done, total = self.enhancement.slices
        bar, left = self.ui.progressBar, self.enhancement.seconds_left()
        bar.setRange(0, total)
        bar.setValue(done)
        stage = self.enhancement.stage
        if total:
            stage = _("{stage}: slice {done} of {total}").format(stage=stage, done=done, total=total)
        if left is not None:
            stage = _("{stage}, about {left} left").format(stage=stage, left=duration(left))
        self.tell(stage[:1].upper() + stage[1:])

    def _ended(self):
        enhancement, p = self.enhancement, self.parameters
        self.ui.progressBar.hide()
        if enhancement.state == DONE:
            told = _("Done in {time}: {name}").format(
                time=duration(enhancement.result.seconds), name=enhancement.node.GetName()
            )
            told = "\n".join([told, *(_("Note: {text}").format(text=text) for text in enhancement.result.warnings)])
            # First: moving the slider from here on blends.
            self.ui.strengthSlider.value = enhancement.live.strength
            self.tell(told, _GOOD)
            if enhancement.region == SLICE:
                self._previewed = view_along_slices(enhancement.source)
                if self._previewed is not None:
                    overlay(self._previewed, enhancement.node)
            elif p.outputVolume is None:
                p.outputVolume = enhancement.node
            self._shown(enhancement)
        else:
            self.tell(str(enhancement.problem), "" if enhancement.state == CANCELLED else _PROBLEM)
        self.refresh()

    def _strength_changed(self, value):
        live = self.enhancement.live if self.enhancement is not None else None
        if live is None or live.node is None or abs(value - live.strength) < 1e-6:
            return
        if not self.enhancement.result.blends:
            self.tell(_("With finer slices and finer pixels at once, press Apply to see another strength."))
            return
        live.move_to(value, self.slice_in_view())
        self._pump.start()

    def blend_on(self):
        """Go on blending: a volume was added that follows the strength."""
        self._pump.start()

    def slice_in_view(self):
        """The result's slice that is looked at, to be blended first."""
        node = self.enhancement.node
        try:
            return slice_looked_at(node, view_along_slices(node))
        except EngineProblem:
            return self.enhancement.live.blend.shape[0] // 2

    def _clear_preview(self):
        if self._previewed is not None and self._previewed.GetScene() is not None:
            overlay(self._previewed, None)
        self._previewed = None

    def _device_chosen(self, name):
        self._logic.preferences.device = name.strip() or "auto"

    def _runtime_chosen(self, name):
        self._logic.preferences.runtime = name

    def _bundle_chosen(self, path):
        if self.parameters is not None:
            self.parameters.bundle = path


def duration(seconds):
    """Seconds or minutes in words."""
    if seconds < 90:
        return _("{n} s").format(n=max(1, round(seconds)))
    return _("{n} min").format(n=round(seconds / 60))


def _shortcut(widget, keys, action):
    shortcut = qt.QShortcut(qt.QKeySequence(keys), widget)
    # Only while the tab has the focus: Slicer has shortcuts of its own.
    shortcut.setContext(qt.Qt.WidgetWithChildrenShortcut)
    shortcut.connect("activated()", action)
    return shortcut
