"""The report in a real browser: offline, silent, and with everything it promises under pointer and keyboard."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import browser as chromium
import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

from PyPeTLib.analysis import Maps, Volume
from PyPeTLib.beside import Reference
from PyPeTLib.display import ENHANCEMENT_HU, MAP_WINDOWS, brain_crop, enhancement_volume
from PyPeTLib.geometry import Image
from PyPeTLib.orientation import radiological, slice_labels
from PyPeTLib.pdf import write_pdf
from PyPeTLib.report import render, report_html
from PyPeTLib.report_sections import Report

if chromium.missing():
    pytest.skip(chromium.missing(), allow_module_level=True)

HOSTILE = (
    "\"'><script>alert(1)</script><img src=x onerror=alert(2)> \u202e\u05d0\u05d1\u05d2 &amp; {{ 7 * 7 }} " + "n" * 300
)
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def started():
    with chromium.browser() as one:
        yield one


@pytest.fixture(scope="module")
def scan(tiny_analysis):
    """What the page shows, as the library has it: displayed arrays, cropped to the brain."""
    geometry = tiny_analysis.series.geometry
    crop = brain_crop(radiological(tiny_analysis.brain.values, geometry))
    return lambda values: radiological(values, geometry)[(..., *crop)]


@pytest.fixture(scope="module")
def address(tiny_analysis, tmp_path_factory):
    cbf = tiny_analysis.maps.cbf
    reference = {"cbf": replace(cbf, values=cbf.values / 2)}
    hostile = replace(tiny_analysis, series=replace(tiny_analysis.series, name=HOSTILE))
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(report_html(hostile, reference=Reference(reference)), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def opened(started, address):
    """Open the page, offline, and hold it to saying and asking for nothing."""

    @contextmanager
    def opening(address=address, **options):
        said, asked, settings = [], [], {"viewport": WIDE, "offline": True, **options}
        context = started.new_context(**settings)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        if settings.get("java_script_enabled", True):
            page.wait_for_selector("html[data-viewer=ready]", state="attached", timeout=20_000)
        yield page
        context.close()
        assert said == []
        assert [url for url in asked if not url.startswith("data:")] == [address]

    return opening


@pytest.fixture
def page(opened):
    with opened() as one:
        yield one


def shown(page, which=0):
    """Return layer, slice, frame and window of a picture once it has been drawn."""
    page.wait_for_timeout(60)
    layer, *numbers = page.locator("#viewer .picture").nth(which).get_attribute("data-shown").split()
    return (layer, *map(float, numbers))


def picture(page, which=0):
    return page.locator("#viewer .picture").nth(which)


def point(page, row, column, shape, act="hover"):
    """Move to, or click on, the middle of a voxel."""
    picture(page).scroll_into_view_if_needed()
    box = picture(page).bounding_box()
    at = {"x": (column + 0.5) / shape[1] * box["width"], "y": (row + 0.5) / shape[0] * box["height"]}
    getattr(picture(page), act)(position=at)


def cell(page, row, column):
    return page.locator("#values tbody tr").nth(row).locator("td").nth(column).inner_text()


def lesion_voxel(tiny_analysis, scan):
    """Return slice, row and column in the middle of the lesion."""
    late = scan(tiny_analysis.lesions.hypoperfusion.values)
    places = np.argwhere(late)
    return places[np.abs(places - np.median(places, axis=0)).sum(axis=1).argmin()]


def test_page_opens_offline_silent_and_complete(page, tiny_analysis):
    assert page.locator("#section-viewer").is_visible()
    heads = page.locator("h2").all_inner_texts()
    assert heads[:3] == ["Volumes, criteria and findings", "Key numbers", "Step by step"] and "Methods" in heads
    assert page.locator("figure img").count() == 7 + 1  # and the reference
    assert all(
        page.locator("figure img").evaluate_all("images => images.map((one) => one.complete && one.naturalWidth > 0)")
    )


def test_hostile_name_is_text(page):
    heading = page.locator("h1").inner_text()
    assert heading == " ".join(HOSTILE.split()) and page.title().startswith(heading[:40])
    assert page.locator("h1 img, h1 script").count() == 0


def test_slices_and_times_are_scrolled_by_slider_wheel_and_keyboard(page, tiny_analysis):
    labels = slice_labels(tiny_analysis.series.geometry)
    page.locator("#slice").fill("0")
    assert shown(page)[1] == shown(page, 1)[1] == 0
    assert page.locator("#slice + output").inner_text() == labels[0]
    page.locator("#frame").fill("7")
    assert shown(page)[2] == 7
    picture(page).click()
    for key, place in (("ArrowUp", (1, 7)), ("ArrowRight", (1, 8)), ("ArrowDown", (0, 8)), ("ArrowLeft", (0, 7))):
        page.keyboard.press(key)
        assert shown(page)[1:3] == place
    page.keyboard.press("ArrowDown")
    assert shown(page)[1] == 0, "the first slice is the first"
    page.mouse.wheel(0, -100)
    assert shown(page)[1] == 1


def test_wheel_scrolls_the_page_until_the_picture_was_clicked(page):
    picture(page).hover()
    before = shown(page)[1], page.evaluate("scrollY")
    page.mouse.wheel(0, 120)
    page.wait_for_timeout(200)
    assert shown(page)[1] == before[0] and page.evaluate("scrollY") > before[1]


def test_pointing_at_a_voxel_shows_values_and_curve_of_the_files(page, tiny_analysis, scan):
    k, row, column = lesion_voxel(tiny_analysis, scan)
    maps, sd = tiny_analysis.maps, tiny_analysis.maps.sd
    page.locator("#slice").fill(str(k))
    point(page, row, column, scan(maps.cbf.values).shape[1:])
    page.wait_for_timeout(100)
    for place, (name, image) in enumerate(maps.items()):
        step = 2.5 * MAP_WINDOWS[name][1] / 253 + 0.05
        value = float(cell(page, place, 0).strip("≥≤ ").replace("−", "-"))
        assert value == pytest.approx(scan(image.values)[k, row, column], abs=step)
    assert float(cell(page, 0, 1).strip("± ")) == pytest.approx(scan(sd["cbf"].values)[k, row, column], abs=0.7)
    assert float(cell(page, 0, 2)) == pytest.approx(scan(maps.cbf.values)[k, row, column] / 2, abs=1.0)
    labels = picture(page).get_attribute("aria-label"), picture(page, 1).get_attribute("aria-label")
    units = [image.unit for _, image in maps.items()]
    assert [label.split("; voxel ")[1] for label in labels] == [f"{cell(page, k, 0)} {units[k]}" for k in (0, 3)]
    assert "hypoperfusion" in page.locator("#place").inner_text()
    curve = [
        scan(enhancement_volume(tiny_analysis.curves, t))[k, row, column] for t in range(tiny_analysis.series.frames)
    ]
    found = [float(word) for word in page.locator("#curve").get_attribute("data-curve").split()]
    np.testing.assert_allclose(found, curve, atol=0.5 + 0.03 * max(curve))


def test_a_lesion_on_the_left_is_on_the_right_of_the_picture(page, tiny_analysis, scan):
    k = lesion_voxel(tiny_analysis, scan)[0]
    page.locator("#slice").fill(str(k))
    for box in ("#lesions", "#vessels"):
        page.locator(box).uncheck()
    page.locator(".pane select").first.select_option("tmax")
    shown(page)
    late = """(canvas) => {  // where Tmax is late viridis is green
      const width = canvas.width >> 1, context = canvas.getContext("2d");
      const { data } = context.getImageData(0, 0, canvas.width, canvas.height), found = [0, 0];
      for (let i = 0; i < canvas.width * canvas.height; i += 1)
        if (data[4 * i + 1] > 150) found[i % canvas.width < width ? 0 : 1] += 1;
      return found;
    }"""
    left, right = picture(page).evaluate(late)
    assert right > 3 * left


def test_maps_are_switched_by_list_and_key_and_a_reference_follows(page):
    page.locator(".pane select").first.select_option("mtt")
    assert shown(page)[0] == "mtt"
    picture(page).click()
    page.keyboard.press("2")
    assert shown(page)[0] == "cbv" and shown(page)[3:] == MAP_WINDOWS["cbv"]
    page.locator("#beside").click()
    assert (shown(page)[0], shown(page, 1)[0]) == ("cbf", "cbf_reference")
    page.locator("#swap").click()
    assert (shown(page)[0], shown(page, 1)[0]) == ("cbf_reference", "cbf")


def test_before_and_after_stand_side_by_side_and_steps_have_keys(page, tiny_analysis, scan):
    page.locator("#before").click()
    assert (shown(page)[0], shown(page, 1)[0]) == ("raw", "denoised")
    picture(page).click()
    page.keyboard.press("c")
    assert shown(page)[0] == "contrast" and shown(page)[3:] == ENHANCEMENT_HU
    page.keyboard.press("m")
    assert shown(page)[0] == "mip"
    page.keyboard.press("r")
    shape = scan(tiny_analysis.brain.values).shape
    point(page, shape[1] // 2, shape[2] // 2, shape[1:])
    page.wait_for_timeout(200)
    text = page.locator("#place").inner_text()
    raw, denoised = (float(text.split(f"{name} scan ")[1].split()[0]) for name in ("Raw", "Denoised"))
    _, k, frame, *_ = shown(page)
    truth = scan(tiny_analysis.raw.values)[int(frame), int(k), shape[1] // 2, shape[2] // 2]
    assert raw == pytest.approx(truth, abs=12) and denoised == pytest.approx(truth, abs=20)


def test_window_is_set_by_numbers_and_by_dragging_and_reset(page):
    low, high = page.locator(".legend").first.locator("input").all()
    high.fill("30")
    high.press("Enter")
    assert shown(page)[3:] == (0, 30)
    low.fill("40")
    low.press("Enter")
    assert shown(page)[3:] == (0, 30), "a window without width is not taken"
    assert low.input_value() == "0", "the numbers are those of the picture"
    for typed, taken in (("10", 10), ("", 10), ("0", 0)):
        low.fill(typed)
        low.press("Enter")
        assert (shown(page)[3:], low.input_value()) == ((taken, 30), str(taken)), "no number is no 0"
    box = picture(page).bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 250, box["y"] + 100)
    page.mouse.up()
    assert shown(page)[3:] == pytest.approx((-7.5, 37.5))
    page.locator(".reset").first.click()
    assert shown(page)[3:] == MAP_WINDOWS["cbf"]


def test_voxel_outlines_swap_and_play_have_keys(page):
    picture(page).click()
    place = page.locator("#place").inner_text()
    page.keyboard.press("Shift+ArrowRight")
    page.wait_for_timeout(60)
    assert page.locator("#place").inner_text() != place
    page.keyboard.press("o")
    assert not page.locator("#lesions").is_checked() and not page.locator("#vessels").is_checked()
    page.keyboard.press("x")
    assert (shown(page)[0], shown(page, 1)[0]) == ("tmax", "cbf")
    frame = shown(page)[2]
    page.keyboard.press(" ")
    page.wait_for_timeout(500)
    assert page.locator("#play").inner_text() == "Pause"
    page.keyboard.press(" ")
    assert shown(page)[2] > frame


def test_what_the_keys_came_to_is_told_once_they_rest(page, tiny_analysis):
    """By a screen reader; the pointer, which moves all the time, tells nothing."""
    labels, said = slice_labels(tiny_analysis.series.geometry), page.locator("#said[role=status]")
    picture(page).hover()
    page.locator(".panes[role=application]").focus()
    page.locator("#slice").fill("0")
    for key in ("ArrowUp", "ArrowUp"):
        page.locator(".panes").press(key)
    assert said.inner_text() == "" and page.locator("#slice").get_attribute("aria-valuetext") == labels[2]
    page.wait_for_timeout(700)
    text = said.inner_text()
    assert text.startswith(f"CBF, 0 to 60 mL/100 g/min, slice {labels[2]}; the patient's left") and "Tmax" in text
    page.keyboard.press("Shift+ArrowRight")
    page.wait_for_timeout(700)
    assert labels[2] in said.inner_text() and cell(page, 0, 0) in said.inner_text()
    assert "Curve of the voxel, up to" in page.locator("#curve").get_attribute("aria-label")
    assert page.locator("#viewer [aria-live], #viewer [role=status], #viewer output:not([aria-hidden])").count() == 1


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["1280", "390"])
def test_the_tab_key_stops_at_what_scrolls_only(opened, size):
    """And in forced colours the swatches that explain outlines keep theirs."""
    with opened(viewport=size, forced_colors="active") as page:
        stops = page.locator(".scroll:visible").evaluate_all(
            "(all) => all.map((one) => [one.tabIndex, one.scrollWidth > one.clientWidth])"
        )
        assert all((stop == 0) == scrolls for stop, scrolls in stops)
        assert any(scrolls for _, scrolls in stops) == (size is PHONE)
        colours = "(all) => all.map((one) => getComputedStyle(one).backgroundColor)"
        assert len(set(page.locator("#viewer .dot").evaluate_all(colours))) == 4


def test_page_of_a_run_that_knows_little_opens_too(opened, tiny_analysis, tmp_path):
    """No vein, no lesions, no motion, no standard deviations, and an arterial curve without voxels, of one slice."""
    analysis, path = one_slice(tiny_analysis), tmp_path / "little.html"
    path.write_text(report_html(analysis), encoding="utf-8")
    with opened(path.as_uri()) as page:
        sizes = page.locator("figure img").evaluate_all("(all) => all.map((one) => [one.width, one.naturalWidth])")
        assert all(width <= natural for width, natural in sizes), "few slices are not blown up"
        page.emulate_media(media="print")
        heights = page.locator("figure img").evaluate_all("(all) => all.map((one) => one.height)")
        assert max(heights) * 25.4 / 96 < 297 - 14 - 18 - 40, "a picture, its title and caption fit on a page"
        page.emulate_media(media="screen")
        picture(page).click()
        for key in ("ArrowUp", "ArrowRight", "r", "m", "5", "9", "x", "o"):
            page.keyboard.press(key)
        assert shown(page, 1)[0] == "ttp" and cell(page, 0, 1) == ""
        assert page.locator("figure img").count() == 3  # maps, curves, bolus
        assert page.locator(".tile b").all_inner_texts() == ["not known"] * 4
        assert "SD of a voxel" not in page.locator("#section-numbers th").all_inner_texts()
        assert not page.locator("#values .sd").first.is_visible(), "no column without numbers"


def one_slice(analysis):
    """Return what is left of a run when most is unknown."""
    grid = analysis.series.geometry
    thin = replace(grid, size=(*grid.size[:2], 1))

    def cut(image):
        return Image(image.values[2:3], thin, image.unit)

    inside = analysis.curves.mask
    kept = np.zeros_like(inside)
    kept[2] = inside[2]
    curves, keep = analysis.curves, kept[inside]
    curves = replace(curves, coefficients=curves.coefficients[keep], noise=curves.noise[keep], mask=inside[2:3])
    maps = {name: cut(image) for name, image in analysis.maps.items() if name != "delay"}
    nothing = cut(replace(analysis.aif.mask, values=np.zeros_like(inside)))
    unknown = {name: Volume(np.nan) for name in analysis.lesions.volumes_ml}
    lesions = replace(analysis.lesions, core=None, hypoperfusion=None, mismatch=None, volumes_ml=unknown, criteria=())
    series = replace(analysis.series, values=analysis.series.values[:, 2:3], geometry=thin)
    return replace(
        analysis,
        **{name: cut(getattr(analysis, name)) for name in ("brain", "csf", "vessels", "bone")},
        series=series,
        raw=series,
        curves=curves,
        aif=replace(analysis.aif, mask=nothing, candidates=(), fit=None, source="user's curve"),
        vof=None,
        motion=None,
        maps=Maps(**maps),
        lesions=replace(lesions, mismatch_ratio=np.nan, side="unknown", midplane=None),
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["1280", "390"])
def test_page_fits_and_follows_the_scheme(opened, size, scheme):
    with opened(viewport=size, color_scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        paper, ink = (page.evaluate(f"getComputedStyle(document.body).{name}") for name in ("backgroundColor", "color"))
        bright = [sum(map(int, colour.strip("rgb()").split(","))) for colour in (paper, ink)]
        assert (bright[0] > bright[1]) == (scheme == "light")
        light = "(images) => images.map((one) => one.currentSrc === one.src)"
        assert set(page.locator("figure.paper img").evaluate_all(light)) == {scheme == "light"}
        sizes = page.locator("body *").evaluate_all(
            "(all) => all.filter((one) => one.offsetParent).map((one) => parseFloat(getComputedStyle(one).fontSize))"
        )
        assert min(sizes) >= 12


def test_contents_lead_to_every_section_and_stay_in_sight(page):
    links, sections = page.locator("nav a"), page.locator("main section")
    wanted = [f"#{one}" for one in sections.evaluate_all("(all) => all.map((one) => one.id)")]
    assert links.evaluate_all("(all) => all.map((one) => one.getAttribute('href'))") == wanted
    for name in ("viewer", "quality", "software"):
        page.click(f"nav a[href='#section-{name}']")
        edge = page.locator("nav").bounding_box()
        assert edge["y"] == 0 and edge["height"] < 48  # one line, at the top of the window
        assert edge["height"] <= page.locator(f"#title-{name}").bounding_box()["y"] < WIDE["height"]
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()


def test_printed_the_key_numbers_stay_with_their_head(page):
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.getElementById('section-numbers')).breakInside") == "avoid"


@pytest.mark.parametrize("size", [(1440, 900), (1280, 760), (900, 900)], ids=["1440", "1280", "900"])
def test_pictures_values_and_curve_are_in_sight_at_once(opened, size):
    with opened(viewport={"width": size[0], "height": size[1]}) as page:
        page.click("nav a[href='#section-viewer']")
        for one in (".panes", ".controls", "#curve", "#values"):
            box = page.locator(f"#viewer {one}").bounding_box()
            assert box["y"] >= page.locator("nav").bounding_box()["height"], one
            assert box["y"] + box["height"] <= size[1] and box["x"] + box["width"] <= size[0], one
        over = "(all) => all.filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.className)"
        assert page.locator("#viewer .legend, #viewer .readings > *").evaluate_all(over) == []


def test_times_below_the_curve_are_round(page, tiny_analysis):
    page.evaluate("""() => {
        const kind = CanvasRenderingContext2D.prototype, fill = kind.fillText;
        window.written = [];
        kind.fillText = function (text, ...rest) {
            if (this.canvas.id === "curve" && this.textAlign === "center") window.written.push(text);
            return fill.call(this, text, ...rest);
        };
        window.dispatchEvent(new Event("resize"));
    }""")
    page.wait_for_function("window.written.includes('arrival')")
    ticks = page.evaluate("window.written.filter((text) => typeof text === 'number')")
    first, last = tiny_analysis.series.times_s[[0, -1]]
    step = ticks[1] - ticks[0]
    assert step in (1, 2, 5, 10, 20, 30, 60) and all(tick % step == 0 for tick in ticks)
    assert first <= ticks[0] < first + step and last - step < ticks[-1] <= last


def test_without_scripts_the_pictures_remain(opened):
    with opened(java_script_enabled=False) as page:
        assert not page.locator("#section-viewer").is_visible()
        assert not page.locator("nav a[href='#section-viewer']").is_visible()
        assert page.locator("figure img").first.is_visible()


@pytest.mark.parametrize("width, media", [(1280, "screen"), (800, "screen"), (390, "screen"), (687, "print")])
def test_words_in_the_place_of_a_number_stay_in_their_tile(opened, width, media):
    """The longest are those of a scan without a lesion; on paper they ended beyond the edge."""
    with opened(viewport={"width": width, "height": 900}) as page:
        page.emulate_media(media=media)
        tile = page.locator(".tile").last
        tile.locator("b").evaluate("(one) => { one.textContent = 'no hypoperfusion'; one.className = 'words'; }")
        right = "(one) => one.getBoundingClientRect().right"
        padding = tile.evaluate("(one) => parseFloat(getComputedStyle(one).paddingRight)")
        assert tile.locator("b").evaluate(right) <= tile.evaluate(right) - padding


def test_printed_a_folded_table_stays_with_its_head(page):
    page.emulate_media(media="print")
    kept = page.locator("summary + .scroll").evaluate_all(
        "(all) => all.map((one) => getComputedStyle(one).breakBefore)"
    )
    assert kept and set(kept) == {"avoid"}


def test_printed_the_pictures_remain(page):
    page.emulate_media(media="print", color_scheme="dark")
    assert not page.locator("#section-viewer").is_visible()
    assert page.locator("figure img").first.is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("figure.paper img").first.evaluate("(one) => one.currentSrc === one.src"), "on light paper"


def test_printed_the_page_fits_its_paper(opened):
    """What is wider makes a browser print all of it smaller."""
    paper = {"width": int((210 - 2 * 14) / 25.4 * 96), "height": 1000}  # A4 without its margins
    with opened(viewport=paper) as page:
        page.emulate_media(media="print")
        assert page.locator("table.of-12").count() == 2
        assert page.evaluate("document.documentElement.scrollWidth") <= paper["width"]


def test_pdf_has_pages_and_the_same_bytes(tmp_path, tiny_analysis):
    page = tmp_path / "page.html"
    page.write_text(render(Report("a name", "1", ())), encoding="utf-8")
    for name in ("a.pdf", "b.pdf"):
        write_pdf(page, tmp_path / name)
    content = (tmp_path / "a.pdf").read_bytes()
    assert content.startswith(b"%PDF") and b"/Type /Page" in content
    assert b"/StructTreeRoot" in content and b"/Outlines" in content, "headings can be heard and jumped to"
    assert content == (tmp_path / "b.pdf").read_bytes()
