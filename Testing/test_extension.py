"""The extension as Slicer builds, installs and lists it; and as it runs from there, and from the source tree."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from slicer_double import fixtures

ROOT = Path(__file__).parents[1]
SCHEMA = (
    "https://raw.githubusercontent.com/Slicer/Slicer/main/Schemas/slicer-extension-catalog-entry-schema-v1.0.2.json#"
)
#: What the schema knows, and of which type; the first three are required.
ENTRY = {
    "$schema": str,
    "category": str,
    "scm_url": str,
    "scm_revision": str,
    "scm_type": str,
    "build_dependencies": list,
    "dicom_support_rule": str,
    "build_subdirectory": str,
    "enabled": bool,
    "tier": int,
}


def configure(source: Path, build: Path) -> subprocess.CompletedProcess:
    """Configure with cmake; that of the environment wins over the machine's. Any file does for a compiler."""
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    forced = [f"-DCMAKE_{name}={sys.executable}" for name in ("MAKE_PROGRAM", "C_COMPILER", "CXX_COMPILER")]
    forced += [f"-DCMAKE_{name}_COMPILER_{what}=ON" for name in ("C", "CXX") for what in ("FORCED", "ID_RUN")]
    places = ["-S", source, "-B", build, f"-DSlicer_DIR={ROOT / 'Testing' / 'mock_slicer'}", "-DBUILD_TESTING=ON"]
    command = [shutil.which("cmake", path=path), "-G", "Unix Makefiles", *places, *forced]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    build = tmp_path_factory.mktemp("build")
    run = configure(ROOT, build)
    assert run.returncode == 0, run.stderr
    return build


@pytest.fixture(scope="module")
def modules(built) -> Path:
    """Return the folder that Slicer puts on ``sys.path`` and searches for modules."""
    return built / "lib" / "Slicer-5.12" / "qt-scripted-modules"


def run_python(code: str, *folders: Path) -> str:
    """Run in a fresh Python that sees these folders and the installed packages, but no installed PyPeT."""
    packages = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    # without -S the environment's .pth files would bring in the source tree
    code = f"import sys; sys.path[:] = {[*map(str, folders)]} + sys.path + {sorted(packages)}\n{code}"
    run = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


# Building


def test_the_build_holds_the_files_of_module_and_library(modules):
    inside = {path.relative_to(modules).as_posix() for path in modules.rglob("*") if path.is_file()}
    kinds = (".py", ".ui", ".png", ".html", ".css", ".js")
    module = {path.relative_to(ROOT / "PyPeT") for path in (ROOT / "PyPeT").rglob("*") if path.suffix in kinds}
    library = {path.relative_to(ROOT) for path in (ROOT / "PyPeTLib").rglob("*") if path.suffix in kinds}
    assert inside == {path.as_posix() for path in module | library}


def test_the_build_runs_the_self_test_and_the_generic_test(built):
    assert (built / "tests.txt").read_text().split() == ["py_nomainwindow_qSlicerPyPeTModuleGenericTest", "py_PyPeT"]


def test_slicer_lists_one_module(modules):
    assert [path.name for path in modules.glob("*.py")] == ["PyPeT.py"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("slicerMacroBuildScriptedModule(NAME A SCRIPTS a.py gone.py)", "gone.py is no file"),
        ("slicerMacroBuildScriptedModule(NAME A SCRIPTS a.py RESOURCES gone.ui)", "gone.ui is no file"),
        ("slicerMacroBuildScriptedModule(NAME A SCRIPTS a.py a.py)", "a.py is listed twice"),
        ("slicerMacroBuildScriptedModule(NAME A SCRIPTS a)", "would get the ending"),
        ("slicerMacroBuildScriptedModule(SCRIPTS a.py)", "NAME is needed"),
        ("slicerMacroBuildScriptedModule(NAME A)", "SCRIPTS is needed"),
        ("slicerMacroBuildScriptedModule(NAME A B SCRIPTS a.py)", "unknown arguments 'B'"),
        ("slicer_add_python_unittest(SCRIPT b.py)", "'b.py' does not exist"),
        ("set(EXTENSION_HOMEPAGE)", "EXTENSION_HOMEPAGE is not set"),
        ("set(EXTENSION_ICONURL one;two)", "EXTENSION_ICONURL is split at a semicolon"),
        ("set(EXTENSION_LICENSE_FILE gone)", "EXTENSION_LICENSE_FILE does not exist"),
    ],
)
def test_the_mock_refuses(tmp_path, call, message):
    (tmp_path / "a.py").touch()
    text = (ROOT / "CMakeLists.txt").read_text().replace("add_subdirectory(PyPeTLib)", call)
    text = text.replace("add_subdirectory(PyPeT)", "").replace("${CMAKE_CURRENT_SOURCE_DIR}/", f"{ROOT.as_posix()}/")
    (tmp_path / "CMakeLists.txt").write_text(text)
    run = configure(tmp_path, tmp_path / "build")
    assert run.returncode != 0
    assert message in " ".join(run.stderr.split())


