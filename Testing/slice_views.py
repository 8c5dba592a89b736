"""What the views of a layout show, drawn offscreen from the nodes of the scene by the classes that draw in Slicer.

Of Slicer are the image (vtkMRMLSliceLogic), segments and legends (displayable managers) and charts (vtkChartXY, set up
from the nodes as qMRMLPlotView does). Drawn here to look like it: bars above the views, name and R/L in the corners.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

#: Colour picture, shape (row, column, 3), uint8; the first row is the top.
Picture = npt.NDArray[np.uint8]
Size = tuple[int, int]

#: What Slicer's slice views draw beside the image.
MANAGERS = (
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLColorLegendDisplayableManager",
)
#: Slicer writes the names of the volumes 14 points high; here they shall be legible in a picture made smaller.
NAME_SIZE, LETTER_SIZE = 16, 22
#: Height of the bar above a view and the gap between views in pixels, and colours of the window (RGB).
BAR, GAP = 26, 6
WINDOW, GROOVE, INK = (38, 40, 44), (110, 114, 122), (236, 238, 240)
#: What qMRMLPlotView sets itself: background (RGB) of the chart.
CHART_PAPER = (255, 253, 246)
#: Without OpenGL the first drawing ends the process instead of raising: looked at from another one.
PROBE = """
import vtk
window = vtk.vtkRenderWindow()
window.SetOffScreenRendering(1)
window.SetSize(8, 8)
window.Render()
raise SystemExit(0 if window.SupportsOpenGL() else 3)
"""


@functools.cache
def missing() -> str:
    """Return what this machine lacks to draw offscreen, "" if nothing."""
    probe = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=False)
    if probe.returncode:
        return "OpenGL draws nothing here (no EGL, no OSMesa); Debian packages: libegl1 libegl-mesa0 libgl1-mesa-dri"
    return ""


class SliceView:
    """A slice view on the slice logic of the layout; make it before the layout shows volumes, as Slicer does.

    Parameters
    ----------
    logic : vtkMRMLSliceLogic
        With its slice node and composite node, among the application's slice logics.
    size : tuple of int
        Width and height in pixels.
    """

    def __init__(self, logic: Any, size: Size):
        import vtk

        self.logic = logic
        self.renderer, self.window = vtk.vtkRenderer(), _window(size)
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        self.window.AddRenderer(self.renderer)
        self._interactor = vtk.vtkRenderWindowInteractor()  # the displayable managers ask for it
        self._interactor.SetRenderWindow(self.window)
        self._mapper = self._add_image()
        self._name = self._add_text(NAME_SIZE, bold=False)
        self._letters = self._add_text(LETTER_SIZE, bold=True)
        self._managers = _managers(self.renderer)
        self._managers.SetMRMLDisplayableNode(logic.GetSliceNode())
        self.resize(size)

    def resize(self, size: Size) -> None:
        """Give the view another size, as dragging the window does."""
        self.window.SetSize(*size)
        self.logic.ResizeSliceNode(*size)

    def picture(self) -> Picture:
        """Draw the view as the nodes are now."""
        left, right = edge_letters(self.logic.GetSliceNode())
        self._letters.SetText(self._letters.LeftEdge, f" {left}")
        self._letters.SetText(self._letters.RightEdge, f"{right} ")
        self._name.SetText(self._name.LowerLeft, _volume_names(self.logic))
        self._mapper.SetInputConnection(self.logic.GetImageDataConnection())
        return _grab(self.window)

    def close(self) -> None:
        """Let go of the scene and of the graphics."""
        self._managers.SetMRMLDisplayableNode(None)
        self.window.Finalize()

    def _add_image(self) -> Any:
        """Add the slice image as ctkVTKSliceView does: the logic gives RGBA, which is drawn as it is."""
        import vtk

        mapper, actor = vtk.vtkImageMapper(), vtk.vtkActor2D()
        mapper.SetColorWindow(255)
        mapper.SetColorLevel(127.5)
        actor.SetMapper(mapper)
        actor.GetProperty().SetDisplayLocationToBackground()
        self.renderer.AddViewProp(actor)
        return mapper

    def _add_text(self, size: int, *, bold: bool) -> Any:
        import vtk

        text = vtk.vtkCornerAnnotation()
        text.SetMinimumFontSize(size)
        text.SetMaximumFontSize(size)
        text.SetNonlinearFontScaleFactor(1)
        text.GetTextProperty().SetBold(bold)
        text.GetTextProperty().ShadowOn()
        self.renderer.AddViewProp(text)
        return text


@dataclass(frozen=True)
class Place:
    """Where a view stands: its name in the layout, its class, and left, top, width, height in pixels."""

    name: str
    kind: str
    left: int
    top: int
    width: int
    height: int


class Screen:
    """All views of the current layout at the size they have on a screen; follows the layout manager.

    Parameters
    ----------
    manager : qSlicerLayoutManager
        Whose layouts are drawn.
    size : tuple of int
        Width and height of the part of the window that shows views, in pixels.
    """

    def __init__(self, manager: Any, size: Size):
        self._manager, self.size = manager, size
        self._views: dict[str, SliceView] = {}
        manager.connect("layoutChanged(int)", self._follow)
        self._follow()

    def resize(self, size: Size) -> None:
        """Give the part of the window that shows views another size; Slicer's layout changes with it or not."""
        self.size = size
        self._follow()

    def picture(self) -> Picture:
        """Draw the current layout."""
        import slicer
        from PIL import Image, ImageDraw

        sheet = Image.new("RGB", self.size, WINDOW)
        pen = ImageDraw.Draw(sheet)
        for place in self.places():
            node = slicer.mrmlScene.GetSingletonNode(place.name, place.kind)
            if place.kind == "vtkMRMLSliceNode":
                view, right = self._views[place.name].picture(), _draw_slider(pen, place, self._views[place.name].logic)
            elif place.kind == "vtkMRMLPlotViewNode":
                view, right = chart_picture(node.GetPlotChartNode(), (place.width, place.height - BAR)), ""
            else:
                continue
            _draw_bar(pen, place, node, right)
            sheet.paste(Image.fromarray(view), (place.left, place.top + BAR))
        return np.asarray(sheet)

    def slice_picture(self, name: str) -> Picture:
        """Draw one slice view without its bar."""
        return self._views[name].picture()

    def places(self) -> list[Place]:
        """Return the views of the current layout and where they stand."""
        description = self._manager.layoutLogic().GetLayoutNode().GetCurrentLayoutDescription()
        return list(_places(ElementTree.fromstring(description), (0, 0, *self.size)))

    def close(self) -> None:
        """Let go of the scene."""
        self._manager.disconnect("layoutChanged(int)", self._follow)
        for view in self._views.values():
            view.close()
        self._views.clear()

    def _follow(self, _layout: int = 0) -> None:
        """Make the slice views that are new and give all their size, before anything is shown in them."""
        for place in self.places():
            if place.kind != "vtkMRMLSliceNode":
                continue
            size = (place.width, place.height - BAR)
            if place.name in self._views:
                self._views[place.name].resize(size)
            else:
                logic = self._manager.sliceWidget(place.name).sliceLogic()
                self._views[place.name] = SliceView(logic, size)


