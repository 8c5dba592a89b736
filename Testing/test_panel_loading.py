"""Loading: files, folders and the phantom."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import panel_cases
import pytest
from panel_cases import ids
from slicer_double import fixtures

dialogs, load, scene, slicer_app = fixtures.dialogs, fixtures.load, fixtures.scene, fixtures.slicer_app
panel, scan = panel_cases.panel, panel_cases.scan
pytestmark = pytest.mark.filterwarnings("ignore:Setting the shape:DeprecationWarning")  # VTK with numpy 2.5


@pytest.fixture
def files(tiny_head, tmp_path):
    from PyPeTLib.write import write_series

    write_series(tiny_head.series, tmp_path / "scan_ctp.nii.gz")
    return tmp_path


def test_load_a_4d_file(panel, files, dialogs, tiny_head):
    dialogs.paths.append(str(files / "scan_ctp.nii.gz"))
    panel.ui.loadFileButton.click()
    assert panel.parameters.scan.GetNumberOfDataNodes() == tiny_head.series.frames
    assert panel.ui.applyButton.enabled
    dialogs.paths.append("")
    panel.ui.loadFileButton.click()
    assert not dialogs.errors()


def test_load_a_folder_whose_times_are_unknown(panel, dialogs, tmp_path, tiny_head):
    from PyPeTLib.geometry import Image
    from PyPeTLib.write import write_image

    for k in range(12):
        write_image(Image(tiny_head.series.values[k], tiny_head.series.geometry), tmp_path / f"frame{k}.nii.gz")
    dialogs.paths.append(str(tmp_path))
    panel.ui.loadFolderButton.click()
    assert not dialogs.errors()
    assert panel.parameters.scan.GetNumberOfDataNodes() == 12
    assert not panel.ui.applyButton.enabled
    panel.ui.interval_s.value = 2.0
    assert panel.ui.applyButton.enabled


def test_load_a_folder_of_dicom_images(panel, dialogs, tmp_path):
    """Times come with them, and what is doubtful about the images is told."""
    import slicer
    from dicom_images import FRAMES, scan

    from PyPeTScene.series import scan_volume

    dialogs.paths.append(str(scan(tmp_path / "a", left_out={(3, 1)})))
    panel.ui.loadFolderButton.click()
    assert not dialogs.errors()
    assert panel.parameters.scan.GetNumberOfDataNodes() == FRAMES - 1
    shown = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode().GetBackgroundVolumeID()
    assert shown == scan_volume(panel.parameters.scan).GetID()
    assert panel.ui.applyButton.enabled
    assert "1 of 12 frames lack slices" in panel.parameters.scan.GetAttribute("PyPeT.Notes")


def test_a_file_with_too_few_frames_is_refused(panel, dialogs, tmp_path, tiny_head):
    from PyPeTLib.write import write_series

    series = tiny_head.series
    write_series(replace(series, values=series.values[:5], times_s=series.times_s[:5]), tmp_path / "short_ctp.nii.gz")
    before = ids()
    dialogs.paths.append(str(tmp_path / "short_ctp.nii.gz"))
    panel.ui.loadFileButton.click()
    assert "at least 10 frames" in dialogs.errors()[0]
    assert ids() == before


def test_a_file_that_is_no_scan_is_refused_once(panel, dialogs, tmp_path):
    (tmp_path / "no.nii").write_bytes(b"nothing")
    before = ids()
    dialogs.paths.append(str(tmp_path / "no.nii"))
    panel.ui.loadFileButton.click()
    assert len(dialogs.errors()) == 1
    assert ids() == before


def test_an_interval_left_over_does_not_overrule_the_times_of_a_file(panel, files, dialogs):
    panel.ui.interval_s.value = 3.0
    dialogs.paths.append(str(files / "scan_ctp.nii.gz"))
    panel.ui.loadFileButton.click()
    assert panel.ui.timeAxis.text.startswith("45 frames, 0–44 s, every 1 s")


def test_what_reading_brought_to_light_is_shown(panel, scan):
    from PyPeTPanel.parameters import NOTES

    scan.SetAttribute(NOTES, "Values were shifted.")
    panel.refresh()
    assert panel.ui.timeAxis.text.endswith("Values were shifted.")


def test_phantom_is_offered_as_sample_data(panel, tiny_head, dialogs, monkeypatch):
    import slicer
    from slicer_double.sample_data import registered

    offered = registered[-1]
    assert (offered["category"], offered["sampleName"]) == ("PyPeT", "CTPerfusionHeadPhantom")
    assert Path(offered["thumbnailFileName"]).is_file()
    cursors = []

    def make(options):
        cursors.append(slicer.app.overrideCursor())
        return tiny_head

    monkeypatch.setattr("PyPeTLib.phantom.head_phantom", make)
    sequence = offered["customDownloader"](None)
    assert sequence.GetNumberOfDataNodes() == tiny_head.series.frames
    assert cursors[0] is not None and slicer.app.overrideCursor() is None, "an hourglass as long as it takes"
    monkeypatch.setattr("PyPeTLib.phantom.head_phantom", lambda options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        offered["customDownloader"](None)
    assert "The phantom could not be made." in dialogs.errors()[0] and slicer.app.overrideCursor() is None


def test_scan_that_pypet_loads_has_the_brain_window_and_keeps_what_the_user_sets(panel, tiny_head, monkeypatch):
    from PyPeTPanel.scan import load_phantom
    from PyPeTScene.series import scan_volume

    monkeypatch.setattr("PyPeTLib.phantom.head_phantom", lambda options: tiny_head)
    panel.parameters.scan = load_phantom()
    display = scan_volume(panel.parameters.scan).GetDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0.0, 80.0)
    display.SetWindowLevelMinMax(-100.0, 300.0)
    panel.ui.stage1Button.click()
    panel.ui.frame.value = 20
    assert display.GetWindowLevelMax() == 300.0
