"""Write docs/panel.png, the panel after Apply on a small phantom: ``python Testing/make_panel_picture.py [FILE]``.

Runs on the test double: real nodes, real results, Qt's widgets; in Slicer the style differs a little.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "PyPeT"), str(ROOT / "Testing")]

from slicer_double.application import boot_application  # noqa: E402
from slicer_double.loader import close_panel, load_module  # noqa: E402

WIDTH = 520


def main(target: Path) -> None:
    app = boot_application()
    loaded = load_module(ROOT / "PyPeT" / "PyPeT.py")
    from PyPeTLib.phantom import HeadOptions
    from PyPeTPanel.scan import load_phantom

    panel = loaded.widget
    options = HeadOptions(size=(96, 96, 6), spacing_mm=(2.1, 2.1, 8.0), frames=50)
    panel.parameters.scan = load_phantom(options)
    panel.ui.applyButton.click()
    panel.ui.stage4Button.click()
    top = panel.parent
    top.resize(WIDTH, 400)
    top.show()
    app.processEvents()
    top.resize(WIDTH, top.sizeHint.height())
    app.processEvents()
    if not top.grab().save(str(target)):
        raise SystemExit(f"{target} cannot be written")
    print(f"{target}: {top.width} x {top.height}")
    close_panel(loaded)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "panel.png")
