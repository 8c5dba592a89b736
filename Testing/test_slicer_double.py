"""The test double of Slicer: as strict as the real thing, and real where it matters.

With ``SLICER_SOURCE`` set to a Slicer source tree the same tests run on Slicer's own Python packages.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from slicer_double import fixtures
from slicer_double.fixtures import dialogs, load, scene, slicer_app  # noqa: F401

EXAMPLE = Path(__file__).parent / "slicer_double" / "example" / "Example.py"
pytestmark = pytest.mark.filterwarnings("ignore:Setting the shape:DeprecationWarning")  # VTK with numpy 2.5


@pytest.fixture
def example(load):  # noqa: F811
    return load(EXAMPLE)


def volume(name: str):
    import slicer

    node = slicer.util.addVolumeFromArray(np.zeros((2, 3, 4), np.float32))
    node.SetName(name)
    return node


def sequence(name: str, *items):
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    for index, item in enumerate(items):
        node.SetDataNodeAtValue(item, str(index))
    return node


def segmentation(*names: str):
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    for name in names:
        node.GetSegmentation().AddEmptySegment(name, name)
    return node


# What a machine may lack


def test_a_missing_package_is_named(monkeypatch):
    fixtures.missing.cache_clear()
    monkeypatch.setattr(fixtures.importlib.util, "find_spec", lambda name: None)
    assert fixtures.missing(qt=False) == "slicer-core is not installed: pip install slicer-core"
    with pytest.raises(pytest.skip.Exception, match="slicer-core"):
        fixtures.require()
    fixtures.missing.cache_clear()


def test_a_qt_that_ends_the_process_is_named(monkeypatch):
    fixtures.require()
    fixtures.missing.cache_clear()
    monkeypatch.setattr(fixtures, "PROBE", "import os, sys; print('no libEGL', file=sys.stderr); os.abort()")
    assert fixtures.missing().startswith("Qt does not work here (no libEGL)")
    fixtures.missing.cache_clear()


def test_a_qt_that_loses_references_is_named(monkeypatch):
    fixtures.require()
    fixtures.missing.cache_clear()
    losing = fixtures.PROBE.replace("application.processEvents()", "sys.getrefcount = lambda _: 0")
    monkeypatch.setattr(fixtures, "PROBE", losing)
    assert fixtures.missing().startswith("Qt does not work here (this PySide6 loses references to None)")
    fixtures.missing.cache_clear()


# The scene


def test_boot_is_idempotent_and_clear_leaves_the_singletons(scene):  # noqa: F811
    from slicer_double.scene import boot_scene, clear_scene

    before = scene.GetNumberOfNodes()
    volume("scan")
    clear_scene()
    assert boot_scene() is scene
    assert scene.GetNumberOfNodes() == before


def test_hierarchy_items_as_in_the_application(scene):  # noqa: F811
    import slicer

    scan = volume("scan")
    frames = sequence("frames", scan)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    item = hierarchy.GetItemByDataNode(scan)
    assert hierarchy.GetItemOwnerPluginName(item) == "Volumes"
    assert hierarchy.GetItemByDataNode(frames) == 0  # sequences have none
    scene.RemoveNode(scan)
    assert hierarchy.GetItemName(item) == ""


def test_folders_come_back_from_a_bundle(scene, tmp_path):  # noqa: F811
    import slicer
    from slicer_double.scene import reload_scene

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "Maps")
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(volume("CBF")), folder)
    del hierarchy
    reload_scene(tmp_path / "scene.mrb")
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    item = hierarchy.GetItemByDataNode(slicer.util.getNode("CBF"))
    assert hierarchy.GetItemName(hierarchy.GetItemParent(item)) == "Maps"


def test_a_scene_of_the_product_is_replaced():
    """Boot after somebody else did, in a process of its own."""
    fixtures.require(qt=False)
    code = (
        "import slicer, types\n"
        "slicer.mrmlScene, slicer.modules = slicer.vtkMRMLScene(), types.SimpleNamespace()\n"
        "from slicer_double.scene import application_logic, boot_scene\n"
        "assert application_logic().GetMRMLScene() is boot_scene() is slicer.mrmlScene\n"
        "assert slicer.modules.volumes.logic()\n"
    )
    path = {"PYTHONPATH": str(Path(__file__).parent), "PATH": ""}
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=path)


# PythonQt


def test_properties_are_attributes(slicer_app):  # noqa: F811
    import qt

    button = qt.QPushButton("Apply")
    button.toolTip, button.name = "why not", "applyButton"
    assert (button.text, button.toolTip, button.objectName) == ("Apply", "why not", "applyButton")
    assert isinstance(button.sizeHint, qt.QSize)
    with pytest.raises(TypeError, match="not callable"):
        button.text()


@pytest.mark.parametrize("name", ["tooltip", "_mine", "Enabled"])
def test_a_new_attribute_on_a_qt_object_raises(slicer_app, name):  # noqa: F811
    import qt

    with pytest.raises(AttributeError, match=name):
        setattr(qt.QPushButton(), name, 1)


def test_a_read_only_property_raises(slicer_app):  # noqa: F811
    import qt

    with pytest.raises(AttributeError, match="read-only"):
        qt.QPushButton().width = 3


@pytest.mark.parametrize("signature", ["clickd()", "clicked(int)", "clicked"])
def test_an_unknown_signal_raises(slicer_app, signature):  # noqa: F811
    import qt

    with pytest.raises(ValueError, match="signal"):
        qt.QPushButton().connect(signature, print)


def test_slots_get_what_they_take(slicer_app):  # noqa: F811
    import qt

    button, seen = qt.QPushButton(), []
    button.checkable = True
    button.connect("clicked(bool)", lambda: seen.append("none"))
    button.connect("clicked(bool)", lambda on: seen.append(on))
    button.connect("clicked(bool)", lambda *rest: seen.append(rest))
    button.connect("clicked()", lambda *rest: seen.append(rest))
    button.click()
    assert seen == ["none", True, (True,), ()]


def test_disconnect_undoes_one_connection(slicer_app):  # noqa: F811
    import qt

    button, seen = qt.QPushButton(), []

    def slot():
        seen.append(1)

    button.connect("clicked()", slot)
    button.disconnect("clicked()", slot)
    button.click()
    assert not seen
    with pytest.raises(ValueError, match="not connected"):
        button.disconnect("clicked()", slot)


def test_an_exception_in_a_slot_or_observer_is_recorded(slicer_app, scene, capsys):  # noqa: F811
    import qt
    from slicer_double import pythonqt

    def fail(*_):
        raise RuntimeError("in a slot")

    button = qt.QPushButton()
    button.connect("clicked()", fail)
    button.clicked.connect(fail)
    button.click()
    scene.AddObserver("ModifiedEvent", fail)
    scene.Modified()
    scene.RemoveObservers("ModifiedEvent")
    assert [str(error) for error in pythonqt.slot_errors] == ["in a slot"] * 3
    pythonqt.slot_errors.clear()


def test_a_recorded_exception_fails_the_test(tmp_path):
    """Run a test with a slot that raises in another pytest."""
    fixtures.require()
    (tmp_path / "test_it.py").write_text(
        "from slicer_double.fixtures import slicer_app, scene\n"
        "def test_it(slicer_app):\n"
        "    import qt\n"
        "    button = qt.QPushButton()\n"
        "    button.connect('clicked()', lambda: 1 / 0)\n"
        "    button.click()\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    path = {"PYTHONPATH": str(Path(__file__).parent), "PATH": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=path, cwd=tmp_path, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "raised in a slot or observer: ZeroDivisionError" in done.stdout


# Widgets


def test_widgets_refuse_what_they_do_not_know(slicer_app):  # noqa: F811
    import ctk
    import slicer

    for widget in (ctk.ctkSliderWidget(), ctk.ctkCollapsibleButton(), slicer.qMRMLNodeComboBox()):
        with pytest.raises(AttributeError):
            widget.colour = 1
        with pytest.raises(AttributeError):
            widget.setColour(1)
    with pytest.raises(AttributeError):
        _ = ctk.ctkUnheardOf
    with pytest.raises(NotImplementedError, match="ctkRangeWidget"):
        ctk.ctkRangeWidget()


def test_slider_clamps_rounds_and_tells(slicer_app):  # noqa: F811
    import ctk

    slider, seen = ctk.ctkSliderWidget(), []
    assert (slider.minimum, slider.maximum, slider.decimals) == (0, 99, 0)
    slider.connect("valueChanged(double)", seen.append)
    slider.decimals, slider.maximum = 1, 10
    slider.value = 3.14
    slider.value = 11
    slider.value = 11
    assert seen == [3.1, 10.0]


def test_collapsible_button_hides_its_contents(slicer_app):  # noqa: F811
    import ctk
    import qt

    section, seen = ctk.ctkCollapsibleButton(), []
    section.text = "Scan"
    layout = qt.QVBoxLayout(section)
    label = qt.QLabel("inside")
    layout.addWidget(label)
    section.connect("contentsCollapsed(bool)", seen.append)
    section.show()
    section.collapsed = True
    assert seen == [True]
    assert not label.visible
    section.collapsed = False
    assert label.visible


def test_node_combo_box_is_live_on_the_scene(slicer_app, scene):  # noqa: F811
    import slicer

    box, seen = slicer.qMRMLNodeComboBox(), []
    box.nodeTypes = ["vtkMRMLSequenceNode"]
    box.addAttribute("vtkMRMLSequenceNode", "DataNodeClassName", "vtkMRMLScalarVolumeNode")
    box.connect("currentNodeChanged(vtkMRMLNode*)", seen.append)
    assert not box.enabled
    box.setMRMLScene(scene)
    assert box.enabled
    late = sequence("empty")  # has no data yet, so it does not fit
    assert box.nodeCount() == 0
    late.SetDataNodeAtValue(volume("frame"), "0")
    transforms = sequence("transforms", slicer.vtkMRMLLinearTransformNode())
    assert [box.nodeFromIndex(index).GetName() for index in range(box.nodeCount())] == ["empty"]
    assert box.currentNode() is late  # without noneEnabled the first is chosen
    box.setCurrentNode(transforms)
    assert box.currentNode() is None
    scene.RemoveNode(late)
    assert box.nodeCount() == 0
    assert seen == [late, None]


def test_node_combo_box_leaves_nodes_out_by_their_ids(slicer_app, scene):  # noqa: F811
    import slicer

    box = slicer.qMRMLNodeComboBox()
    box.nodeTypes, box.noneEnabled = ["vtkMRMLSequenceNode"], True
    box.setMRMLScene(scene)
    one, other = sequence("one"), sequence("other")
    box.setCurrentNode(one)
    box.sortFilterProxyModel().hiddenNodeIDs = [one.GetID()]
    assert box.nodeCount() == 1 and box.currentNode() is None
    box.setCurrentNode(one)
    assert box.currentNode() is None
    box.sortFilterProxyModel().hiddenNodeIDs = []
    assert [box.nodeFromIndex(index) for index in range(box.nodeCount())] == [one, other]


def test_node_combo_box_with_none_keeps_none(slicer_app, scene):  # noqa: F811
    import slicer

    box, seen = slicer.qMRMLNodeComboBox(), []
    box.nodeTypes, box.noneEnabled = ["vtkMRMLScalarVolumeNode"], True
    box.connect("currentNodeChanged(bool)", seen.append)
    box.setMRMLScene(scene)
    scan = volume("scan")
    assert box.currentNode() is None
    box.setCurrentNodeID(scan.GetID())
    assert (box.currentNode(), box.currentNodeID) == (scan, scan.GetID())
    hidden = volume("hidden")
    hidden.SetHideFromEditors(True)
    scene.Clear(False)
    assert box.currentNode() is None
    assert seen == [True, False]


def test_a_node_chosen_before_the_scene_is_chosen_with_it(slicer_app, scene):  # noqa: F811
    import slicer

    volume("first")
    second = volume("second")
    box = slicer.qMRMLNodeComboBox()
    box.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    box.setCurrentNodeID(second.GetID())
    box.setMRMLScene(scene)
    assert box.currentNode() is second


def test_segment_selector_follows_the_segmentation(slicer_app, scene):  # noqa: F811
    import slicer

    selector, seen = slicer.qMRMLSegmentSelectorWidget(), []
    selector.connect("currentSegmentChanged(QString)", seen.append)
    selector.setMRMLScene(scene)
    node = segmentation("brain", "AIF")
    assert selector.currentNode() is node
    assert selector.segmentIDs() == (), "only where several can be chosen"
    selector.setCurrentSegmentID("AIF")
    node.GetSegmentation().RemoveSegment("AIF")
    scene.RemoveNode(node)
    assert seen == ["brain", "AIF", "brain"]
    assert (selector.currentNode(), selector.currentSegmentID()) == (None, "brain"), "Slicer keeps the last one"


def test_a_chosen_node_that_goes_is_followed_by_the_next(slicer_app, scene):  # noqa: F811
    import slicer

    first, second, third = (volume(name) for name in ("first", "second", "third"))
    box, seen = slicer.qMRMLNodeComboBox(), []
    box.nodeTypes, box.noneEnabled = ["vtkMRMLScalarVolumeNode"], True
    box.setMRMLScene(scene)
    box.connect("currentNodeChanged(vtkMRMLNode*)", seen.append)
    box.setCurrentNode(second)
    for node in (second, third, first):
        scene.RemoveNode(node)
    assert seen == [second, third, first, None]


def named_classes() -> list[type]:
    """Return the double's classes that carry the name of a C++ class of Slicer."""
    from PySide6 import QtCore
    from slicer_double import application, inert, layouts, selectors

    modules = (selectors, inert, layouts, application)
    pairs = [(module, member) for module in modules for member in vars(module).values() if isinstance(member, type)]
    return [cls for module, cls in pairs if cls.__module__ == module.__name__ and issubclass(cls, QtCore.QObject)]


