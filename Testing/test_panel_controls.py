"""Controls of the panel: they reach the parameters and come back, and say when Apply is possible."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import panel_cases
import pytest
from panel_cases import MODULE, own, stage_note
from slicer_double import fixtures

dialogs, load, scene, slicer_app = fixtures.dialogs, fixtures.load, fixtures.scene, fixtures.slicer_app
applied, panel, scan = panel_cases.applied, panel_cases.panel, panel_cases.scan
other_scan = panel_cases.other_scan
pytestmark = pytest.mark.filterwarnings("ignore:Setting the shape:DeprecationWarning")  # VTK with numpy 2.5


# Controls


def other_value(info):
    if info.choices:
        return info.choices[-1]
    return type(info.default)(info.low + (info.high - info.low) // 2 if isinstance(info.default, int) else info.high)


def test_every_control_reaches_the_parameter_node_and_back(panel):
    from PyPeTLib.settings import describe_settings
    from PyPeTPanel.parameters import settings_of

    for info in describe_settings():
        if info.name == "partial_volume":
            continue
        control, wanted = getattr(panel.ui, info.name), other_value(info)
        assert getattr(panel.parameters, info.name) == info.default
        if info.choices:
            control.currentIndex = info.choices.index(wanted)
        else:
            control.value = wanted
        assert getattr(panel.parameters, info.name) == wanted
        assert getattr(settings_of(panel.parameters), info.name) == wanted
        setattr(panel.parameters, info.name, info.default)
        shown = control.currentText if info.choices else control.value
        assert shown == info.default, info.name


@pytest.mark.parametrize("name", ["scale_to_vein", "force"])
def test_check_boxes_reach_the_parameter_node_and_back(panel, name):
    box = getattr(panel.ui, name)
    box.checked = not box.checked
    assert getattr(panel.parameters, name) == box.checked
    setattr(panel.parameters, name, not box.checked)
    assert box.checked == getattr(panel.parameters, name)


def test_partial_volume_can_be_switched_off(panel):
    from PyPeTLib import Settings
    from PyPeTPanel.parameters import settings_of

    assert settings_of(panel.parameters) == Settings()
    panel.ui.scale_to_vein.checked = False
    assert settings_of(panel.parameters).partial_volume == "none"


def test_parameters_of_another_version_become_the_defaults_and_are_named(panel, dialogs):
    import slicer

    from PyPeTLib import Settings

    node = panel.parameters.parameterNode
    panel.parameters.core_rcbf = 25.0
    panel.disconnect_parameters()
    for name, value in (("method", "fancy"), ("aif_source", "guess"), ("csf_hu", "1e9"), ("bone_hu", "dense")):
        node.SetParameter(name, value)
    node.SetParameter("interval_s", "abc")
    panel.connect_parameters()
    assert panel.parameters.interval_s == 0.0
    for name in ("method", "csf_hu", "bone_hu"):
        assert getattr(panel.parameters, name) == getattr(Settings(), name)
    assert panel.parameters.aif_source == "automatic" and panel.parameters.core_rcbf == 25.0
    assert not dialogs.messages, "not amid the import of a scene"
    slicer.app.processEvents()
    (warning,) = dialogs.messages
    assert warning.level == "WARNING" and "another version" in warning.text
    assert all(word in warning.text for word in ("method", "bayesian", "fancy", "guess", "1e9", "dense", "abc"))
    panel.connect_parameters()
    slicer.app.processEvents()
    assert len(dialogs.messages) == 1, "said once"


def test_values_that_cannot_be_used_are_put_right_before_anything_reads_them(panel, dialogs):
    """Slicer's wrapper keeps what it read, and reads whenever the node changes; what it cannot read is a traceback."""
    import slicer

    from PyPeTLib import Settings

    node = panel.parameters.parameterNode
    with slicer.util.NodeModify(node):
        for name, value in (("csf_hu", "dense"), ("method", "fancy"), ("bone_hu", "1e9")):
            node.SetParameter(name, value)
    slicer.app.processEvents()
    for name in ("csf_hu", "method", "bone_hu"):
        assert getattr(panel.parameters, name) == getattr(Settings(), name)
    (warning,) = dialogs.messages
    assert all(word in warning.text for word in ("csf_hu", "dense", "fancy", "1e9"))


def test_an_earlier_wrapper_reads_nothing_that_an_added_scene_cannot_mean(panel, dialogs, tmp_path):
    """Slicer 5.10 keeps the wrapper of before, which reads along while another scene is added."""
    import slicer

    kept, file = panel.parameters, tmp_path / "other.mrml"
    kept.csf_hu = 12.5
    slicer.mrmlScene.SetURL(str(file))
    slicer.mrmlScene.Commit()
    text = file.read_text(encoding="utf-8")
    assert text.count("12.5") == 1
    file.write_text(text.replace("12.5", "dense"), encoding="utf-8")
    slicer.mrmlScene.Import()
    assert panel.parameters is not kept and panel.parameters.csf_hu == kept.csf_hu == 20.0
    slicer.app.processEvents()
    (warning,) = dialogs.messages
    assert "csf_hu" in warning.text and "dense" in warning.text


