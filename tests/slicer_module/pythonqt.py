"""The modules `qt` and `ctk` as Slicer's Python has them, on PySide6: properties are attributes, signals are strings.

In Slicer, PythonQt gives `button.text = "…"` and `button.connect("clicked(bool)", f)`; PySide6 has `setText` and
`button.clicked.connect(f)`. Every class is given the first form on top of the second; nothing else differs that the
module uses.
"""

from __future__ import annotations

import types
from typing import Any

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets
from PySide6.QtCore import Property, QObject, Signal

_VIRTUAL = {"sizeHint", "minimumSizeHint", "alignment"}
_WRAPPED: dict[str, Any] = {}


def pythonqt_class(base: type[QObject]) -> type[QObject]:
    """A subclass whose Qt properties are Python properties and which connects by signature."""
    meta = base.staticMetaObject  # type: ignore[attr-defined]
    body: dict[str, Any] = {}
    for index in range(meta.propertyCount()):
        name = meta.property(index).name()
        # Properties of classes written in Python are attributes already.
        ours = any(isinstance(vars(cls).get(name), Property) for cls in base.__mro__)
        if name not in _VIRTUAL and not ours:
            body[name] = property(
                lambda self, name=name: QObject.property(self, name),
                lambda self, value, name=name: self.setProperty(name, value) and None,
            )

    def connect(self: QObject, signature: str, receiver: Any) -> bool:
        getattr(self, signature.partition("(")[0]).connect(receiver)
        return True

    body["name"] = property(QObject.objectName, QObject.setObjectName)
    body["connect"] = connect
    return type(base.__name__, (base,), body)


def _from_qt(name: str) -> Any:
    for module in (QtCore, QtGui, QtWidgets):
        if hasattr(module, name):
            found = getattr(module, name)
            if isinstance(found, type) and issubclass(found, QObject) and name not in ("QObject", "QCoreApplication"):
                return pythonqt_class(found)
            return found
    raise AttributeError(name)


class QtModule(types.ModuleType):
    """`import qt`."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in _WRAPPED:
            _WRAPPED[name] = QUiLoader if name == "QUiLoader" else _from_qt(name)
        return _WRAPPED[name]


qt = QtModule("qt")
ctk = types.ModuleType("ctk")


class QUiLoader(QtUiTools.QUiLoader):
    """Makes the widgets of a .ui file out of the classes here and those that `widgets` adds."""

    widgets: dict[str, type[QtWidgets.QWidget]] = {}  # noqa: RUF012

    def createWidget(self, class_name: str, parent: QtWidgets.QWidget | None = None, name: str = "") -> Any:  # noqa: N802
        made = (self.widgets.get(class_name) or getattr(qt, class_name))(parent)
        made.setObjectName(name)
        # Python owns what it makes; Qt's parent keeps it, this keeps the Python half of it.
        if parent is not None:
            parent.__dict__.setdefault("_made", []).append(made)
        return made


class CollapsibleButton(QtWidgets.QWidget):
    """ctkCollapsibleButton: a heading that folds what is below it."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._text, self._collapsed = "", False
        self.setContentsMargins(4, 30, 4, 4)

    def _set_text(self, text: str) -> None:
        self._text = text

    def _set_collapsed(self, collapsed: bool) -> None:
        self._collapsed = collapsed
        self.setMaximumHeight(26 if collapsed else 16777215)

    text = Property(str, lambda self: self._text, _set_text)
    collapsed = Property(bool, lambda self: self._collapsed, _set_collapsed)

    def paintEvent(self, event: Any) -> None:  # noqa: N802
        painter = QtGui.QPainter(self)
        bar = QtCore.QRectF(0, 0, QtWidgets.QWidget.width(self), 24)
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        painter.setPen(QtCore.Qt.PenStyle.NoPen)
        painter.setBrush(QtWidgets.QWidget.palette(self).color(QtGui.QPalette.ColorRole.Midlight))
        painter.drawRoundedRect(bar, 4, 4)
        painter.setPen(QtWidgets.QWidget.palette(self).color(QtGui.QPalette.ColorRole.WindowText))
        arrow = "▸" if self._collapsed else "▾"
        painter.drawText(bar.adjusted(8, 0, 0, 0), QtCore.Qt.AlignmentFlag.AlignVCenter, f"{arrow}  {self._text}")
        painter.end()


class SliderWidget(QtWidgets.QWidget):
    """ctkSliderWidget: a slider with a spin box, of real numbers."""

    valueChanged = Signal(float)  # noqa: N815
    STEPS = 1000

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._slider, self._spin = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal), QtWidgets.QDoubleSpinBox()
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider)
        layout.addWidget(self._spin)
        self._slider.setRange(0, self.STEPS)
        self._slider.valueChanged.connect(self._slid)
        self._spin.valueChanged.connect(self._spun)

    def _slid(self, position: int) -> None:
        low, high = self._spin.minimum(), self._spin.maximum()
        self._spin.setValue(low + (high - low) * position / self.STEPS)

    def _spun(self, value: float) -> None:
        low, high = self._spin.minimum(), self._spin.maximum()
        self._slider.blockSignals(True)
        self._slider.setValue(round((value - low) / (high - low) * self.STEPS) if high > low else 0)
        self._slider.blockSignals(False)
        self.valueChanged.emit(value)

    value = Property(float, lambda self: self._spin.value(), lambda self, v: self._spin.setValue(v))
    minimum = Property(float, lambda self: self._spin.minimum(), lambda self, v: self._spin.setMinimum(v))
    maximum = Property(float, lambda self: self._spin.maximum(), lambda self, v: self._spin.setMaximum(v))
    singleStep = Property(float, lambda self: self._spin.singleStep(), lambda self, v: self._spin.setSingleStep(v))  # noqa: N815
    pageStep = Property(float, lambda self: 0.0, lambda self, v: None)  # noqa: N815
    decimals = Property(int, lambda self: self._spin.decimals(), lambda self, v: self._spin.setDecimals(v))


class PathLineEdit(QtWidgets.QWidget):
    """ctkPathLineEdit: a path with a button to browse for it."""

    currentPathChanged = Signal(str)  # noqa: N815
    Dirs, Files = 1, 2
    filters = 3

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._edit, self._browse = QtWidgets.QLineEdit(), QtWidgets.QToolButton()
        self._browse.setText("…")
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._edit)
        layout.addWidget(self._browse)
        self._edit.textChanged.connect(self.currentPathChanged)

    currentPath = Property(str, lambda self: self._edit.text(), lambda self, path: self._edit.setText(path))  # noqa: N815


ctk.ctkCollapsibleButton = pythonqt_class(CollapsibleButton)  # type: ignore[attr-defined]
ctk.ctkSliderWidget = pythonqt_class(SliderWidget)  # type: ignore[attr-defined]
ctk.ctkPathLineEdit = pythonqt_class(PathLineEdit)  # type: ignore[attr-defined]
QUiLoader.widgets.update({name: getattr(ctk, name) for name in dir(ctk) if name.startswith("ctk")})