def declarations(name: str, headers: dict[str, str]) -> str:
    """Return the header of a C++ class and of what it derives from, as far as they are in Slicer's tree."""
    text = headers.get(name, "")
    base = re.search(rf"class \w+ {name}\s*:\s*public (\w+)", text)
    return text + (declarations(base[1], headers) if base else "")


# Of ctkVTKAbstractView, of QCoreApplication, and what slicer.util asks slicer.app for
ELSEWHERE = {"scheduleRender", "forceRender", "translate", "testingEnabled"}

if os.environ.get("SLICER_SOURCE"):

    def test_every_public_name_of_a_widget_is_real(slicer_app):
        headers = {path.stem: path.read_text() for path in Path(os.environ["SLICER_SOURCE"]).rglob("q*.h")}
        for cls in named_classes():
            text = declarations(cls.__name__, headers)
            public = {name for name in vars(cls) if name[0].islower()} - ELSEWHERE - {"staticMetaObject"}
            unreal = {name for name in public if not re.search(rf"\b{name}\b", text)}
            assert text
            assert unreal == set(), cls


# Panels


def test_the_ui_file_is_read_strictly(slicer_app, tmp_path):  # noqa: F811
    import slicer

    text = (EXAMPLE.parent / "Resources/UI/Example.ui").read_text()
    for wrong, error in (
        (text.replace("ctkSliderWidget", "ctkNobodysWidget"), NotImplementedError),
        (text.replace('"suffix"', '"sufix"'), AttributeError),
        (text.replace("<slot>setMRMLScene", "<slot>setScene"), AttributeError),
        (text.replace("<receiver>maskSelector", "<receiver>mask"), LookupError),
    ):
        path = tmp_path / "wrong.ui"
        path.write_text(wrong)
        with pytest.raises(error):
            slicer.util.loadUI(str(path))


