"""MedStyleSR: low-dose CT in normal-dose style, super-resolved on request, inside 3D Slicer. Research use only.

The work is done by the program med-stylesr in a process of its own; see the classes here for the module, its panel, its
Python interface and its self-test, and MedStyleSRLib for their rooms.
"""

import qt
import slicer
from MedStyleSRLib.batch_panel import BatchPanel
from MedStyleSRLib.command import EnhanceRequest
from MedStyleSRLib.compare_panel import ComparePanel
from MedStyleSRLib.enhance_panel import BLEND_S, EnhancePanel
from MedStyleSRLib.enhancement import PREVIEW_NAME, RUNNING, Enhancement
from MedStyleSRLib.i18n import _
from MedStyleSRLib.parameters import MedStyleSRParameterNode
from MedStyleSRLib.preferences import Preferences
from MedStyleSRLib.pump import Pump
from MedStyleSRLib.region import WHOLE, box_for
from MedStyleSRLib.self_test import run_self_test
from MedStyleSRLib.settings_panel import SettingsPanel
from MedStyleSRLib.volumes import SOURCE_ROLE
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class MedStyleSR(ScriptedLoadableModule):
    """The module as Slicer lists it."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = "MedStyleSR"
        parent.categories = ["Filtering.Denoising"]
        parent.dependencies = []
        parent.contributors = ["The med-stylesr contributors"]
        parent.helpText = _(
            "Gives low-dose CT the noise and texture of normal dose, super-resolved on request, by the program "
            "med-stylesr. HU and geometry are kept; the Measured section shows by how much. "
            "Research use only, not a medical device."
        )
        parent.acknowledgementText = _("Weights were trained on public CT of The Cancer Imaging Archive.")
        # Once Slicer has put the module into slicer.modules.
        qt.QTimer.singleShot(0, publish_logic)


class MedStyleSRWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: an Enhance, a Batch and a Settings tab."""

    logic = None

    def __init__(self, parent=None):
        # First: without a parent the other one calls setup at once.
        VTKObservationMixin.__init__(self)
        ScriptedLoadableModuleWidget.__init__(self, parent)

    def setup(self):
        """Load the widgets and bring them to life."""
        ScriptedLoadableModuleWidget.setup(self)
        widget = slicer.util.loadUI(self.resourcePath("UI/MedStyleSR.ui"))
        self.layout.addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        for selector in (self.ui.inputSelector, self.ui.outputSelector, self.ui.roiSelector):
            selector.setMRMLScene(slicer.mrmlScene)
        self.logic = shared_logic()
        self.enhance_panel = EnhancePanel(self.ui, self.logic, self._shown)
        self.compare_panel = ComparePanel(self.ui, self.enhance_panel.blend_on, self.enhance_panel.slice_in_view)
        self.batch_panel = BatchPanel(self.ui, self.logic, self.enhance_panel.request)
        self.settings_panel = SettingsPanel(self.ui, self.logic)
        self._parameters, self._binding = None, None
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self._scene_closes)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self._scene_closed)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeRemovedEvent, self._node_removed)
        publish_logic()
        self._follow_scene()

    def cleanup(self):
        """Stop what runs: the module is unloaded or Slicer ends."""
        self.batch_panel.stop()
        self.settings_panel.stop()
        self.enhance_panel.stop(wait_s=2.0)
        self._leave_scene()
        self.removeObservers()

    def enter(self):
        """The user has come to the module."""
        self._follow_scene()

    def _follow_scene(self):
        if self._parameters is not None:
            return
        self._parameters = self.logic.getParameterNode()
        if self._parameters.inputVolume is None:
            kind = "vtkMRMLScalarVolumeNode"
            # A labelmap is a kind of scalar volume too.
            scans = (node for node in slicer.util.getNodesByClass(kind) if node.GetClassName() == kind)
            self._parameters.inputVolume = next(scans, None)
        self._binding = self._parameters.connectGui(self.ui)
        self.enhance_panel.follow(self._parameters)

    def _leave_scene(self):
        if self._parameters is not None:
            self._parameters.disconnectGui(self._binding)
            self._parameters = None

    def _scene_closes(self, _caller, _event):
        self.enhance_panel.stop()
        self._leave_scene()

    def _scene_closed(self, _caller, _event):
        self._follow_scene()

    def _node_removed(self, _caller, _event):
        # The result shown may be the one that was removed.
        self.compare_panel.show(self.enhance_panel.enhancement if self._result_is_there() else None)

    def _result_is_there(self):
        enhancement = self.enhance_panel.enhancement
        return enhancement is not None and enhancement.node is not None

    def _shown(self, enhancement):
        self.compare_panel.show(enhancement)


