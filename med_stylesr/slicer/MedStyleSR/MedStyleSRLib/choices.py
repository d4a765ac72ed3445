"""Choice boxes that are tied to a parameter of the scene, and what there is to choose in them."""

from .i18n import _
from .parameters import BY_EYE, DOSE, FACTORS, KEEP, NOISE, SPACING
from .region import ROI, SLICE, WHOLE


class Choices:
    """A combo box whose items stand for the values of a parameter.

    Args:
        combo: QComboBox.
        parameter: name in the parameter node.
        items: (value, label) pairs; an editable box takes any other value too.
        changed: called after the user has chosen.
    """

    def __init__(self, combo, parameter, items, changed):
        self._combo, self._parameter, self._changed = combo, parameter, changed
        self._values = [value for value, _label in items]
        self._labels = [label for _value, label in items]
        self._node = None
        combo.clear()
        combo.addItems(self._labels)
        combo.connect("currentIndexChanged(int)", self._store)
        if combo.editable:
            combo.connect("editTextChanged(QString)", self._store)

    def follow(self, node):
        """Show the value of a parameter node, and write to it from now on."""
        self._node = None
        value = getattr(node, self._parameter)
        if value in self._values:
            self._combo.currentIndex = self._values.index(value)
        elif self._combo.editable:
            self._combo.setEditText(value)
        self._node = node

    @property
    def value(self):
        """What is chosen or typed."""
        text = self._combo.currentText
        return self._values[self._labels.index(text)] if text in self._labels else text.strip()

    def _store(self, _what=None):
        if self._node is not None and getattr(self._node, self._parameter) != self.value:
            setattr(self._node, self._parameter, self.value)
            self._changed()


def regions():
    """Parts of a volume."""
    return (
        (WHOLE, _("Whole volume")),
        (ROI, _("Region of interest")),
        (SLICE, _("Preview of the slice in view")),
    )


def styles():
    """Styles of the shipped bundle; a bundle of one's own may have others."""
    return (
        ("normal-dose", _("Normal dose: level and texture")),
        ("smooth", _("Smooth: less noise")),
        ("noise-free", _("Without noise")),
        ("soft", _("Soft kernel at normal dose")),
        ("sharp", _("Sharp kernel at normal dose")),
        ("as-is", _("As it is: resolution only")),
    )


def strengths():
    """What decides on the strength."""
    return ((BY_EYE, _("By eye, with the slider")), (DOSE, _("Fraction of dose")), (NOISE, _("Noise to leave")))


def resolutions():
    """What decides on the resolution."""
    return ((KEEP, _("As it is")), (FACTORS, _("Finer by whole factors")), (SPACING, _("Nearest to a spacing")))