def test_every_control_reaches_the_parameter_node_and_back(example):
    ui, parameters = example.widget.ui, example.widget.parameters
    assert (ui.strengthSlider.value, ui.roundsBox.value, ui.methodBox.currentText) == (1.5, 3, "soft")
    assert (ui.sideBox.currentText, ui.smoothBox.checked) == ("RIGHT", True)
    assert (ui.strengthSlider.maximum, ui.roundsBox.minimum) == (5, 1)
    scan = sequence("scan", volume("frame"))
    ui.scanSelector.setCurrentNode(scan)
    ui.strengthSlider.value, ui.roundsBox.value, ui.smoothBox.checked = 2.25, 7, False
    ui.methodBox.currentIndex, ui.sideBox.currentIndex, ui.noteEdit.text = 2, 0, "left"
    ui.folderEdit.currentPath = "/data"
    side = type(parameters.side)
    assert (parameters.scan, parameters.strength, parameters.rounds) == (scan, 2.25, 7)
    assert (parameters.method, parameters.side, parameters.note) == ("hard", side.LEFT, "left")
    assert (parameters.smooth, parameters.folder) == (False, Path("/data"))
    parameters.strength, parameters.method, parameters.side = 0.5, "none", side.RIGHT
    parameters.scan, parameters.smooth, parameters.folder = None, True, Path("/other")
    assert (ui.strengthSlider.value, ui.methodBox.currentText, ui.sideBox.currentText) == (0.5, "none", "RIGHT")
    assert (ui.scanSelector.currentNode(), ui.smoothBox.checked, ui.folderEdit.currentPath) == (None, True, "/other")


