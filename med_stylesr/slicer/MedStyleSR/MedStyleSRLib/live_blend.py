"""A result node that follows a strength: its voxels are blended a few slices at a time, so that nothing blocks."""

import time

import slicer

from .blend import from_middle
from .volumes import in_scene

SLAB = 4
"""Slices that are blended at once."""


class LiveBlend:
    """Result (and difference) volumes of a scene, kept at a strength.

    A user may delete the nodes, or load other voxels into them, at any moment; then they are left alone.

    Args:
        scene: the MRML scene.
        blend: `Blend`.
        node: the result volume, whose voxels are those of the blend at `strength`.
        strength: what the node shows now.
    """

    def __init__(self, scene, blend, node, strength):
        self._scene, self.blend = scene, blend
        self._nodes = [node]
        self.strength = strength
        self._todo = []

    @property
    def busy(self):
        """Whether there are slices left to blend."""
        return bool(self._todo)

    @property
    def node(self):
        """The result volume, or None if it is gone or holds something else by now."""
        return self._nodes[0] if self._nodes and self._array(self._nodes[0]) is not None else None

    def move_to(self, strength, first):
        """Ask for another strength; `step` does the work.

        Args:
            strength: 0 … 1.
            first: slice that is looked at, done first.
        """
        self.strength = strength
        self._todo = from_middle(self.blend.shape[0], first, SLAB)

    def follow_with(self, difference, first):
        """Keep a second volume at the difference from the input."""
        self._nodes[1:] = [difference]
        self._todo = from_middle(self.blend.shape[0], first, SLAB)

    def step(self, seconds):
        """Blend for some time; tells whether there is more to do."""
        if self.node is None:
            # Nothing is left to follow; a node that was deleted is let go of, with its memory.
            self._nodes, self._todo = [], []
            return False
        targets = [(node, self._array(node)) for node in self._nodes]
        until = time.monotonic() + seconds
        while self._todo:
            start, stop = self._todo.pop(0)
            for (_node, array), write in zip(targets, (self.blend.slab, self.blend.difference)):
                if array is not None:
                    array[start:stop] = write(self.strength, start, stop)
            if time.monotonic() >= until:
                break
        for node, array in targets:
            if array is not None:
                slicer.util.arrayFromVolumeModified(node)
        return self.busy

    def _array(self, node):
        if not in_scene(self._scene, node) or node.GetImageData() is None:
            return None
        array = slicer.util.arrayFromVolume(node)
        return array if array.shape == self.blend.shape and array.dtype == self.blend.dtype else None