class MedStyleSRLogic(ScriptedLoadableModuleLogic):
    """The Python interface: enhance volumes of the scene, waiting for the result or not."""

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        self.preferences = Preferences(__file__)
        self._pumps = []

    def getParameterNode(self):
        """The panel's settings in the present scene."""
        return MedStyleSRParameterNode(super().getParameterNode())

    def start(self, source, request, output=None, region=WHOLE, roi=None, view=None):
        """Begin an enhancement that the caller polls; see `Enhancement` for the arguments and what is raised."""
        box = box_for(region, source, roi, view)
        finder = self.preferences.program_finder()
        return Enhancement(slicer.mrmlScene, finder, request, source, output, region, box)

    def preview_node(self, source):
        """The volume that earlier previews of a source went to, or None."""
        for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
            if node.GetName().startswith(PREVIEW_NAME) and node.GetNodeReference(SOURCE_ROLE) is source:
                return node
        return None

    def enhance(self, volume, output=None, wait=True, region=WHOLE, roi=None, done=None, **request):
        """Enhance a volume of the scene.

        Args:
            volume: scalar volume node with HU.
            output: volume node for the result; None makes a new one.
            wait: whether to come back when the result is there. Slicer stays alive meanwhile.
            region: "whole", "roi" or "slice".
            roi: markups ROI node for region "roi".
            done: with wait=False: called with the `Enhancement` when it is over, however it ended.
            request: fields of `EnhanceRequest`: strength, dose, target_noise, style, bundle, scale, spacing, device,
                runtime.

        Returns:
            The result's volume node; with wait=False an `Enhancement` with state, problem, node and cancel().

        Raises:
            EngineProblem: one line that says what to do; with wait=False only for what is wrong from the start.
        """
        request.setdefault("device", self.preferences.device)
        request.setdefault("runtime", self.preferences.runtime)
        enhancement = self.start(volume, EnhanceRequest(**request), output, region, roi)
        if not wait:
            self._watch(enhancement, done)
            return enhancement
        while enhancement.poll() == RUNNING:
            enhancement.wait(BLEND_S)
            slicer.app.processEvents()
        if enhancement.problem is not None:
            raise enhancement.problem
        return enhancement.node

    def _watch(self, enhancement, done):
        def work():
            enhancement.wait(0.004)
            if enhancement.poll() == RUNNING:
                return True
            self._pumps.remove(pump)
            if done is not None:
                done(enhancement)
            return False

        pump = Pump(work)
        self._pumps.append(pump)
        pump.start()


class MedStyleSRTest(ScriptedLoadableModuleTest):
    """Self-test with data made on the spot; needs no network, but the med-stylesr program."""

    def setUp(self):
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self):
        """Run all of it."""
        self.setUp()
        self.test_enhance_keeps_geometry_and_strength_zero_keeps_voxels()

    def test_enhance_keeps_geometry_and_strength_zero_keeps_voxels(self):
        """See `run_self_test`."""
        self.delayDisplay("Enhancing a volume made here")
        run_self_test(MedStyleSRLogic())
        self.delayDisplay("Passed")


_LOGIC = []


def shared_logic():
    """The one logic that the panel and `slicer.modules.medstylesr.logic()` share."""
    if not _LOGIC:
        _LOGIC.append(MedStyleSRLogic())
    return _LOGIC[0]


def publish_logic():
    """Let `slicer.modules.medstylesr.logic().enhance(...)` work: for scripted modules that is an empty C++ object."""
    module = getattr(slicer.modules, "medstylesr", None)
    if module is not None:
        module.logic().enhance = shared_logic().enhance