def test_help_leads_to_the_tutorial_and_names_whose_work_it_began_from(load):
    root = MODULE.parents[1]
    said = load(MODULE).module.parent
    home = json.loads((root / "PyPeT.json").read_text(encoding="utf-8"))["scm_url"]
    assert f'href="{home}#tutorial"' in said.helpText
    readme = (root / "README.md").read_text(encoding="utf-8")
    assert "### Tutorial" in readme
    cited = "M. Borghouts and R. Su", "PyPeT: A Python Tool for Automated Quantitative Brain CT Perfusion Analysis"
    assert all(words in said.acknowledgementText and words in readme for words in cited)


def test_that_it_is_for_research_only_can_be_read(panel):
    """What is disabled is the palest text of a panel."""
    assert "Not for diagnosis" in panel.ui.research.text and panel.ui.research.enabled


def test_every_setting_shows_unit_and_meaning(panel):
    from PyPeTLib.settings import describe_settings

    for info in describe_settings():
        if info.name != "partial_volume":
            control = getattr(panel.ui, info.name)
            assert info.meaning in control.toolTip
            assert info.choices or control.suffix.strip() == info.unit


def test_a_control_keeps_the_digits_of_its_default(panel):
    from PyPeTLib.settings import describe_settings

    for info in describe_settings():
        if not info.choices:
            assert getattr(panel.ui, info.name).value == info.default, "connecting the panel changed it"


@pytest.mark.parametrize(
    ("field", "word", "shown", "hidden"),
    [
        ("denoise", "gaussian", ["gaussian_sigma_mm"], ["bilateral_sigma_mm", "curvature_flow_step"]),
        ("denoise", "none", [], ["gaussian_sigma_mm", "bilateral_similarity"]),
        ("method", "oSVD", ["oscillation_index"], ["bsvd_cutoff", "tikhonov_strength"]),
        ("method", "tikhonov", ["tikhonov_choice"], ["tikhonov_strength", "residue", "late_probability"]),
        ("lesion_rule", "own", ["core_rcbf", "hypoperfusion_tmax_s"], ["core_cbv", "hypoperfusion_rmtt"]),
        ("brain", "fast-marching", ["bone_hu", "brain_opening_mm"], []),
        ("brain_source", "segment", ["brainSegment"], ["brain", "bone_hu"]),
        ("aif_source", "automatic", [], ["aifSegment", "aif_points", "aif_curve"]),
        ("aif_source", "segment", ["aifSegment"], ["vofSegment", "aif_points", "aif_curve"]),
        ("aif_source", "points", ["aif_points", "aifPlaceButton"], ["aifSegment", "aif_curve", "vof_points"]),
        ("aif_source", "curve", ["aif_curve", "aifLoadButton"], ["aifSegment", "aif_points", "vof_curve"]),
        ("vof_source", "points", ["vof_points", "vofPlaceButton"], ["vofSegment", "vof_curve", "aif_points"]),
        ("vof_source", "curve", ["vof_curve", "vofLoadButton"], ["vofSegment", "vof_points", "aif_curve"]),
    ],
)
def test_only_the_controls_of_the_chosen_method_are_shown(panel, field, word, shown, hidden):
    setattr(panel.parameters, field, word)
    assert not any(getattr(panel.ui, name).isHidden() for name in shown)
    assert all(getattr(panel.ui, name).isHidden() and getattr(panel.ui, f"{name}Label").isHidden() for name in hidden)


@pytest.mark.parametrize("key", ["brain", "aif", "vof"])
def test_segment_selectors_reach_the_parameter_node_and_back(panel, key):
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    for name in ("one", "two"):
        node.GetSegmentation().AddEmptySegment(name, name)
    selector = getattr(panel.ui, f"{key}Segment")
    selector.setCurrentNode(node)
    selector.setCurrentSegmentID("two")
    assert getattr(panel.parameters, f"{key}_segmentation") is node
    assert getattr(panel.parameters, f"{key}_segment") == "two"
    setattr(panel.parameters, f"{key}_segment", "one")
    assert selector.currentSegmentID() == "one"
    slicer.mrmlScene.RemoveNode(node)
    assert getattr(panel.parameters, f"{key}_segmentation") is None


# Keyboard


