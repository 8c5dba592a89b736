"""What the module ships and names is there: files, fields, controls, icon, imports. Needs neither Slicer nor Qt."""

from __future__ import annotations

import ast
import re
import struct
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

MODULE = Path(__file__).parents[1] / "PyPeT"
SOURCES = {path.relative_to(MODULE).as_posix(): path for path in sorted(MODULE.rglob("*.py"))}
PANEL = {name: path for name, path in SOURCES.items() if not name.startswith("PyPeTScene")}
UI = ElementTree.parse(MODULE / "Resources/UI/PyPeT.ui").getroot()
WIDGETS = {element.get("name") for element in UI.iter("widget")}
#: What the tab key passes over.
WITHOUT_FOCUS = {"QLabel", "QWidget", "qMRMLWidget"}
#: What may be imported when the module is discovered: bundled with every Slicer, or PyPeT's own.
AT_FILE_SCOPE = {"slicer", "qt", "ctk", "vtk", "numpy", "PyPeTLib", "PyPeTScene", "PyPeTPanel"}


def listed(name: str) -> list[str]:
    text = re.search(rf"set\({name}\n(.*?)\)", (MODULE / "CMakeLists.txt").read_text(), re.DOTALL).group(1)
    return text.split()


def tree(path: Path):
    return ast.parse(path.read_text(encoding="utf-8"))


def fields() -> set[str]:
    node = next(
        node
        for node in tree(MODULE / "PyPeTPanel/parameters.py").body
        if isinstance(node, ast.ClassDef) and node.name == "PyPeTParameterNode"
    )
    return {entry.target.id for entry in node.body if isinstance(entry, ast.AnnAssign)}


def parameter_names() -> list[str]:
    found = UI.iterfind(".//property[@name='SlicerParameterName']/string")
    return [element.text for element in found]


def test_cmake_lists_name_every_file_of_the_module():
    assert sorted(listed("MODULE_PYTHON_SCRIPTS")) == sorted(SOURCES)
    resources = [path.relative_to(MODULE).as_posix() for path in (MODULE / "Resources").rglob("*") if path.is_file()]
    assert sorted(listed("MODULE_PYTHON_RESOURCES")) == sorted(resources)


def test_only_the_module_lies_beside_its_packages():
    assert [path.name for path in MODULE.glob("*.py")] == ["PyPeT.py"], "Slicer takes each for a module of its own"


def test_every_parameter_name_in_the_ui_is_a_field():
    assert set(parameter_names()) <= fields()
    assert len(parameter_names()) == len(set(parameter_names()))


def test_every_field_has_a_control():
    by_hand = {f"{key}_{what}" for key in ("brain", "aif", "vof") for what in ("segmentation", "segment")}
    assert fields() - set(parameter_names()) == by_hand


def test_every_setting_of_the_library_has_a_field():
    from PyPeTLib.settings import describe_settings

    assert {info.name for info in describe_settings()} - fields() == {"partial_volume"}


@pytest.mark.parametrize("name", PANEL)
def test_every_control_that_is_used_exists(name):
    used = {
        node.attr
        for node in ast.walk(tree(PANEL[name]))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("self.ui", "ui", "widget.ui")
    }
    assert used <= WIDGETS


def test_names_in_the_ui_are_unique_and_its_connections_have_ends():
    names = [element.get("name") for tag in ("widget", "layout") for element in UI.iter(tag)]
    assert len(names) == len(set(names))
    for link in UI.iter("connection"):
        assert {link.findtext("sender"), link.findtext("receiver")} <= WIDGETS


def test_the_answer_stands_right_below_apply():
    """Volumes of lesions, then whether they can be trusted, then the maps; the steps are for whoever doubts."""
    wanted = ["applyButton", "lesions", "criteria", "lesionsNote", "checks", "cbfButton", "medians", "stage1Button"]
    assert [element.get("name") for element in UI.iter("widget") if element.get("name") in wanted] == wanted


