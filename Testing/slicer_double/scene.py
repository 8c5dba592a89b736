"""A real MRML scene with its application logic and module logics, as the application has them at start."""

from __future__ import annotations

import atexit
import importlib
import shutil
import sys
import tempfile
from types import SimpleNamespace

import slicer
import vtk

from .hierarchy import observe_hierarchy

# Name under which the application registers the module: class of its logic (all in slicer-core).
# `slicer.modules` knows each by the name in lower case, the application logic by the name itself.
LOGICS = {
    "Colors": "vtkSlicerColorLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Units": "vtkSlicerUnitsLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Plots": "vtkSlicerPlotsLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Models": "vtkSlicerModelsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Texts": "vtkSlicerTextsLogic",
}
# Top-level modules of the application that the wheel keeps inside slicer_core.
ALIASES = {
    "vtkAddon": "vtkAddonPython",
    "vtkITK": "vtkITK",
    "vtkSegmentationCore": "vtkSegmentationCore",
    "vtkTeem": "vtkTeem",
    "MRMLCorePython": "MRMLCore",
    "MRMLLogicPython": "MRMLLogic",
}

_kept: list[object] = []  # what the scene uses without owning it; the application keeps these alive, too


def boot_scene() -> slicer.vtkMRMLScene:
    """Make ``slicer.mrmlScene`` and ``slicer.modules`` once; further calls return the same scene, as it is.

    A scene that the product made for itself (``pypet scene``) is replaced: it lacks what the application adds.
    """
    if not _kept:
        _register_aliases()
        scene = slicer.vtkMRMLScene()
        application_logic = _application_logic(scene)
        _register_modules(scene, application_logic)
        _enable_bundles(scene, application_logic)
        observe_hierarchy(scene)
        slicer.mrmlScene = scene
        _kept.append(application_logic)
    return slicer.mrmlScene


def application_logic() -> slicer.vtkSlicerApplicationLogic:
    """Return the logic that ``slicer.app.applicationLogic()`` gives in the application."""
    boot_scene()
    return next(kept for kept in _kept if kept.IsA("vtkSlicerApplicationLogic"))


def clear_scene() -> None:
    """Close the scene as File > Close Scene does: singletons stay, everything else goes."""
    slicer.mrmlScene.Clear(False)


def reload_scene(path) -> None:
    """Write the scene to the bundle ``path`` (.mrb), close it and read the bundle."""
    messages = slicer.vtkMRMLMessageCollection()
    scene = slicer.mrmlScene
    if not scene.WriteToMRB(str(path), None, messages):
        raise OSError(messages.GetAllMessagesAsString())
    if not scene.ReadFromMRB(str(path), True, messages):
        raise OSError(messages.GetAllMessagesAsString())


def _register_aliases() -> None:
    """Let ``import vtkSegmentationCore``, ``import mrml`` … work as inside the application."""
    sys.modules.setdefault("mrml", slicer)
    for alias, inside in ALIASES.items():
        sys.modules.setdefault(alias, importlib.import_module(f"slicer_core.{inside}"))


def _application_logic(scene: slicer.vtkMRMLScene) -> slicer.vtkSlicerApplicationLogic:
    """Return the application logic with the singletons and views it looks for."""
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)
    logic = slicer.vtkSlicerApplicationLogic()
    logic.SetMRMLScene(scene)
    for name in ("vtkMRMLSelectionNode", "vtkMRMLInteractionNode"):
        node = getattr(slicer, name)()
        node.SetSingletonTag("Singleton")  # the tag by which displayable managers look for them
        scene.AddNode(node)
    colors = logic.GetColorLogic()
    colors.SetMRMLScene(scene)
    colors.AddDefaultColorNodes()
    logic.SetSliceLogics(vtk.vtkCollection())
    logic.SetViewLogics(vtk.vtkCollection())
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    return logic


def _register_modules(scene: slicer.vtkMRMLScene, application_logic: slicer.vtkSlicerApplicationLogic) -> None:
    """Fill ``slicer.modules`` with modules that have a name and a logic; any other attribute raises."""
    slicer.modules = SimpleNamespace()
    for name, class_name in LOGICS.items():
        logic = getattr(slicer, class_name)()
        logic.SetMRMLApplicationLogic(application_logic)  # before the scene: some logics ask for it at once
        logic.SetMRMLScene(scene)
        application_logic.SetModuleLogic(name, logic)
        setattr(slicer.modules, name.lower(), SimpleNamespace(name=name, logic=lambda logic=logic: logic))


def _enable_bundles(scene: slicer.vtkMRMLScene, application_logic: slicer.vtkSlicerApplicationLogic) -> None:
    """Give the scene the data manager and cache folder without which an .mrb cannot be read."""
    remote = slicer.vtkMRMLRemoteIOLogic()
    remote.SetMRMLApplicationLogic(application_logic)
    remote.SetMRMLScene(scene)
    cache = tempfile.mkdtemp(prefix="slicer-double-")
    atexit.register(shutil.rmtree, cache, ignore_errors=True)
    remote.GetCacheManager().SetRemoteCacheDirectory(cache)
    manager = slicer.vtkDataIOManagerLogic()
    manager.SetMRMLApplicationLogic(application_logic)
    manager.SetMRMLScene(scene)
    manager.SetAndObserveDataIOManager(remote.GetDataIOManager())
    remote.AddDataIOToScene()
    _kept.extend([remote, manager])