def test_the_parameter_node_refuses_wrong_values(example):
    parameters = example.widget.parameters
    for name, value, error in (
        ("strength", 6.0, ValueError),
        ("strength", "1", TypeError),
        ("method", "medium", ValueError),
        ("rounds", 2.5, TypeError),
        ("note", 3, TypeError),
    ):
        with pytest.raises(error):
            setattr(parameters, name, value)


def test_parameters_come_back_from_a_bundle(example, scene, tmp_path):  # noqa: F811
    from slicer_double.scene import reload_scene

    parameters = example.widget.parameters
    side = type(parameters.side)
    parameters.scan = sequence("scan", volume("frame"))
    parameters.strength, parameters.side, parameters.method = 4.25, side.LEFT, "hard"
    parameters.smooth, parameters.note, parameters.folder = False, "a <note>; with; signs", Path("/data/x")
    reload_scene(tmp_path / "scene.mrb")
    again = example.code.ExampleParameterNode(example.logic.getParameterNode())
    assert again.scan.GetName() == "scan"
    assert (again.strength, again.side, again.method, again.smooth) == (4.25, side.LEFT, "hard", False)
    assert (again.note, again.folder) == ("a <note>; with; signs", Path("/data/x"))


def test_the_gui_lets_go_of_the_parameter_node(example):
    widget = example.widget
    widget.parameters.disconnectGui(widget.gui)
    widget.ui.noteEdit.text = "unheard"
    assert widget.parameters.note == ""
    widget.gui = widget.parameters.connectGui(widget.ui)
    assert widget.ui.noteEdit.text == ""


