"""``slicer.ScriptedLoadableModule``: the four base classes of a scripted module."""
# ruff: noqa: N802, N803, N815 - the names are those of the real classes

from __future__ import annotations

import importlib
import unittest
from pathlib import Path

import qt
import slicer

__all__ = [
    "ScriptedLoadableModule", "ScriptedLoadableModuleLogic", "ScriptedLoadableModuleTest",
    "ScriptedLoadableModuleWidget",
]  # fmt: skip


class ScriptedLoadableModule:
    """What the module list shows; runs the self-test."""

    def __init__(self, parent):
        self.parent = parent
        self.moduleName = type(self).__name__
        parent.title, parent.helpText, parent.acknowledgementText = "", "", ""
        parent.categories, parent.dependencies, parent.contributors = [], [], []
        icon = Path(self.resourcePath(f"Icons/{self.moduleName}.png"))
        if icon.is_file():
            parent.icon = qt.QIcon(str(icon))

    def resourcePath(self, filename):
        return str(Path(self.parent.path).parent / "Resources" / filename)

    def getDefaultModuleDocumentationLink(self, docPage=None):
        return f"<p>{slicer.app.moduleDocumentationUrl(docPage or self.moduleName)}</p>"

    def runTest(self, msec=100, **kwargs):
        module = importlib.import_module(type(self).__module__)
        test = getattr(module, f"{self.moduleName}Test")()
        test.messageDelay = msec
        test.runTest(**kwargs)


class ScriptedLoadableModuleWidget:
    """The panel: ``parent`` is the qMRMLWidget it fills; without one it makes its own and sets itself up."""

    def __init__(self, parent=None):
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = False
        self.parent = parent or self._own_parent()
        self.layout = self.parent.layout()
        if not parent:
            self.setup()
            self.parent.show()
        slicer.app.moduleManager().connect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def _own_parent(self):
        parent = slicer.qMRMLWidget()
        parent.setLayout(qt.QVBoxLayout())
        parent.setMRMLScene(slicer.mrmlScene)
        return parent

    def resourcePath(self, filename):
        return str(Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / filename)

    def setup(self):
        """Build the panel; a module extends it."""

    def cleanup(self):
        """Called when the module is unloaded; a module extends it."""

    def onReload(self):
        slicer.util.reloadScriptedModule(self.moduleName)

    def _onModuleAboutToBeUnloaded(self, name):
        if name == self.moduleName:
            self.cleanup()
            manager = slicer.app.moduleManager()
            manager.disconnect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)


class ScriptedLoadableModuleLogic:
    """Computation without widgets; owns the module's parameter node, one for each scene."""

    def __init__(self, parent=None):
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self):
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            return slicer.mrmlScene.AddNode(self.createParameterNode())
        node.SetAttribute("ModuleName", self.moduleName)  # closing the scene takes it away
        return node

    def createParameterNode(self):
        if not self.isSingletonParameterNode:
            raise NotImplementedError("the test double has one parameter node for each module")
        node = slicer.vtkMRMLScriptedModuleNode()
        node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """The self-test that runs inside the application; ``runTest`` runs every method with "test" in its name."""

    messageDelay = 0

    def delayDisplay(self, message, requestedDelay=None, msec=None):
        slicer.app.processEvents()

    def runTest(self):
        names = [name for name in dir(type(self)) if name.startswith("test")]
        for name in names:
            self.setUp()
            getattr(self, name)()
            self.tearDown()
