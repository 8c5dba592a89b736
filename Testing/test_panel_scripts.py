"""Without the panel: scripts, self-test, the headless run, reload."""

from __future__ import annotations

import importlib.util
import re
import sys

import numpy as np
import panel_cases
import pytest
from panel_cases import MODULE, own, voxels
from slicer_double import fixtures

dialogs, load, scene, slicer_app = fixtures.dialogs, fixtures.load, fixtures.scene, fixtures.slicer_app
panel, scan = panel_cases.panel, panel_cases.scan
pytestmark = pytest.mark.filterwarnings("ignore:Setting the shape:DeprecationWarning")  # VTK with numpy 2.5


@pytest.fixture
def code(load):
    return load(MODULE).code


def test_process_with_plain_nodes_returns_the_nodes_it_made(code, tiny_head, tiny_analysis):
    from PyPeTScene.series import sequence_from_series

    scan = sequence_from_series(tiny_head.series, "scan")[0]
    nodes = code.PyPeTLogic().process(scan)
    np.testing.assert_array_equal(voxels(nodes["cbv"]), tiny_analysis.maps.cbv.values)
    assert nodes["segmentation"].IsA("vtkMRMLSegmentationNode")
    assert nodes["curves_chart"].IsA("vtkMRMLPlotChartNode")


def test_the_script_of_the_readme_runs(load, tiny_head, monkeypatch, capsys):
    import slicer

    module = load(MODULE)
    text = (MODULE.parents[1] / "README.md").read_text(encoding="utf-8")
    code = next(block for block in re.findall(r"```python\n(.*?)```", text, re.S) if "import PyPeT\n" in block)
    monkeypatch.setitem(sys.modules, "PyPeT", module.code)
    monkeypatch.setattr("PyPeTLib.phantom.head_phantom", lambda options: tiny_head)
    names = {"slicer": slicer}
    exec(compile(code, "README.md", "exec"), names)
    assert names["nodes"]["tmax"].IsA("vtkMRMLScalarVolumeNode")
    assert len(capsys.readouterr().out.split()) >= 5, "five medians"


@pytest.mark.parametrize("main_window", [True, False])
def test_self_test(load, main_window):
    load(MODULE, main_window=main_window).code.PyPeTTest().runTest()


def test_self_test_with_multivolumes(load, monkeypatch):
    import slicer
    from scene_cases import MultiVolume

    monkeypatch.setattr(slicer, "vtkMRMLMultiVolumeNode", MultiVolume, raising=False)
    load(MODULE).code.PyPeTTest().runTest()
    found = slicer.util.getNode("PyPeT self-test MultiVolume")
    assert found.GetNumberOfFrames() == 45
    assert own("map.cbf", found) is not None


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("analyze", MODULE.parent / "Scripts" / "analyze.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_headless_script_does_what_pypet_run_does_and_writes_a_scene(scene, script, tiny_head, tmp_path):
    from PyPeTLib.write import write_series

    write_series(tiny_head.series, tmp_path / "small_ctp.nii.gz")
    arguments = script.own_arguments(["--", str(tmp_path / "small_ctp.nii.gz"), "-o", str(tmp_path / "out")])
    assert script.analyze([*arguments, "--no-report", "--quiet"]) == 0
    assert {"small_cbf.nii.gz", "small_scene.mrb"} <= {path.name for path in (tmp_path / "out").iterdir()}


def test_headless_script_has_the_exit_codes_of_pypet_run(script, tmp_path, capsys):
    arguments = script.own_arguments([str(tmp_path / "missing.nii.gz"), "-o", str(tmp_path / "out")])
    assert script.analyze(arguments) == 2
    assert "missing.nii.gz" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_headless_script_ends_with_a_code_after_an_error_that_nobody_foresaw(script, monkeypatch, capsys):
    """Slicer prints what a script raises, and waits for somebody to close its window, of which it has none."""
    monkeypatch.setattr("PyPeTLib.cli.main", lambda arguments: 1 / 0)
    assert script.run(["scan.nii.gz", "-o", "out"]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err
    monkeypatch.setattr(script, "find_packages", lambda: importlib.import_module("no_such_package"))
    assert script.run([]) == 1


def test_headless_script_can_be_read_in_every_encoding():
    """Slicer opens it with that of the machine: where that is not UTF-8, other letters would end the run."""
    assert (MODULE.parent / "Scripts" / "analyze.py").read_bytes().isascii()


def test_a_slicer_that_is_too_old_is_told_so(load, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 10))
    with pytest.raises(RuntimeError, match=r"PyPeT needs 3D Slicer 5\.10 or later"):
        load(MODULE)


def test_reload_reads_the_packages_again(code):
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in code.OWN_PACKAGES}
    try:
        code.forget_own_packages()
        assert not any(name in sys.modules for name in before)
        import PyPeTLib

        assert PyPeTLib is not before["PyPeTLib"]
    finally:
        code.forget_own_packages()
        sys.modules.update(before)