def test_apply_runs_with_progress_and_can_be_cancelled(example, dialogs):  # noqa: F811
    ui, parameters = example.widget.ui, example.widget.parameters
    assert (ui.applyButton.enabled, ui.applyButton.toolTip) == (False, "Choose a scan")
    parameters.scan = sequence("scan", volume("frame"))
    assert (ui.applyButton.enabled, ui.applyButton.toolTip) == (True, "")
    ui.applyButton.click()
    assert parameters.note == "4.5 True"
    assert dialogs.progress_values == list(range(10, 100, 10))
    assert not dialogs.progress[-1].visible
    parameters.note = ""
    dialogs.on_progress.append(lambda dialog: dialog.cancel())
    ui.applyButton.click()
    assert parameters.note == ""
    assert len(dialogs.errors()) == 1
    assert "cancelled" in dialogs.errors()[0]


@pytest.mark.parametrize("main_window", [True, False])
def test_a_module_loads_with_and_without_a_main_window(load, main_window):  # noqa: F811
    import slicer
    from slicer_double import sample_data

    loaded = load(EXAMPLE, main_window=main_window)
    assert (slicer.util.mainWindow() is not None) == main_window
    assert (slicer.app.layoutManager() is not None) == main_window
    assert bool(slicer.util.getNodesByClass("vtkMRMLSliceNode")) == main_window
    assert slicer.util.modulePath("Example") == str(EXAMPLE)
    assert sample_data.registered[-1]["sampleName"] == "ExamplePhantom"
    loaded.module.runTest(msec=0)
    with pytest.raises(AttributeError):
        loaded.module.parent.autor = "nobody"


