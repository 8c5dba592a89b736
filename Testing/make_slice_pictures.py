"""Write what the user of the panel sees on the phantom: ``python Testing/make_slice_pictures.py [FOLDER]``.

The panel is driven on the test double, button by button; `slice_views` draws the layouts that it asks for.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "PyPeT"), str(ROOT / "Testing")]

from slice_views import Screen, missing, save_png  # noqa: E402

#: Width and height of the views in pixels: one row of them, and two.
ONE_ROW, TWO_ROWS = (1200, 626), (1320, 920)


def main(folder: Path) -> None:
    if missing():
        raise SystemExit(missing())
    from slicer_double.application import boot_application
    from slicer_double.loader import close_panel, load_module

    app = boot_application()
    loaded = load_module(ROOT / "PyPeT" / "PyPeT.py")
    from PyPeTPanel.scan import load_phantom

    folder.mkdir(parents=True, exist_ok=True)
    panel = loaded.widget
    panel.parameters.scan = load_phantom()
    panel.ui.applyButton.click()
    screen = Screen(app.layoutManager(), ONE_ROW)
    for name, number, frame, size in pictures(panel.logic.analysis):
        screen.resize(size)
        getattr(panel.ui, f"stage{number}Button").click()
        if frame is not None:
            panel.ui.frame.value = frame
        save_png(screen.picture(), folder / f"{name}.png")
        print(f"{folder / name}.png: {panel.ui.frameTime.text}. {panel.ui.stageNote.text}")
    screen.close()
    close_panel(loaded)


def pictures(analysis):
    """Return name, step, frame to scroll to, and size in pixels of each picture."""
    arterial_peak = int(analysis.aif.measured_hu.argmax())
    brain_peak = int(analysis.curves.mean(np.asarray(analysis.brain.values)).argmax())
    return (
        ("step1_raw", 1, arterial_peak, ONE_ROW),
        ("step4_signal", 4, brain_peak, ONE_ROW),
        ("step5_input", 5, arterial_peak, ONE_ROW),
        ("step6_maps", 6, None, TWO_ROWS),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs")
