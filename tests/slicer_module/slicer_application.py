"""What the application adds to `slicer-core`: `slicer.app`, node selectors, base classes of modules, parameter nodes.

A stand-in of our own, as small as the module allows; scene, nodes, storage, layouts and `slicer.util` are Slicer's.
"""

from __future__ import annotations

import sys
import types
import typing
from pathlib import Path
from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtWidgets
from PySide6.QtCore import Property, Signal
from pythonqt import QUiLoader, ctk, pythonqt_class, qt

PARAMETER_PROPERTY = "SlicerParameterName"


class NodeComboBox(QtWidgets.QComboBox):
    """qMRMLNodeComboBox: the nodes of some classes in a scene."""

    currentNodeChanged = Signal(object)  # noqa: N815

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)
        self._types: list[str] = []
        self._flags: dict[str, Any] = {"noneEnabled": False, "noneDisplay": "None"}
        self._node: Any = None
        self._scene: Any = None
        self._tags: list[int] = []
        self.activated.connect(lambda index: self.setCurrentNode(self._nodes()[index]))

    def _set_types(self, types: list[str]) -> None:
        self._types = list(types)

    def _flag(name: str, kind: type) -> Any:  # noqa: N805
        def write(self: NodeComboBox, value: Any) -> None:
            self._flags[name] = value

        return Property(kind, lambda self: self._flags.get(name), write)

    nodeTypes = Property("QStringList", lambda self: self._types, _set_types)  # noqa: N815
    noneEnabled = _flag("noneEnabled", bool)  # noqa: N815
    noneDisplay = _flag("noneDisplay", str)  # noqa: N815
    addEnabled = _flag("addEnabled", bool)  # noqa: N815
    removeEnabled = _flag("removeEnabled", bool)  # noqa: N815
    renameEnabled = _flag("renameEnabled", bool)  # noqa: N815
    showChildNodeTypes = _flag("showChildNodeTypes", bool)  # noqa: N815

    def setMRMLScene(self, scene: Any) -> None:  # noqa: N802
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._scene, self._tags = scene, []
        if scene is not None:
            events = (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent)
            self._tags = [scene.AddObserver(event, lambda caller, event: self._refresh()) for event in events]
            self._refresh()

    def currentNode(self) -> Any:  # noqa: N802
        return self._node

    def setCurrentNode(self, node: Any) -> None:  # noqa: N802
        changed = node is not self._node
        self._node = node
        self._refresh(keep=True)
        if changed:
            self.currentNodeChanged.emit(node)

    def _nodes(self) -> list[Any]:
        found = [n for kind in self._types for n in slicer.util.getNodesByClass(kind)]
        return [None, *found] if self._flags["noneEnabled"] else found

    def _refresh(self, keep: bool = False) -> None:
        nodes = self._nodes()
        if self._node not in nodes and not keep:
            self.setCurrentNode(nodes[0] if nodes else None)
            return
        self.clear()
        self.addItems([node.GetName() if node is not None else self._flags["noneDisplay"] for node in nodes])
        self.setCurrentIndex(nodes.index(self._node) if self._node in nodes else -1)


class MRMLWidget(QtWidgets.QWidget):
    """qMRMLWidget: a widget that knows the scene."""

    def setMRMLScene(self, scene: Any) -> None:  # noqa: N802
        self.scene = scene


class Application:
    """`slicer.app`."""

    applicationName = "Slicer"  # noqa: N815

    def __init__(self, folder: Path) -> None:
        self.qt = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["Slicer"])
        self.slicerUserSettingsFilePath = str(folder / "Slicer.ini")
        QtCore.QCoreApplication.setOrganizationName("test")
        QtCore.QSettings.setDefaultFormat(QtCore.QSettings.Format.IniFormat)
        QtCore.QSettings.setPath(QtCore.QSettings.Format.IniFormat, QtCore.QSettings.Scope.UserScope, str(folder))

    def processEvents(self) -> None:  # noqa: N802
        self.qt.processEvents()

    def startupEnvironment(self) -> QtCore.QProcessEnvironment:  # noqa: N802
        return QtCore.QProcessEnvironment.systemEnvironment()

    def testingEnabled(self) -> bool:  # noqa: N802
        return True


class ScriptedLoadableModule:
    """Base of the module class."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent


class ScriptedLoadableModuleWidget:
    """Base of the panel class."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.parent = parent
        self.layout = parent.layout()

    def setup(self) -> None:
        """Developer tools, which we have none of."""

    def resourcePath(self, name: str) -> str:  # noqa: N802
        return str(Path(sys.modules[type(self).__module__].__file__ or "").parent / "Resources" / name)


