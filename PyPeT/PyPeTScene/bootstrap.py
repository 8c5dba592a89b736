"""A scene without the application: real nodes and logics of the slicer-core wheel; enough to write a scene."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from PyPeTLib.errors import InputError, cure_of, reason_of
from PyPeTLib.files import utf8_name
from PyPeTLib.packages import mending, why_not

#: Logics that the adapters use, by the name under which the application registers the module.
LOGICS = {
    "Colors": "vtkSlicerColorLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Plots": "vtkSlicerPlotsLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Markups": "vtkSlicerMarkupsLogic",
}

_kept: list[Any] = []  # what the scene uses without owning it; the application keeps these alive


def boot_scene() -> Any:
    """Make ``slicer.mrmlScene`` and ``slicer.modules``; where they exist (in Slicer, or called again) change nothing.

    Returns
    -------
    vtkMRMLScene

    Raises
    ------
    InputError
        If neither Slicer nor slicer-core is there.
    """
    require_slicer()
    import slicer

    if getattr(slicer, "mrmlScene", None) is None:
        import vtk

        vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_OFF)  # colour files that the wheel does not have
        vtk.vtkOutputWindow.GetInstance().SetDisplayModeToNever()  # what goes into a bundle
        scene = slicer.vtkMRMLScene()
        logic = _application_logic(slicer, scene)
        _register_modules(slicer, scene, logic)
        slicer.vtkMRMLSubjectHierarchyNode.ResolveSubjectHierarchy(scene)
        slicer.mrmlScene = scene
        _kept.append(logic)
    return slicer.mrmlScene


def check_target(path: str | Path, *, overwrite: bool) -> None:
    """Refuse a scene's name that cannot be written: not .mrb, no such folder, there already, or no writing at all."""
    target = Path(path)
    utf8_name(target)
    if target.suffix.lower() != ".mrb":
        raise InputError(f"Scene {target}: a name that ends in .mrb is needed; found {target.suffix!r}. Rename it.")
    if not target.parent.is_dir():
        raise InputError(f"Scene {target}: a folder that exists is needed; found none. Make {target.parent}.")
    try:
        if target.exists() and not overwrite:
            raise InputError(f"Scene {target}: a new file is needed; it exists. Use --overwrite or another name.")
        with TemporaryDirectory(dir=target.parent, prefix=".pypet-") as folder:
            Path(folder, target.name).touch()
    except OSError as error:
        cure = cure_of(error, "Choose a folder that you may write to, or a shorter name")
        raise InputError(f"Scene {target} cannot be written: {reason_of(error)}. {cure}.") from error


def require_slicer() -> None:
    """Refuse with the cure where the package ``slicer`` is missing or broken, or another of that name."""
    if why := why_not("slicer-core"):
        raise InputError(f"A Slicer scene needs slicer-core, which {why}: {mending('slicer-core')}.")


def _application_logic(slicer: Any, scene: Any) -> Any:
    """Return the application logic with the singletons it looks for and the built-in colours."""
    import vtk

    logic = slicer.vtkSlicerApplicationLogic()
    logic.SetMRMLScene(scene)
    for name in ("vtkMRMLSelectionNode", "vtkMRMLInteractionNode"):
        node = getattr(slicer, name)()
        node.SetSingletonTag("Singleton")
        scene.AddNode(node)
    logic.GetColorLogic().SetMRMLScene(scene)
    logic.GetColorLogic().AddDefaultColorNodes()
    logic.SetSliceLogics(vtk.vtkCollection())
    logic.SetViewLogics(vtk.vtkCollection())
    return logic


def _register_modules(slicer: Any, scene: Any, application_logic: Any) -> None:
    """Fill ``slicer.modules`` with modules that have a logic."""
    slicer.modules = SimpleNamespace()
    for name, class_name in LOGICS.items():
        logic = getattr(slicer, class_name)()
        logic.SetMRMLApplicationLogic(application_logic)  # before the scene: some logics ask for it at once
        logic.SetMRMLScene(scene)
        application_logic.SetModuleLogic(name, logic)
        setattr(slicer.modules, name.lower(), SimpleNamespace(name=name, logic=lambda logic=logic: logic))
