"""Choice boxes that are tied to a parameter of the scene."""


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