# Running


def test_the_built_library_runs_by_itself(modules, tmp_path):
    head, maps = tmp_path / "head", tmp_path / "maps"
    code = f"""
from pathlib import Path
import PyPeTLib
from PyPeTLib.cli import main
assert main(["phantom", {str(head)!r}, "--set", "size=64,64,4", "--set", "spacing_mm=3.2,3.2,10"]) == 0
assert main(["run", *map(str, Path({str(head)!r}).glob("*_ctp.nii.gz")), "-o", {str(maps)!r}]) == 0
print(PyPeTLib.__file__)
"""
    assert run_python(code, modules).splitlines()[-1] == str(modules / "PyPeTLib" / "__init__.py")
    assert len(list(maps.glob("*_cbf.nii.gz"))) == 1
    assert len(list(maps.glob("*_report.html"))) == 1, "the page's template is in the package"


SELF_TEST = """
from slicer_double.loader import load_module
loaded = load_module({module!r})
loaded.code.PyPeTTest().runTest()
import PyPeTLib, PyPeTPanel, PyPeTScene
print(PyPeTLib.__file__, PyPeTPanel.__file__, PyPeTScene.__file__, sep="\\n")
"""


def test_the_built_module_passes_its_self_test(modules):
    fixtures.require()
    output = run_python(SELF_TEST.format(module=str(modules / "PyPeT.py")), modules, ROOT / "Testing")
    found = [Path(line).parent for line in output.splitlines()[-3:]]
    assert found == [modules / name for name in ("PyPeTLib", "PyPeTPanel", "PyPeTScene")]


def test_from_the_source_tree_the_module_finds_the_library_beside_it():
    fixtures.require()
    output = run_python(SELF_TEST.format(module=str(ROOT / "PyPeT" / "PyPeT.py")), ROOT / "PyPeT", ROOT / "Testing")
    found = [Path(line).parent for line in output.splitlines()[-3:]]
    assert found == [ROOT / "PyPeTLib", ROOT / "PyPeT" / "PyPeTPanel", ROOT / "PyPeT" / "PyPeTScene"]


RELOAD = """
import sys, slicer
from slicer_double.loader import load_module
from slicer_double.pythonqt import slot_errors
panel = load_module({module!r}).widget
before = {{name: module for name, module in sys.modules.items() if name.startswith("PyPeT")}}
panel.onReload()
assert slicer.modules.PyPeTWidget is panel.parent.self() is not panel
assert not slot_errors
print(*(name for name in before if sys.modules.get(name) is before[name]))
print(*sorted(name for name in before if "." not in name))
"""


def test_reload_leaves_no_old_code():
    fixtures.require()
    output = run_python(RELOAD.format(module=str(ROOT / "PyPeT" / "PyPeT.py")), ROOT / "PyPeT", ROOT / "Testing")
    kept, packages = output.splitlines()[-2:]
    assert kept == ""
    assert packages == "PyPeT PyPeTLib PyPeTPanel PyPeTScene"


# Listing


@pytest.fixture(scope="module")
def description(built) -> dict[str, str]:
    return dict(line.split(" ", 1) for line in (built / "PyPeT.s4ext").read_text().splitlines())


@pytest.fixture(scope="module")
def entry() -> dict:
    return json.loads((ROOT / "PyPeT.json").read_text(encoding="utf-8"))


def test_catalogue_entry_follows_its_schema(entry):
    assert {"$schema", "category", "scm_url"} <= set(entry)
    assert set(entry) <= set(ENTRY)
    assert [key for key, value in entry.items() if type(value) is not ENTRY[key]] == []
    assert entry["$schema"] == SCHEMA
    assert entry["tier"] in range(1, 6)


def test_catalogue_entry_is_what_the_index_accepts(entry):
    home = re.fullmatch(r"https://github\.com/\w+/(\w+)", entry["scm_url"])
    assert home[1].startswith("Slicer"), "the index wants this of a repository, and the opposite of an extension"
    assert entry["category"] == "Neuroimaging"
    assert b"\r" not in (ROOT / "PyPeT.json").read_bytes()


def test_pictures_of_the_listing_are_files_of_the_repository(entry, description):
    owner = entry["scm_url"].removeprefix("https://github.com/")
    at = f"https://raw.githubusercontent.com/{owner}/{entry['scm_revision']}/"
    pictures = [description["ICONURL"], *description["SCREENSHOTURLS"].split()]
    assert all(url.startswith(at) for url in pictures)
    assert all((ROOT / url.removeprefix(at)).is_file() for url in pictures)
    assert description["HOMEPAGE"] == entry["scm_url"]


@pytest.mark.parametrize("name", ["ICONURL", "SCREENSHOTURLS"])
def test_the_index_can_read_the_pictures_out_of_the_cmake_file(name):
    text = (ROOT / "CMakeLists.txt").read_text()
    assert len(re.findall(rf'set\s*\(EXTENSION_{name}\s*"([^"]+)"\)', text)) == 1
