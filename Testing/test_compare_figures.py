"""Figures of a comparison: what they say, and the processes that draw them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import compare_cases
import numpy as np
import pytest
from compare_cases import MAPS, compared

from PyPeTLib.compare_drawing import FigureWriter
from PyPeTLib.errors import InputError, PyPeTError
from PyPeTLib.pairing import pair_up
from PyPeTLib.read import read_image
from PyPeTLib.similarity import Differences

comparison, data_set, isles, written = (
    compare_cases.comparison,
    compare_cases.data_set,
    compare_cases.isles,
    compare_cases.written,
)


def test_every_case_and_map_has_its_picture(written):
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    out, _ = written
    names = {f"sub-0{k}_ses-01_{name}.png" for k in (1, 2) for name in MAPS}
    assert {path.name for path in out.glob("*.png")} == names | {"volumes.png"}
    for name in ("sub-01_ses-01_tmax.png", "volumes.png"):
        picture = imread(out / name)[..., :3]
        assert min(picture.shape[:2]) > 300
        assert (picture.max(axis=-1) > 0.3).mean() > 0.02


def test_a_picture_says_which_methods_and_what_is_invalid(runs, comparison):
    pytest.importorskip("matplotlib")
    from PyPeTLib.compare_figures import pair_figure

    ours, theirs = (read_image(runs / name / "sub-01_ses-01_tmax.nii.gz") for name in ("ours", "other"))
    marked = replace(comparison, reference=replace(comparison.reference, invalid=("No bolus.",)))
    for case, said in ((comparison, False), (marked, True)):
        texts = " ".join(
            " ".join(text.get_text().split()) for text in pair_figure(case, "tmax", pair_up(ours, theirs)).texts
        )
        assert "results: Bayesian, weak prior of MTT · reference: bSVD, cut-off 0.1 ·" in texts
        assert ("reference marked INVALID" in texts) == said
    bars = pair_figure(comparison, "tmax", pair_up(ours, theirs)).axes[:6]
    ticks = [label.get_text() for axes in bars for label in axes.get_yticklabels()]
    assert "−6" in ticks and "-6" not in ticks


def test_a_picture_of_relative_values_has_no_bias_for_it_is_0_by_definition(runs, comparison):
    pytest.importorskip("matplotlib")
    from PyPeTLib.compare_figures import pair_figure

    pair = pair_up(*(read_image(runs / name / "sub-01_ses-01_cbf.nii.gz") for name in ("ours", "other")))
    found = comparison.maps["cbf"]
    other = replace(found, physical=Differences("counts"))
    for measured, drawn in ((found, True), (other, False)):
        figure = pair_figure(replace(comparison, maps={"cbf": measured}), "cbf", pair)
        texts = [text.get_text() for axes in figure.axes for text in axes.texts]
        assert any(text.startswith("bias: ") for text in texts) == drawn
        assert sum(" SD: " in text for text in texts) == 2


def written_extents(figure):
    """Return the boxes of everything that is written into a figure, ticks and hidden texts left out."""
    figure.canvas.draw()
    texts = [
        *figure.texts,
        *(text for axes in figure.axes for text in (*axes.texts, axes.xaxis.label, axes._left_title)),
    ]
    return {text: text.get_window_extent() for text in texts if text.get_text().strip()}


def test_a_picture_of_one_slice_is_wide_enough_for_what_is_written(runs, comparison):
    pytest.importorskip("matplotlib")
    from PyPeTLib.compare_figures import pair_figure

    pair = pair_up(*(read_image(runs / name / "sub-01_ses-01_cbf.nii.gz") for name in ("ours", "other")))
    kept = np.zeros_like(pair.compared)
    kept[2] = pair.compared[2]
    figure = pair_figure(comparison, "cbf", replace(pair, compared=kept))
    extents = written_extents(figure)
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in extents.values())
    note, head = (extents[text] for text in figure.texts[1:3])
    assert note.y0 > head.y1, "the note ends above the slice's name"


def test_limits_of_agreement_can_be_read_however_near_they_are():
    pytest.importorskip("matplotlib")
    from PyPeTLib.compare_figures import volumes_figure

    figure = volumes_figure({"Core": np.array([[14.9, 13.1], [14.8, 13.0]])})
    boxes = [box for text, box in written_extents(figure).items() if text in figure.axes[1].texts]
    assert len(boxes) == 3
    assert not any(one.overlaps(other) for k, one in enumerate(boxes) for other in boxes[:k])


def test_a_single_voxel_of_a_density_can_be_told_from_black(runs, comparison):
    """WCAG asks for 3 : 1 of what is not text; what the colours are is written."""
    pytest.importorskip("matplotlib")
    from PyPeTLib.compare_figures import pair_figure

    pair = pair_up(*(read_image(runs / name / "sub-01_ses-01_cbf.nii.gz") for name in ("ours", "other")))
    for axes in pair_figure(comparison, "cbf", pair).axes[6:]:
        (image,) = axes.images
        linear = np.array([c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in image.cmap(0.0)[:3]])
        assert (linear @ (0.2126, 0.7152, 0.0722) + 0.05) / 0.05 >= 3.0
        assert axes.get_title(loc="left") == f"blue to yellow: 1 to {image.norm.vmax:.0f} voxels a square"


def test_the_picture_of_volumes_says_how_many_cases_each_region_is_of():
    pytest.importorskip("matplotlib")
    from PyPeTLib.compare_figures import volumes_figure

    both = np.array([[10.0, 12.0], [30.0, 31.0], [50.0, 47.0]])
    figure = volumes_figure({"Core": both[:2], "Hypoperfusion": both})
    assert figure.texts[0].get_text() == "Volumes of core and hypoperfusion"
    assert [axes.get_title(loc="left")[:7] for axes in figure.axes[::2]] == ["2 cases", "3 cases"]


def test_what_cannot_be_drawn_stops_the_whole(data_set):
    """A full disk is no fault of a case."""

    def full(comparison, pairs):
        raise InputError("x.png cannot be written")

    with pytest.raises(InputError, match=r"^x\.png cannot be written$"):
        compared(data_set / "results", data_set / "isles", show=full)


def test_a_picture_that_cannot_be_written_stops_the_whole(tmp_path):
    pytest.importorskip("matplotlib")
    writer = FigureWriter(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"volumes\.png cannot be written: No such file or directory"), writer:
        writer.volumes({"Core": np.array([[1.0, 2.0], [3.0, 4.0]])})


def test_a_process_that_draws_and_is_ended_is_no_crash(tmp_path):
    pytest.importorskip("matplotlib")
    writer = FigureWriter(tmp_path)
    with pytest.raises(PyPeTError, match="a process that draws ended too soon"), writer:
        writer._pending.append(writer._pool.submit(os._exit, 1))


def test_the_process_that_measures_leaves_drawing_to_others(data_set):
    """Importing matplotlib and drawing take longer than reading and measuring."""
    pytest.importorskip("matplotlib")
    arguments = ["compare", "results", "isles", "-o", "drawn", "--quiet"]
    code = f"import sys; from PyPeTLib.cli import main; print(main({arguments}), 'matplotlib' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=data_set, check=True)
    assert found.stdout.split() == ["4", "False"]
    assert (data_set / "drawn" / "volumes.png").is_file()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are sought in /proc")
def test_processes_that_draw_end_with_a_command_that_is_killed(tmp_path):
    pytest.importorskip("matplotlib")
    code = (
        "import os, signal, sys; from pathlib import Path; from PyPeTLib.compare_drawing import FigureWriter\n"
        "writer = FigureWriter(Path(sys.argv[1])); writer.volumes({})\n"
        "writer._finish(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], start_new_session=True)
    assert killed.wait() == -signal.SIGKILL
    end = time.monotonic() + 10.0
    while alive_in_session(killed.pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert alive_in_session(killed.pid) == []


def alive_in_session(leader):
    """Processes of a session that still run: neither ended nor waited for."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:  # it has ended meanwhile
            continue
        if int(session) == leader and state != "Z":
            found.append(path.parent.name)
    return found


def test_with_a_broken_matplotlib_it_is_said_what_is_left_out(runs, isles, tmp_path):
    """The process that measures does not import it: those that draw tell."""
    (tmp_path / "matplotlib").mkdir()
    (tmp_path / "matplotlib" / "__init__.py").write_text("raise ValueError('numpy.dtype size changed')")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    words = ["compare", str(runs / "ours"), str(isles), "-o", str(tmp_path / "out")]
    command = [sys.executable, "-m", "PyPeTLib", *words]
    found = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    told = "matplotlib does not load (numpy.dtype size changed): python -m pip install --force-reinstall matplotlib"
    assert (found.returncode, found.stderr) == (0, f"pypet: left out: figures need matplotlib: {told}\n")
    assert found.stdout.endswith(f"\nTables in {tmp_path / 'out'}.\n")
    assert not list((tmp_path / "out").glob("*.png"))
