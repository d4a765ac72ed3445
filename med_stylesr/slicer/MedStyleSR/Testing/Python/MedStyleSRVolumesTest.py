"""Inside Slicer: volumes keep voxels and place on the way to the engine and back. Needs no med-stylesr program."""

import os
import tempfile
import unittest

import numpy as np
import slicer
from MedStyleSRLib.nrrd import read_nrrd, write_nrrd
from MedStyleSRLib.volumes import affine_of, fill, voxels_of

SHEARED = np.array([[0.5, 0, 0, 1], [0, 0.5, 0.8, 2], [0, 0, 2.4, 3], [0, 0, 0, 1.0]])


class MedStyleSRVolumesTest(unittest.TestCase):
    """A volume of a tilted gantry through the scene, a file of ours, and Slicer's own reader."""

    def setUp(self):
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear()
        self.voxels = np.arange(60, dtype=np.int16).reshape(3, 4, 5)

    def test_a_node_keeps_voxels_and_shear(self):
        """What is put into a node comes out of it."""
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
        fill(node, self.voxels, SHEARED)
        self.assertTrue((voxels_of(node) == self.voxels).all())
        self.assertTrue(np.allclose(affine_of(node), SHEARED))

    def test_our_file_is_read_by_slicer_in_the_same_place(self):
        """Both readers agree."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a.nrrd")
            write_nrrd(path, self.voxels, SHEARED)
            storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLNRRDStorageNode")
            storage.SetFileName(path)
            node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
            self.assertTrue(storage.ReadData(node))
            self.assertTrue(np.allclose(affine_of(node), SHEARED))
            self.assertTrue(np.allclose(read_nrrd(path)[1], SHEARED))
            self.assertTrue((voxels_of(node) == self.voxels).all())