def chart_picture(chart: Any, size: Size) -> Picture:
    """Draw a vtkMRMLPlotChartNode with VTK's charts, fonts and colours as qMRMLPlotView sets them."""
    import vtk

    view, drawn = vtk.vtkContextView(), vtk.vtkChartXY()
    view.SetRenderWindow(_window(size))
    view.GetScene().AddItem(drawn)
    drawn.GetBackgroundBrush().SetColor(*CHART_PAPER, 255)
    for k in range(chart.GetNumberOfPlotSeriesNodes()):
        _add_series(drawn, chart.GetNthPlotSeriesNode(k))
    drawn.SetTitle(chart.GetTitle() if chart.GetTitleVisibility() else "")
    drawn.GetTitleProperties().SetFontSize(chart.GetTitleFontSize())
    drawn.SetShowLegend(bool(chart.GetLegendVisibility()))
    drawn.GetLegend().GetLabelProperties().SetFontSize(chart.GetLegendFontSize())
    titles = {vtk.vtkAxis.BOTTOM: chart.GetXAxisTitle(), vtk.vtkAxis.LEFT: chart.GetYAxisTitle()}
    for which, title in titles.items():
        axis = drawn.GetAxis(which)
        axis.SetTitle(title or "")
        axis.SetGridVisible(bool(chart.GetGridVisibility()))
        axis.GetTitleProperties().SetBold(False)
        axis.GetTitleProperties().SetUseTightBoundingBox(True)  # Mesa repeats the upper rows of a looser one below it
        axis.GetTitleProperties().SetFontSize(chart.GetAxisTitleFontSize())
        axis.GetLabelProperties().SetFontSize(chart.GetAxisLabelFontSize())
    if not chart.GetYAxisRangeAuto():
        drawn.GetAxis(vtk.vtkAxis.LEFT).SetBehavior(vtk.vtkAxis.FIXED)
        drawn.GetAxis(vtk.vtkAxis.LEFT).SetUnscaledRange(*chart.GetYAxisRange())
    return _grab(view.GetRenderWindow())


def edge_letters(slice_node: Any) -> tuple[str, str]:
    """Return the letters for the left and the right edge of a slice view: "R" and "L" in radiological orientation."""
    to_ras = slice_node.GetXYToRAS()
    across = [to_ras.GetElement(row, 0) for row in range(3)]
    axis = int(np.argmax(np.abs(across)))
    ends = ("LR", "PA", "IS")[axis]
    return (ends[0], ends[1]) if across[axis] > 0 else (ends[1], ends[0])