# The application


def test_layouts_are_real_and_unknown_ones_raise(example):
    import slicer

    manager = slicer.app.layoutManager()
    assert set(manager.sliceViewNames()) == {"Red", "Green", "Yellow"}
    scan = volume("scan")
    slicer.util.setSliceViewerLayers(background=scan)
    assert manager.sliceWidget("Red").mrmlSliceCompositeNode().GetBackgroundVolumeID() == scan.GetID()
    assert manager.sliceWidget("Purple") is None
    with pytest.raises(ValueError, match="5001"):
        manager.setLayout(5001)
    node = manager.layoutLogic().GetLayoutNode()
    node.AddLayoutDescription(
        5001, '<layout type="vertical"><item><view class="vtkMRMLSliceNode" singletontag="Map"/></item></layout>'
    )
    red = manager.sliceWidget("Red").mrmlSliceNode()
    node.AddMaximizedViewNode(red)
    manager.setLayout(5001)
    assert manager.layout == 5001 and node.GetNumberOfMaximizedViewNodes() == 0
    assert manager.sliceWidget("Map").mrmlSliceNode().IsMappedInLayout() and not red.IsMappedInLayout()
    assert set(manager.sliceViewNames()) == {"Red", "Green", "Yellow", "Map"}, "Slicer names hidden ones, too"
    assert manager.sliceWidget("Red").mrmlSliceNode() is red
    red.SetName("mine")
    assert manager.sliceWidget("Red") is None, "Slicer goes by the names of the nodes"
    assert manager.sliceWidget("mine").mrmlSliceNode() is red


def test_dialogs_are_recorded_and_questions_need_an_answer(slicer_app, dialogs):  # noqa: F811
    import qt
    import slicer

    slicer.util.errorDisplay("broken")
    assert dialogs.errors() == ["broken"]
    dialogs.answers += [True, False]
    assert slicer.util.confirmOkCancelDisplay("Install?")
    assert not slicer.util.confirmYesNoDisplay("Sure?")
    with pytest.raises(AssertionError, match="Really"):
        slicer.util.confirmYesNoDisplay("Really?")
    dialogs.paths.append("/data/scan.nii.gz")
    assert qt.QFileDialog.getOpenFileName(None, "Load", "", "*.nii.gz") == "/data/scan.nii.gz"
    with pytest.raises(AssertionError, match="wait"):
        qt.QMessageBox().exec_()


def test_the_segment_editor_can_be_opened(example):
    import slicer

    node = segmentation("brain")
    slicer.util.selectModule("SegmentEditor")
    assert slicer.util.selectedModule() == "SegmentEditor"
    editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
    editor.setSegmentationNode(node)
    assert editor.segmentationNode() is node
    with pytest.raises(ValueError, match="Nowhere"):
        slicer.util.selectModule("Nowhere")


def test_nothing_is_installed(slicer_app, dialogs):  # noqa: F811
    import slicer.packaging

    assert slicer.packaging.pip_check("numpy")
    assert not slicer.packaging.pip_check(["numpy", "no-such-package-of-ours"])
    dialogs.answers.append(False)
    with pytest.raises(RuntimeError):
        slicer.packaging.pip_ensure("no-such-package-of-ours", requester="Example")
    with pytest.raises(RuntimeError):
        slicer.packaging.pip_install("no-such-package-of-ours")
