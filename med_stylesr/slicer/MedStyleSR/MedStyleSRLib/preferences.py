"""What belongs to the machine, not to the scene: kept in Slicer's application settings."""

import os
import shutil
import sys

import qt
import slicer

from .private_install import installed
from .program import find_program

_PREFIX = "MedStyleSR/"


class Preferences:
    """Settings of the module on this machine.

    Args:
        module_file: path of MedStyleSR.py.
    """

    def __init__(self, module_file):
        self._module_file = module_file

    def _read(self, name, default):
        return str(slicer.util.settingsValue(_PREFIX + name, default))

    def _write(self, name, value):
        qt.QSettings().setValue(_PREFIX + name, value)

    @property
    def program(self):
        """Path of the program as the user chose it; empty: it is looked for."""
        return self._read("Program", "")

    @program.setter
    def program(self, path):
        self._write("Program", path)

    @property
    def device(self):
        """Device: auto, cpu, cuda or cuda:N."""
        return self._read("Device", "auto")

    @device.setter
    def device(self, name):
        self._write("Device", name)

    @property
    def runtime(self):
        """What runs the networks: one of `command.RUNTIMES`."""
        return self._read("Runtime", "auto")

    @runtime.setter
    def runtime(self, name):
        self._write("Runtime", name)

    @property
    def private_folder(self):
        """Where the engine is installed for Slicer's own Python: one folder for each version of it."""
        settings = os.path.dirname(slicer.app.slicerUserSettingsFilePath)
        return os.path.join(settings, "MedStyleSR", "python{}.{}".format(*sys.version_info[:2]))

    @property
    def slicer_python(self):
        """Path of PythonSlicer, or None."""
        return shutil.which("PythonSlicer")

    def program_finder(self):
        """A function that finds the program, to be called on any thread; settings are read here and now."""
        private = installed(self.private_folder, self.slicer_python, dict(os.environ))
        arguments = (self.program, slicer.util.startupEnvironment(), self._module_file, private)
        return lambda: find_program(*arguments)