def focusable(cell) -> list[str]:
    """Return the fields and buttons in a cell of a layout, in the order in which they are written."""
    return [element.get("name") for element in cell.iter("widget") if element.get("class") not in WITHOUT_FOCUS]


def rows_of_forms():
    """Yield the cells of each form, by row and column."""
    for form in (layout for layout in UI.iter("layout") if layout.get("class") == "QFormLayout"):
        yield {(int(cell.get("row")), int(cell.get("column"))): cell for cell in form.findall("item")}


def test_the_label_of_a_row_is_the_buddy_of_its_first_field():
    """Screen readers then say the label with the field."""
    for cells in rows_of_forms():
        for (row, column), cell in cells.items():
            label = cell.find("widget[@class='QLabel']")
            field = cells.get((row, 1), cells.get((row + 1, 0)))  # a table lies below its label
            if column == 0 and cell.get("colspan") is None and focusable(field) and label.findtext("property/string"):
                assert label.findtext("property[@name='buddy']/cstring") == focusable(field)[0]
                assert label.get("name").endswith("Label")
    buddies = [element.text for element in UI.iterfind(".//property[@name='buddy']/cstring")]
    assert len(buddies) == len(set(buddies)) > 60


def test_a_table_without_a_label_has_a_name_for_screen_readers():
    buddies = {element.text for element in UI.iterfind(".//property[@name='buddy']/cstring")}
    tables = [element for element in UI.iter("widget") if element.get("class") == "QTableWidget"]
    nameless = [table for table in tables if table.get("name") not in buddies]
    assert nameless and all(table.findtext("property[@name='accessibleName']/string") for table in nameless)


def test_what_names_of_scans_get_into_is_plain_text():
    """Qt takes what looks like HTML for HTML: a scan called <h1> would be shown as a heading."""
    wrapped = [one for one in UI.iter("widget") if one.find("property[@name='wordWrap']") is not None]
    formats = {one.get("name"): one.findtext("property[@name='textFormat']/enum") for one in wrapped}
    assert {"timeAxis", "stageNote", "exported"} <= set(formats)
    assert set(formats.values()) == {"Qt::PlainText"}


def test_fields_are_written_in_the_order_in_which_they_are_seen():
    """The tab key goes through them in the order in which they are made; a list of tab stops would only grow old."""
    assert UI.find("tabstops") is None
    for layout in UI.iter("layout"):
        places = [(int(cell.get("row", 0)), int(cell.get("column", 0))) for cell in layout.findall("item")]
        assert places == sorted(places), layout.get("name")


def test_every_widget_with_a_scene_gets_it():
    with_scene = {
        element.get("name")
        for element in UI.iter("widget")
        if element.get("class").startswith("qMRML") and element.get("class") != "qMRMLWidget"
    }
    assert with_scene == {link.findtext("receiver") for link in UI.iter("connection")}


def test_icon_is_a_png_of_128_by_128():
    content = (MODULE / "Resources/Icons/PyPeT.png").read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", content[16:24]) == (128, 128)


@pytest.mark.parametrize("name", PANEL)
def test_only_what_every_slicer_has_is_imported_with_the_module(name):
    imported = set()
    for node in tree(PANEL[name]).body:
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module.partition(".")[0])
    assert imported <= AT_FILE_SCOPE | set(sys.stdlib_module_names)


@pytest.mark.parametrize("name", PANEL)
def test_nothing_installs_packages_and_no_thread_touches_the_scene(name):
    text = PANEL[name].read_text(encoding="utf-8")
    if name == "PyPeTPanel/packages.py":  # after a question, as Testing/test_panel_packages.py shows
        text = re.sub(
            r"pip_install\(package\)|import pip_ensure|pip_ensure\(package,|from subprocess import Called", "", text
        )
    assert not re.search(r"pip_install|pip_ensure|\bthreading\b|QThread|subprocess", text)


