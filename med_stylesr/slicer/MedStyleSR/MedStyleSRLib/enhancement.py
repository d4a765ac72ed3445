"""One enhancement as the scene sees it: from an input node, through the engine, to a node beside it."""

import json

import numpy as np

from .box import Box
from .engine_run import CANCELLED, DONE, FAILED, RUNNING
from .engine_task import EngineTask
from .i18n import _
from .live_blend import LiveBlend
from .noise import noise_at
from .problems import EngineProblem
from .region import SLICE
from .volumes import FACTS_ATTRIBUTE, affine_of, fill, in_scene, look_like, new_volume, place_beside, voxels_of

PREVIEW_NAME = "MedStyleSR preview"


class Enhancement:
    """A running or finished enhancement. Call `poll` from a timer until it is over.

    The scene may change meanwhile: whether the nodes are still in it is looked up when the engine is done.

    Args:
        scene: the MRML scene.
        program: see `EngineTask`.
        request: `EnhanceRequest`.
        source: input volume node.
        output: volume node for the result, or None for a new one.
        region: WHOLE, ROI or SLICE: only tells a preview from a result.
        box: the wanted `Box`.

    Raises:
        EngineProblem: if the input cannot be used.

    Attributes:
        state: RUNNING, DONE, FAILED or CANCELLED.
        problem: `EngineProblem` if it failed or was cancelled.
        live: `LiveBlend` of the result once done.
        result: `Result` of the engine once done.
    """

    def __init__(self, scene, program, request, source, output, region, box):
        voxels, affine = voxels_of(source), affine_of(source)
        if output is source:
            raise EngineProblem(_("output volume"), _("is the input"), _("choose another or a new one"))
        between = request.factors(np.linalg.norm(affine[:3, :3], axis=0)[::-1])[0] > 1
        outer = Box.whole(voxels.shape) if box == Box.whole(voxels.shape) else box.with_context(voxels.shape, between)
        if between and outer.shape[0] < 2:
            why = _("has one slice only, which has no neighbour to add slices towards")
            raise EngineProblem(source.GetName(), why, _("leave the number of slices as it is"))
        self.request, self.region = request, region
        self._scene, self._source, self._output = scene, source, output
        self._task = EngineTask(program, request, voxels[outer.slices].copy(), affine, outer, box)
        self.state, self.problem, self.live, self.result = RUNNING, None, None, None
        self._task.start()

    @property
    def stage(self):
        """What is being done, in words."""
        return self._task.stage

    @property
    def slices(self):
        """Slices done and slices in all (0 while unknown)."""
        return self._task.done, self._task.total

    def seconds_left(self):
        """Estimate, or None."""
        return self._task.seconds_left()

    def log(self):
        """Lines since the last call."""
        return self._task.log()

    def cancel(self):
        """Stop; returns at once."""
        self._task.cancel()

    def wait(self, seconds):
        """Wait a while for the engine, letting its thread work."""
        return self._task.wait(seconds)

    def poll(self):
        """Bring the result into the scene when the engine is done; returns the state."""
        if self.state == RUNNING and self._task.state != RUNNING:
            self.state, self.problem = self._task.state, self._task.problem
            if self.state == DONE:
                try:
                    self._arrive()
                except EngineProblem as problem:
                    self.state, self.problem = FAILED, problem
        return self.state

    @property
    def node(self):
        """The result's volume node, or None if there is none (any more)."""
        return self.live.node if self.live else None

    @property
    def source(self):
        """The input's volume node, or None if it is gone."""
        return self._source if in_scene(self._scene, self._source) else None

    def noise_hu(self):
        """Noise before and at the strength shown, in HU; None where it could not be measured."""
        facts = self.result.facts
        return facts.get("noise_before_hu"), noise_at(self.live.strength, facts.get("strength_curve"))

    def shifts_hu(self):
        """Shift of the mean HU of every tissue at the strength shown."""
        share = self.live.blend.share(self.live.strength)
        return {name: shift * share for name, shift in self.result.facts["tissue_shift_hu"].items()}

    def _arrive(self):
        source, output = self._source, self._output
        if not in_scene(self._scene, source):
            why = _("was deleted or its scene closed while it was enhanced")
            raise EngineProblem(_("input volume"), why, _("load it again; the result was dropped"))
        self.result = result = self._task.result
        node = output if in_scene(self._scene, output) else None
        if node is None:
            name = PREVIEW_NAME if self.region == SLICE else _("{name} enhanced").format(name=source.GetName())
            node = new_volume(name, source)
        else:
            look_like(node, source)
            place_beside(node, source)
        fill(node, result.shown, result.affine)
        result.shown = None
        self.live = LiveBlend(self._scene, result.blend, node, result.strength)
        facts = {**result.facts, "warnings": result.warnings, "seconds": round(result.seconds, 1)}
        node.SetAttribute(FACTS_ATTRIBUTE, json.dumps(facts))


__all__ = ["CANCELLED", "DONE", "FAILED", "PREVIEW_NAME", "RUNNING", "Enhancement"]