def tab_stops(panel) -> list:
    """Return what the tab key goes through, from the first section on."""
    import qt

    first = panel.ui.scanSection
    found, widget = [first], first.nextInFocusChain()
    while widget is not first:
        reached = widget.isVisibleTo(panel.parent) and widget.enabled and widget.focusPolicy & qt.Qt.TabFocus
        if reached and panel.parent.isAncestorOf(widget):
            found.append(widget)
        widget = widget.nextInFocusChain()
    return found


def test_the_tab_key_goes_down_the_panel_past_tables_to_every_control(applied):
    import qt
    import slicer

    ui = applied.ui
    sections = [ui.denoiseSection, ui.deconvolutionSection, ui.lesionRuleSection, ui.advancedSection]
    for section in sections:
        section.collapsed = False
    applied.parent.resize(520, 4000)
    applied.parent.show()
    slicer.app.processEvents()
    top = applied.parent
    stops = [stop for stop in tab_stops(applied) if stop.objectName != "qt_spinbox_lineedit"]
    places = [stop.mapTo(top, qt.QPoint(0, 0)) for stop in stops]
    for (before, one), (after, other) in pairwise(zip(stops, places, strict=True)):
        beside = abs(one.y() - other.y()) < 8 and one.x() < other.x()
        assert beside or one.y() < other.y(), f"{before.objectName} is before {after.objectName}"
    reached = {stop.objectName for stop in stops} | {stop.parent().objectName for stop in stops}
    assert reached >= {"scan", "applyButton", "lesions", "checks", "cbfButton", "stage1Button", "frame"}
    assert not any(stop.tabKeyNavigation for stop in stops if isinstance(stop, qt.QTableWidget))


def test_a_candidate_can_be_chosen_by_the_keyboard(applied, dialogs):
    import qt

    table = applied.ui.candidates
    table.setCurrentCell(1, 0)
    key = qt.QKeyEvent(qt.QEvent.KeyPress, qt.Qt.Key_Return, qt.Qt.NoModifier)
    qt.QApplication.sendEvent(table, key)
    assert not dialogs.errors()
    assert (applied.parameters.aif_source, applied.parameters.aif_segment) == ("segment", "PyPeT_aif_choice")


# Apply: when


def test_apply_needs_a_scan_and_says_so(panel):
    assert not panel.ui.applyButton.enabled
    assert "Load a 4D scan" in panel.ui.applyButton.toolTip


def test_nothing_can_be_done_without_a_scan(panel):
    names = ["createMaskButton", "correctMaskButton", "exportButton", "cbfButton"]
    buttons = [getattr(panel.ui, name) for name in [*names, *(f"stage{k}Button" for k in range(1, 7))]]
    assert not any(button.enabled for button in buttons)


BEFORE_MAPS = ["applyButton", "showTissueButton", *(f"stage{k}Button" for k in range(1, 6))]
OF_MAPS = ["stage6Button", "stage7Button", "mapsButton", "curvesButton", "cbfButton", "ttpButton"]


def why_not(panel, names) -> set[str]:
    """Return what the tooltips of buttons say, none of which can be pressed."""
    buttons = [getattr(panel.ui, name) for name in names]
    assert not any(button.enabled for button in buttons)
    return {button.toolTip for button in buttons}


def test_a_button_that_cannot_be_pressed_says_what_it_needs(panel, scan):
    import slicer

    usual = panel.ui.stage2Button.toolTip
    assert why_not(panel, OF_MAPS) == {"Press Apply first: there are no maps of this scan."}
    assert why_not(panel, ["frame"]) == {
        "Show a step or press Apply first: nothing of this scan is there to be scrolled."
    }
    panel.parameters.scan = None
    (text,) = why_not(panel, [*BEFORE_MAPS, *OF_MAPS, "createMaskButton", "correctMaskButton"])
    assert "Load a 4D scan and select it" in text
    panel.parameters.scan = scan
    panel.parameters.aif_source = "points"
    (text,) = why_not(panel, [*BEFORE_MAPS, *OF_MAPS])
    assert "Press 'Place points'" in text and panel.ui.createMaskButton.enabled
    panel.parameters.aif_source = "automatic"
    assert panel.ui.stage2Button.enabled and panel.ui.stage2Button.toolTip == usual == "The same after denoising."
    slicer.mrmlScene.Clear(False)
    assert len(why_not(panel, [*BEFORE_MAPS, *OF_MAPS])) == 1


def test_steps_after_apply_say_what_they_need(applied, scan):
    import slicer

    assert applied.ui.stage6Button.enabled and applied.ui.stage6Button.toolTip == "All maps side by side, linked."
    assert why_not(applied, ["stage7Button"]) == {"Select a map to compare with, as Reference below."}
    applied.parameters.reference_map = own("map.cbf", scan)
    assert applied.ui.stage7Button.enabled and "metrics of their similarity" in applied.ui.stage7Button.toolTip
    slicer.mrmlScene.RemoveNode(own("map.ttp", scan))
    slicer.app.processEvents()
    assert why_not(applied, ["ttpButton"]) == {"Apply again: this map is not in the scene."}