def test_adapters_and_logic_process_no_events():
    for name, path in SOURCES.items():
        if name != "PyPeTPanel/running.py":
            assert "processEvents" not in path.read_text(encoding="utf-8"), name


# Translation

#: What shows its arguments to the user, and properties whose value is shown.
SHOWING = {"setText", "setToolTip", "setWindowTitle", "setHorizontalHeaderLabels", "addItem", "setPlaceholderText"}
SHOWING |= {"delayDisplay", "errorDisplay", "warningDisplay", "infoDisplay", "messageBox", "showStatusMessage", "say"}
SHOWING |= {"confirmOkCancelDisplay", "confirmYesNoDisplay", "confirmRetryCloseDisplay", "tryWithErrorDisplay"}
SHOWING |= {"createProgressDialog", "getOpenFileName", "getSaveFileName", "getExistingDirectory"}
SHOWING |= {"InputError", "QualityError", "Cancelled"}
SHOWN = {"text", "toolTip", "labelText", "windowTitle", "title", "noneDisplay", "specialValueText", "placeholderText"}
SHOWN |= {"helpText", "acknowledgementText", "accessibleName", "note"}
#: A literal of two words somewhere else is meant for the user, too.
SENTENCE = re.compile(r"[A-Za-z]{2,}[,;:.]? [A-Za-z]{2,}")
#: These need no translation.
NO_SENTENCES = {
    "brain and halves", "voxel under the crosshair", "not applicable",  # values, kept in the scene and in tables
    "time between frames",  # the meaning of a setting, as the library's
    "CT perfusion phantom", "PyPeT self-test", "PyPeT self-test MultiVolume", "AIF points",  # names of nodes
    "PyPeT", "PyPeT developers",
}  # fmt: skip


def literals(path):
    """Yield (literal, nodes around it, innermost first) for every string of a file that is no docstring."""
    around = {}
    for node in ast.walk(tree(path)):
        for child in ast.iter_child_nodes(node):
            around[child] = node
    for node in around:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            chain = [node]
            while chain[-1] in around:
                chain.append(around[chain[-1]])
            if not isinstance(chain[1], ast.Expr):
                yield node.value, chain[1:]


def called(node) -> str:
    """Return the name of what is called, "" where nothing is."""
    function = node.func if isinstance(node, ast.Call) else None
    return getattr(function, "attr", getattr(function, "id", ""))


def is_shown(text: str, around) -> bool:
    """Tell whether a literal is handed to what shows it, directly or as part of an expression."""
    for inner in around:
        if called(inner) in SHOWING:
            return True
        if isinstance(inner, (ast.Call, ast.Subscript)):
            return False  # what is handed to another function is not what is shown
        if isinstance(inner, ast.keyword) and inner.arg in SHOWN:
            return True
        if isinstance(inner, ast.Assign):
            return any(getattr(target, "attr", "") in SHOWN for target in inner.targets)
    return False


@pytest.mark.parametrize("name", PANEL)
def test_what_the_user_reads_is_translated(name):
    untranslated = []
    for text, around in literals(PANEL[name]):
        translated = any(called(outer) in ("_", "translate") for outer in around)
        asserted = any(isinstance(outer, ast.Assert) for outer in around)
        meant = is_shown(text, around) or SENTENCE.search(text)
        bare = re.search("[A-Za-z]{2}", text) and not text.startswith("<")  # layouts are XML
        if meant and bare and text not in NO_SENTENCES and not translated and not asserted:
            untranslated.append(text)
    assert not untranslated


@pytest.mark.parametrize("name", PANEL)
def test_what_is_translated_is_a_literal(name):
    """Slicer's translators find nothing else; what belongs into it follows by ``format``."""
    for node in ast.walk(tree(PANEL[name])):
        if called(node) == "_":
            (text,) = node.args
            assert isinstance(text, ast.Constant) and isinstance(text.value, str), ast.unparse(node)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            assert node.id != "_", "this would be called instead of the translation"
