"""Pieces of a voxel grid: boxes in it, their affines, and the grid at a finer resolution.

Arrays are (slices, rows, columns); affines map (column, row, slice, 1) to LPS millimetres.
"""

from dataclasses import dataclass

import numpy as np

CELL = 32
"""Pixels of a cell of the engine's HU lock: a crop on cell borders sees the same cells as the whole slice."""
MARGIN = 96
"""Pixels around a crop that the engine is given as context: three cells, beyond which its lock hardly reaches."""
NEIGHBOURS = 1
"""Slices on either side that the engine looks at within the slices' own spacing."""
NEIGHBOURS_BETWEEN = 10
"""The same where slices are added: the reach of the 3D network and of cubic interpolation."""


@dataclass(frozen=True)
class Box:
    """Half-open ranges of slices, rows and columns.

    Attributes:
        start: first slice, row, column.
        stop: one after the last.
    """

    start: tuple[int, int, int]
    stop: tuple[int, int, int]

    @classmethod
    def whole(cls, shape):
        """All of an array."""
        return cls((0, 0, 0), tuple(int(n) for n in shape))

    @property
    def shape(self):
        """Slices, rows, columns; a box that holds nothing has a zero or negative one."""
        return tuple(b - a for a, b in zip(self.start, self.stop))

    @property
    def slices(self):
        """Index of the box in an array."""
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop))

    def within(self, shape):
        """The part that lies in an array of a shape."""
        return Box(tuple(max(a, 0) for a in self.start), tuple(min(b, n) for b, n in zip(self.stop, shape)))

    def with_context(self, shape, between):
        """The box with what the engine should see around it, on borders of its cells.

        Args:
            shape: of the whole array.
            between: whether slices are to be added.
        """
        near = NEIGHBOURS_BETWEEN if between else NEIGHBOURS
        start, stop = [self.start[0] - near], [self.stop[0] + near]
        for axis in (1, 2):
            start.append((self.start[axis] - MARGIN) // CELL * CELL)
            stop.append(-(-(self.stop[axis] + MARGIN) // CELL) * CELL)
        return Box(tuple(start), tuple(stop)).within(shape)

    def inside(self, outer, factors):
        """This box in the coordinates of a result that was computed for an outer box at a finer resolution."""
        offset = [(a - b) * f for a, b, f in zip(self.start, outer.start, factors)]
        return Box(tuple(offset), tuple(o + n * f for o, n, f in zip(offset, self.shape, factors)))


def cropped_affine(affine, box):
    """Affine of the voxels of a box."""
    moved = np.array(affine, dtype=float)
    moved[:3, 3] = (affine @ [box.start[2], box.start[1], box.start[0], 1])[:3]
    return moved


def finer_affine(affine, factors):
    """Affine of a grid with more voxels over the same field of view: A · [diag(1/s) | (1/s − 1)/2]."""
    s = np.array([factors[2], factors[1], factors[0]], dtype=float)
    step = np.diag([*(1 / s), 1.0])
    step[:3, 3] = (1 / s - 1) / 2
    return affine @ step


def box_around(points, affine, shape):
    """Smallest box of whole voxels around points, within a grid.

    Args:
        points: (n, 3) LPS mm.
        affine: of the grid.
        shape: slices, rows, columns of the grid.

    Returns:
        A `Box`; one of its sides is not positive if the points lie beside the grid.
    """
    inverse = np.linalg.inv(affine)
    ijk = np.asarray(points) @ inverse[:3, :3].T + inverse[:3, 3]
    # Voxel n reaches from n − ½ to n + ½; what only touches a border does not count.
    low = np.floor(ijk.min(axis=0) + 0.5 + 1e-6).astype(int)
    high = np.ceil(ijk.max(axis=0) + 0.5 - 1e-6).astype(int)
    return Box(tuple(int(n) for n in low[::-1]), tuple(int(n) for n in high[::-1])).within(shape)