def test_during_a_run_buttons_say_that_it_is_going_on(panel, scan, dialogs):
    said = []
    names = [*BEFORE_MAPS, "stage6Button", "stage7Button", "createMaskButton", "exportButton"]
    dialogs.on_progress.append(lambda dialog: said.append(why_not(panel, names)))
    panel.ui.stage1Button.click()
    assert said == [{"A run is going on."}]


def test_apply_is_possible_with_a_scan_whose_times_are_known(panel, scan):
    assert panel.ui.applyButton.enabled
    assert panel.ui.timeAxis.text == "45 frames, 0–44 s, every 1 s, from the sequence's index (s)."


def test_a_single_volume_is_refused(panel, dialogs):
    import slicer

    panel.parameters.scan = slicer.util.addVolumeFromArray(np.zeros((2, 3, 4), np.float32))
    assert not panel.ui.applyButton.enabled
    assert "a single 3D volume" in panel.ui.applyButton.toolTip


def test_unknown_times_ask_for_the_interval(panel, scan):
    scan.SetIndexUnit("")
    scan.SetIndexName("frame")
    panel.refresh()
    assert not panel.ui.applyButton.enabled
    assert "Type the time between frames" in panel.ui.timeAxis.text
    panel.ui.interval_s.value = 1.5
    assert panel.ui.applyButton.enabled
    assert "0–66 s, every 1.5 s, from the interval typed" in panel.ui.timeAxis.text


def test_an_interval_beside_times_that_are_known_is_said_to_be_unused(panel, scan):
    panel.ui.interval_s.value = 1.5
    assert panel.ui.timeAxis.text.endswith("every 1 s, from the sequence's index (s). The interval typed is not used.")
    scan.SetIndexUnit("")
    panel.refresh()
    assert panel.ui.timeAxis.text.endswith("from the interval typed, 1.5 s.")


def test_inputs_that_are_no_more_chosen_are_no_more_followed(panel, scan):
    import slicer

    before = len(panel.Observations)
    for _ in range(3):
        panel.parameters.aif_curve = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode")
    assert len(panel.Observations) == before + 1
    slicer.mrmlScene.RemoveNode(panel.parameters.aif_curve)
    assert len(panel.Observations) == before


def test_what_pypet_made_of_a_scan_is_no_scan(panel, scan, dialogs):
    stage_note(panel, 1)
    panel.parameters.scan = own("stage.projection", scan)
    assert not panel.ui.applyButton.enabled and not dialogs.errors()
    assert "found what PyPeT made of one. Select the scan itself" in panel.ui.timeAxis.text


def test_a_missing_segment_disables_apply(panel, scan):
    panel.parameters.brain_source = "segment"
    assert not panel.ui.applyButton.enabled
    assert panel.ui.applyButton.toolTip.startswith("Brain mask: a segment is needed")
    panel.parameters.brain_source = "automatic"
    assert panel.ui.applyButton.enabled


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        (("method", "bSVD"), ("lesion_rule", "MIStar-like"), "a method that gives the delay is needed"),
        (("aif_minimum_volume_ml", 0.9), ("aif_maximum_volume_ml", 0.5), "a minimum below its maximum is needed"),
    ],
)
def test_settings_that_do_not_go_together_disable_apply(panel, scan, one, other, words):
    before = getattr(panel.parameters, other[0])
    setattr(panel.parameters, *one)
    assert panel.ui.applyButton.enabled
    setattr(panel.parameters, *other)
    assert not panel.ui.applyButton.enabled and words in panel.ui.applyButton.toolTip
    setattr(panel.parameters, other[0], before)
    assert panel.ui.applyButton.enabled


def test_scan_removed_from_the_scene(applied, scan):
    import slicer

    assert applied.ui.exportButton.enabled
    slicer.mrmlScene.RemoveNode(scan)
    assert not applied.ui.applyButton.enabled
    assert not applied.ui.exportButton.enabled
    assert applied.logic.analysis is None, "the last run does not outlive its scan"


def test_the_last_run_goes_with_its_scan_also_after_a_step_of_another(applied, scan, other_scan):
    """In a scene from a file Slicer gives the ID of a node that went to a new one: a run would be exported as its."""
    import slicer

    applied.parameters.scan = other_scan()
    applied.ui.stage2Button.click()
    assert applied.logic.analysis is not None
    slicer.mrmlScene.RemoveNode(scan)
    assert applied.logic.analysis is None and applied.logic.prepared is not None
