"""Draw docs/report.png, the picture of the README: the beginning of a report, a voxel of the lesion pointed at."""

from pathlib import Path
from tempfile import TemporaryDirectory

from browser import browser

from PyPeTLib.phantom import head_phantom
from PyPeTLib.pipeline import analyze
from PyPeTLib.report import report_html

#: Size of the window, which shows it all unscrolled, and where the pointer is, as shares of the left picture.
WINDOW, POINTER = {"width": 1080, "height": 2000}, (0.8, 0.42)

if __name__ == "__main__":
    target = Path(__file__).parents[1] / "docs" / "report.png"
    with TemporaryDirectory() as folder, browser() as started:
        path = Path(folder) / "report.html"
        path.write_text(report_html(analyze(head_phantom().series)), encoding="utf-8")
        page = started.new_context(viewport=WINDOW, color_scheme="light", offline=True).new_page()
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-viewer=ready]", state="attached")
        picture = page.locator("#viewer .picture").first
        box = picture.bounding_box()
        picture.hover(position={"x": POINTER[0] * box["width"], "y": POINTER[1] * box["height"]})
        page.wait_for_timeout(300)
        boxes = [page.locator(one).bounding_box() for one in (".readings", ".controls")]
        below = max(one["y"] + one["height"] for one in boxes)
        page.screenshot(path=target, clip={"x": 0, "y": 0, "width": WINDOW["width"], "height": below + 12})