class ScriptedLoadableModuleLogic:
    """Base of the logic class."""

    def getParameterNode(self) -> Any:  # noqa: N802
        scene, name = slicer.mrmlScene, type(self).__name__
        node = scene.GetSingletonNode(name, "vtkMRMLScriptedModuleNode")
        if node is None:
            made = scene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
            made.UnRegister(None)
            made.SetSingletonTag(name)
            node = scene.AddNode(made)
        return node


class ScriptedLoadableModuleTest:
    """Base of the self-test."""

    def delayDisplay(self, text: str) -> None:  # noqa: N802
        print(text)


class WithinRange:
    """Bounds of a number."""

    def __init__(self, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = minimum, maximum


def parameter_node_wrapper(cls: type) -> type:
    """`@parameterNodeWrapper`: typed attributes kept in a node, tied to the widgets that name them."""
    hints = typing.get_type_hints(cls, include_extras=True)
    defaults = {name: getattr(cls, name, None) for name in hints}

    def bounds(name: str) -> WithinRange | None:
        return next((a for a in getattr(hints[name], "__metadata__", ()) if isinstance(a, WithinRange)), None)

    def kind(name: str) -> type:
        return typing.get_args(hints[name])[0] if bounds(name) else hints[name]

    def accessor(name: str) -> property:
        def read(self: Any) -> Any:
            if issubclass(kind(name), slicer.vtkMRMLNode):
                return self.parameterNode.GetNodeReference(name)
            text = self.parameterNode.GetParameter(name)
            return kind(name)(text) if text else defaults[name]

        def write(self: Any, value: Any) -> None:
            if issubclass(kind(name), slicer.vtkMRMLNode):
                self.parameterNode.SetNodeReferenceID(name, value.GetID() if value is not None else None)
                return
            limits = bounds(name)
            if not isinstance(value, kind(name)):
                raise TypeError(f"{name} is a {kind(name).__name__}, not {value!r}")
            if limits and not limits.minimum <= value <= limits.maximum:
                raise ValueError(f"{name}: {value} is out of range")
            self.parameterNode.SetParameter(name, str(value))

        return property(read, write)

    def __init__(self: Any, node: Any) -> None:  # noqa: N807
        self.parameterNode, self._bound, self._updating = node, {}, False
        node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, event: self._show())

    def show(self: Any) -> None:
        if not self._updating:
            self._updating = True
            for name, widget in self._bound.items():
                value = getattr(self, name)
                if isinstance(widget, NodeComboBox):
                    widget.setCurrentNode(value)
                else:
                    widget.value = value
            self._updating = False

    def connect_gui(self: Any, ui: Any) -> int:
        for widget in vars(ui).values():
            name = widget.property(PARAMETER_PROPERTY)
            if not name:
                continue
            limits = bounds(name)
            if limits:
                widget.minimum, widget.maximum = limits.minimum, limits.maximum
            self._bound[name] = widget

            def changed(value: Any, name: str = name) -> None:
                if not self._updating and self._bound:
                    setattr(self, name, value)

            by_node = isinstance(widget, NodeComboBox)
            widget.connect("currentNodeChanged(vtkMRMLNode*)" if by_node else "valueChanged(double)", changed)
        self._show()
        return 0

    for name in hints:
        setattr(cls, name, accessor(name))
    cls.__init__ = __init__  # type: ignore[misc]
    cls._show = show  # type: ignore[attr-defined]
    cls.connectGui = connect_gui  # type: ignore[attr-defined]
    cls.disconnectGui = lambda self, tag: self._bound.clear()  # type: ignore[attr-defined]
    return cls


def install(folder: Path) -> None:
    """Make `import qt, ctk, slicer` give what the module expects, with settings in a folder of the test."""
    sys.modules["qt"], sys.modules["ctk"] = qt, ctk
    slicer.app = Application(folder)
    slicer.mrmlScene = slicer.vtkMRMLScene()
    slicer.modules = types.SimpleNamespace()
    slicer.qMRMLNodeComboBox, slicer.qMRMLWidget = pythonqt_class(NodeComboBox), pythonqt_class(MRMLWidget)
    QUiLoader.widgets.update(qMRMLNodeComboBox=slicer.qMRMLNodeComboBox, qMRMLWidget=slicer.qMRMLWidget)
    bases = types.ModuleType("slicer.ScriptedLoadableModule")
    for base in (
        ScriptedLoadableModule,
        ScriptedLoadableModuleWidget,
        ScriptedLoadableModuleLogic,
        ScriptedLoadableModuleTest,
    ):
        setattr(bases, base.__name__, base)
    wrapper = types.ModuleType("slicer.parameterNodeWrapper")
    wrapper.parameterNodeWrapper, wrapper.WithinRange = parameter_node_wrapper, WithinRange  # type: ignore[attr-defined]
    sys.modules["slicer.ScriptedLoadableModule"], sys.modules["slicer.parameterNodeWrapper"] = bases, wrapper