def save_png(picture: Picture, path: Path) -> None:
    """Write a picture as PNG."""
    from PIL import Image

    Image.fromarray(picture).save(path, optimize=True)


def _window(size: Size) -> Any:
    import vtk

    window = vtk.vtkRenderWindow()
    window.SetOffScreenRendering(1)
    window.SetMultiSamples(8)
    window.SetSize(*size)
    return window


def _grab(window: Any) -> Picture:
    """Draw a window and return its pixels."""
    import vtk
    from vtk.util import numpy_support

    window.Render()
    grabber = vtk.vtkWindowToImageFilter()
    grabber.SetInput(window)
    grabber.ReadFrontBufferOff()
    grabber.Update()
    image = grabber.GetOutput()
    width, height, _ = image.GetDimensions()
    pixels = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
    return np.array(pixels.reshape(height, width, -1)[::-1, :, :3])


def _managers(renderer: Any) -> Any:
    """Return the displayable managers of a slice view."""
    import slicer

    factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
    factory.SetMRMLApplicationLogic(slicer.app.applicationLogic())
    for name in MANAGERS:
        if not factory.IsDisplayableManagerRegistered(name):
            factory.RegisterDisplayableManager(name)
    return factory.InstantiateDisplayableManagers(renderer)


def _volume_names(logic: Any) -> str:
    """Return what Slicer writes into the lower left corner."""
    layers = (("F", logic.GetForegroundLayer()), ("B", logic.GetBackgroundLayer()))
    volumes = ((letter, layer.GetVolumeNode()) for letter, layer in layers)
    return "\n".join(f"{letter}: {volume.GetName()}" for letter, volume in volumes if volume is not None)


def _places(layout: ElementTree.Element, box: tuple[int, int, int, int]) -> Iterator[Place]:
    """Yield the views of a layout's description, which share the space evenly."""
    children = [item[0] for item in layout.findall("item")]
    left, top, width, height = box
    for k, child in enumerate(children):
        if layout.get("type") == "vertical":
            first, last = _share(k, len(children), height)
            part = (left, top + first, width, last - first)
        else:
            first, last = _share(k, len(children), width)
            part = (left + first, top, last - first, height)
        if child.tag == "layout":
            yield from _places(child, part)
        else:
            yield Place(child.get("singletontag", ""), child.get("class", ""), *part)


def _share(k: int, count: int, length: int) -> tuple[int, int]:
    """Return the first pixel of part k of a length, and the one behind its last."""
    one = (length - GAP * (count - 1)) // count
    return k * (one + GAP), k * (one + GAP) + one


def _draw_bar(pen: Any, place: Place, node: Any, right: str) -> None:
    """Draw the bar above a view: its label on its colour, and a text at the right end."""
    colour = tuple(round(255 * share) for share in node.GetLayoutColor())
    pen.rectangle((place.left, place.top, place.left + 34, place.top + BAR - 1), fill=colour)
    middle = place.top + BAR // 2
    pen.text((place.left + 17, middle), node.GetLayoutLabel(), fill=INK, font=_font(), anchor="mm")
    pen.text((place.left + place.width - 8, middle), right, fill=INK, font=_font(), anchor="rm")


def _draw_slider(pen: Any, place: Place, logic: Any) -> str:
    """Draw the slider of a slice and return where the slice lies."""
    bounds, offset = [0.0] * 6, logic.GetSliceOffset()
    logic.GetLowestVolumeSliceBounds(bounds)
    first, last, middle = place.left + 46, place.left + place.width - 100, place.top + BAR // 2
    share = (offset - bounds[4]) / (bounds[5] - bounds[4]) if bounds[5] > bounds[4] else 0.5
    handle = first + round((last - first) * min(max(share, 0.0), 1.0))
    pen.line((first, middle, last, middle), fill=GROOVE, width=3)
    pen.ellipse((handle - 6, middle - 6, handle + 6, middle + 6), fill=INK)
    return f"S: {offset:.1f} mm"


@functools.cache
def _font() -> Any:
    """Return the font of the bars: the one that comes with matplotlib, everywhere the same."""
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), 14)


def _add_series(drawn: Any, series: Any) -> None:
    """Add a vtkMRMLPlotSeriesNode as a line."""
    import vtk

    pens = {series.LineStyleSolid: vtk.vtkPen.SOLID_LINE, series.LineStyleDash: vtk.vtkPen.DASH_LINE}
    line = vtk.vtkPlotLine()
    line.SetInputData(series.GetTableNode().GetTable(), series.GetXColumnName(), series.GetYColumnName())
    line.SetWidth(series.GetLineWidth())
    line.SetColorF(*series.GetColor())
    line.GetPen().SetLineType(pens[series.GetLineStyle()])
    line.SetMarkerStyle(vtk.vtkPlotPoints.NONE)
    line.SetLabel(series.GetName())
    drawn.AddPlot(line)
