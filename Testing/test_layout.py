"""The house has floors: who may import whom, and what the library never does."""

from __future__ import annotations

import ast
import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest

import PyPeTLib

LIBRARY = Path(PyPeTLib.__file__).parent
MODULES = {path.stem: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(LIBRARY.glob("*.py"))}
STEPS = {
    "motion",
    "bolus",
    "brain",
    "denoise",
    "drift",
    "arteries",
    "veins",
    "given",
    "tissue",
    "deconvolve",
    "maps",
}
STEPS |= {"derive", "methods", "midsagittal", "lesions", "leakage", "slice_levels"}
#: The checks are one step; one of its files stands on another.
QUALITY = {"quality": {"quality_vessels"}, "quality_frames": set(), "quality_maps": set(), "quality_vessels": set()}
STEPS |= set(QUALITY)
#: The ground floor, each with what it may stand on.
GROUND = {
    "errors": set(),
    "typeset": set(),
    "settings": {"errors", "geometry"},
    "progress": set(),
    "checks": set(),
    "geometry": {"errors", "typeset"},
    "scan": {"checks", "errors", "geometry"},
    "records": {"geometry", "settings"},
    "analysis": {"checks", "geometry", "records", "scan", "settings"},
    "curves": {"geometry", "progress", "records", "scan"},
    "chunks": {"progress"},
    "smoothing": {"chunks", "curves", "geometry", "progress"},
    "likeness_pass": {"chunks", "geometry", "progress", "smoothing"},
    "likeness": {"chunks", "geometry", "likeness_pass", "progress", "smoothing"},
    "bilateral": {"chunks", "curves", "geometry", "likeness", "progress", "records", "settings", "smoothing"},
    "field_of_view": {"geometry"},
    "gamma": {"curves", "geometry", "records"},
    "transit": {"curves", "geometry", "records"},
    "vessels": {"chunks", "curves", "geometry", "progress"},
    "candidates": {"geometry", "records", "vessels"},
    "alike": {"curves", "geometry", "vessels"},
    "lesion_rules": {"analysis", "settings"},
    "kinetics": {"curves", "geometry"},
    "levels": {"curves", "geometry", "kinetics"},
    "dictionary": {"chunks", "geometry", "kinetics", "records", "settings"},
    "wide_sample": {"bilateral", "curves", "likeness", "progress", "records", "smoothing"},
    "residue": {
        "chunks",
        "dictionary",
        "geometry",
        "kinetics",
        "progress",
        "records",
        "settings",
        "smoothing",
        "wide_sample",
    },
    "priors": {"chunks", "dictionary", "geometry", "progress", "smoothing"},
    "bayes": {"chunks", "dictionary", "geometry", "priors", "progress", "records", "settings"},
    "regression": {"chunks", "dictionary", "geometry", "kinetics", "progress", "records", "settings"},
    "correction": {"curves", "dictionary", "geometry", "kinetics", "records", "settings"},
    "stochastic": {"chunks", "dictionary", "geometry", "kinetics", "progress", "records", "settings"},
    "slope": {"chunks", "curves", "geometry", "progress", "records", "settings"},
    "orientation": {"errors", "geometry"},
    "morphology": {"geometry"},
    "skull": {"geometry", "morphology"},
    "stripped": {"geometry"},
    "frames": {"checks", "chunks", "errors", "geometry", "morphology", "progress", "scan", "times"},
}
#: Other modules that use a step: a comparison finds the lesions of reference maps as a run finds its own.
ALLOWED_ABOVE_STEPS = {("compare", "lesions")}
SLICER = {"slicer", "qt", "vtk", "ctk", "PythonQt", "PyPeT", "PyPeTScene"}
#: These may print.
COMMANDS = {"__main__", "cli", "cli_compare", "cli_print", "cli_run", "cli_scan"}
#: Heavy packages, and where they may be imported at module scope.
HEAVY = {"matplotlib", "jinja2", "skimage", "openpyxl"}
HEAVY_HOMES = {"figures", "plots", "overlays", "stages", "compare_figures"}


