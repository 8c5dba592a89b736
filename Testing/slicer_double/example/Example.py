"""A scripted module as small as they come, which the double's own tests load."""

import enum
import pathlib
from typing import Annotated

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Choice, Default, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class Side(enum.Enum):
    LEFT = "left"
    RIGHT = "right"


@parameterNodeWrapper
class ExampleParameterNode:
    scan: slicer.vtkMRMLSequenceNode | slicer.vtkMRMLScalarVolumeNode | None
    strength: Annotated[float, WithinRange(0, 5), Default(1.5)]
    rounds: Annotated[int, WithinRange(1, 9), Default(3)]
    method: Annotated[str, Choice(["none", "soft", "hard"]), Default("soft")]
    side: Side = Side.RIGHT
    note: str
    smooth: bool = True
    folder: pathlib.Path


class Example(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Example")
        self.parent.categories = ["Neuroimaging"]
        slicer.app.connect("startupCompleted()", offer_sample)


def offer_sample():
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="Example", sampleName="ExamplePhantom", uris=[], fileNames=[], customDownloader=lambda source: None
    )


class ExampleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.parameters = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath("UI/Example.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.logic = ExampleLogic()
        self.ui.applyButton.connect("clicked(bool)", self.apply)
        self.parameters = ExampleParameterNode(self.logic.getParameterNode())
        self.gui = self.parameters.connectGui(self.ui)
        self.ui.scanSelector.addAttribute("vtkMRMLSequenceNode", "DataNodeClassName", "vtkMRMLScalarVolumeNode")
        self.addObserver(self.parameters, vtk.vtkCommand.ModifiedEvent, self.check)
        self.check()

    def cleanup(self):
        self.removeObservers()
        self.parameters.disconnectGui(self.gui)

    def check(self, caller=None, event=None):
        self.ui.applyButton.enabled = self.parameters.scan is not None
        self.ui.applyButton.toolTip = "" if self.parameters.scan else "Choose a scan"

    def apply(self):
        with slicer.util.tryWithErrorDisplay("Failed to apply.", waitCursor=True):
            progress = slicer.util.createProgressDialog(maximum=100, labelText="Working", parent=self.parent)
            try:
                self.logic.process(self.parameters, progress)
            finally:
                progress.close()


class ExampleLogic(ScriptedLoadableModuleLogic):
    def process(self, parameters, progress):
        for percent in range(0, 100, 10):
            progress.value = percent
            slicer.app.processEvents()
            if progress.wasCanceled:
                raise RuntimeError("cancelled")
        parameters.note = f"{parameters.strength * parameters.rounds:g} {qt.Qt.Checked == 2}"


class ExampleTest(ScriptedLoadableModuleTest):
    def test_defaults(self):
        assert ExampleParameterNode(ExampleLogic().getParameterNode()).rounds == 3