def imported(tree, *, module_scope=False):
    """Full dotted names that a module imports, anywhere or when it is itself imported."""
    names = set()
    for node in _run_on_import(tree) if module_scope else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _run_on_import(tree):
    """Nodes outside functions and outside ``if TYPE_CHECKING``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from _run_on_import(node)


def own(tree, **scope):
    """Modules of the library that a module imports."""
    parts = [name.split(".") for name in imported(tree, **scope)]
    return {part[1] for part in parts if part[0] == "PyPeTLib" and len(part) > 1 and part[1] in MODULES}


def packages(tree, **scope):
    return {name.partition(".")[0] for name in imported(tree, **scope)}


def test_all_modules_of_the_plan_are_there():
    assert STEPS | set(GROUND) | {"pipeline"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_nothing_in_the_library_imports_slicer(name):
    used = packages(MODULES[name]) & SLICER
    if name == "cli_run":  # its scene writer, inside its function
        assert not packages(MODULES[name], module_scope=True) & SLICER
        used -= {"PyPeTScene"}
    assert not used


@pytest.mark.parametrize("name", sorted(GROUND))
def test_the_ground_floor_imports_nothing_above_it(name):
    assert own(MODULES[name], module_scope=True) <= GROUND[name] - {"settings"}
    assert own(MODULES[name]) <= GROUND[name]


@pytest.mark.parametrize("name", sorted(STEPS))
def test_steps_do_not_import_each_other_nor_the_pipeline(name):
    assert own(MODULES[name]) <= set(GROUND) | QUALITY.get(name, set())


@pytest.mark.parametrize("name", sorted(set(MODULES) - STEPS - {"pipeline"}))
def test_only_the_pipeline_imports_the_steps(name):
    allowed = {two for one, two in ALLOWED_ABOVE_STEPS if one == name}
    assert not own(MODULES[name]) & (STEPS - {"quality"} - allowed)


@pytest.mark.parametrize("name", MODULES)
def test_heavy_packages_are_imported_where_they_are_used(name):
    if name not in HEAVY_HOMES:
        assert not packages(MODULES[name], module_scope=True) & HEAVY


@pytest.mark.parametrize("name", sorted(set(MODULES) - COMMANDS))
def test_the_library_does_not_print(name):
    calls = [node.func for node in ast.walk(MODULES[name]) if isinstance(node, ast.Call)]
    assert "print" not in {call.id for call in calls if isinstance(call, ast.Name)}


@pytest.mark.parametrize("name", MODULES)
def test_nothing_is_imported_with_a_star_and_nothing_swallowed(name):
    assert not any(imported_name.endswith(".*") for imported_name in imported(MODULES[name]))
    handlers = [node for node in ast.walk(MODULES[name]) if isinstance(node, ast.ExceptHandler)]
    assert all(handler.type is not None for handler in handlers)


@pytest.mark.parametrize("name", sorted(STEPS))
def test_step_functions_take_settings_by_name_and_have_no_defaults_for_them(name):
    for node in ast.walk(MODULES[name]):
        if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
            continue
        assert node.args.kwarg is None, f"{node.name} takes **kwargs"
        for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
            assert default is None or argument.arg in ("progress", "force"), (
                f"{node.name}({argument.arg}) has a default"
            )


@pytest.mark.parametrize(
    "path", sorted([*LIBRARY.glob("*.py"), *LIBRARY.parent.glob("PyPeT/**/*.py")]), ids=lambda path: path.name
)
def test_no_message_asks_for_an_extra_of_a_package_that_is_on_no_index(path):
    assert "PyPeTLib[" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "path", sorted([*LIBRARY.glob("*.py"), *LIBRARY.parent.glob("PyPeT/**/*.py")]), ids=lambda path: path.name
)
def test_percent_are_printed_in_one_form(path):
    """As typeset.percent does, with a blank before the sign."""
    assert not re.search(r":\.\d%|\}%[ ,.;:)]", path.read_text(encoding="utf-8"))


def test_importing_the_library_is_light():
    """Start-up time counts in Slicer: no scipy, SimpleITK or picture package before it is needed."""
    code = (
        "import sys, PyPeTLib; print([p for p in ('scipy', 'SimpleITK', 'matplotlib', 'jinja2') if p in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=LIBRARY.parent, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "message, module, silent",
    [
        ("invalid value encountered in matmul", "PyPeTLib.records", True),
        ("invalid value encountered in divide", "PyPeTLib.records", False),
        ("invalid value encountered in matmul", "elsewhere", False),
    ],
)
def test_a_flag_of_blas_is_not_told_and_no_other_warning_is_silenced(message, module, silent):
    warned = f"warnings.warn_explicit({message!r}, RuntimeWarning, 'file', 1, module={module!r})"
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import warnings, PyPeTLib; {warned}"],
        capture_output=True,
        text=True,
        cwd=LIBRARY.parent,
    )
    assert (found.returncode == 0) is silent, found.stderr
    assert (found.stderr == "") is silent


def test_every_public_name_has_a_home():
    assert set(PyPeTLib.__all__) == set(PyPeTLib._HOMES)
    for name, home in PyPeTLib._HOMES.items():
        if home in MODULES:
            assert getattr(PyPeTLib, name).__module__ == f"PyPeTLib.{home}"
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = PyPeTLib.nonsense


def test_help_of_the_package_leads_from_a_scan_to_its_files():
    shown = "".join(example.source for example in doctest.DocTestParser().get_examples(PyPeTLib.__doc__))
    assert [name for name in ("read_series(", "analyze(", "write_analysis(", ".maps.") if name not in shown] == []
