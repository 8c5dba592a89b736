"""PyPeT in 3D Slicer: load a CT perfusion scan, Apply, correct, look. Everything computed is PyPeTLib's."""

import importlib
import importlib.util
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

if sys.version_info < (3, 10):  # noqa: UP036 - 3D Slicer before 5.10, where the imports below fail
    raise RuntimeError(_("PyPeT needs 3D Slicer 5.10 or later; this is an earlier one."))
if importlib.util.find_spec("PyPeTLib") is None:  # run from the source tree: the library is the folder beside
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from PyPeTLib.errors import InputError
from PyPeTLib.progress import silent
from PyPeTPanel import actions, controls, inputs, obstacles, packages, running, scan, selftest, tables, views
from PyPeTPanel.lastrun import LastRun
from PyPeTPanel.parameters import (
    CROSSHAIR,
    PyPeTParameterNode,
    forget_unknown,
    part_from,
    time_axis,
)
from PyPeTScene import study
from PyPeTScene.masks import show_only_masks_of

#: Where the project lives, as in the extension's CMakeLists.txt; its README has a tutorial.
HOME = "https://github.com/PyPeT/SlicerPyPeT"
#: What a run says that gets no memory.
OUT_OF_MEMORY = _(
    "More memory is needed than this computer has free. Close other programs or scenes, or load fewer slices; "
    "pypet run on the same files needs less, for it shows nothing."
)
#: Steps that need no maps.
STEPS_BEFORE_MAPS = tuple(f"stage{k}Button" for k in range(1, 6))
#: Packages that Reload loads again.
OWN_PACKAGES = ("PyPeTLib", "PyPeTScene", "PyPeTPanel")


class PyPeT(ScriptedLoadableModule):
    """What the list of modules shows."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("PyPeT")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Neuroimaging")]
        parent.dependencies = []
        parent.contributors = ["PyPeT developers"]
        parent.helpText = _(
            "Quantitative maps of brain perfusion (CBF, CBV, MTT, Tmax, TTP) from a CT perfusion scan. "
            "Select the scan, press Apply, look; correct the mask or the arterial input and apply again. "
            "Steps and remedies are in the {link}."
        ).format(link=f'<a href="{HOME}#tutorial">{_("tutorial")}</a>')
        parent.acknowledgementText = _(
            "It began from M. Borghouts and R. Su, PyPeT: A Python Tool for Automated Quantitative Brain CT Perfusion "
            "Analysis and Visualization, which is to be cited. Research use only."
        )
        icon = self.resourcePath("Icons/PyPeT.png")

        def started():
            views.describe_layouts()
            scan.offer_phantom(icon)

        slicer.app.connect("startupCompleted()", started)


class PyPeTWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: it moves between controls, parameter node and logic."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = self.parameters = self._gui = self._browser = None
        self._running = self._closing = self._left = False
        self._chosen, self._chosen_until = None, 0.0
        self._followed, self._tips = [], {}

    def setup(self):
        """Build the panel; works without a main window."""
        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath("UI/PyPeT.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.logic = PyPeTLogic()
        self._refresh_soon = running.soon(panel, self.refresh)
        self._tell_soon = running.soon(panel, self.tell_notice)
        self._set_up_controls()
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.on_scene_closing)
        self.addObserver(scene, scene.EndCloseEvent, self.on_scene_closed)
        self.addObserver(scene, scene.StartImportEvent, self.on_scene_importing)
        self.addObserver(scene, scene.EndImportEvent, self.on_scene_closed)
        self.addObserver(scene, scene.NodeAboutToBeRemovedEvent, self.on_node_leaving)
        self.addObserver(scene, scene.NodeRemovedEvent, self.on_node_removed)
        self.addObserver(actions.crosshair(), vtk.vtkCommand.ModifiedEvent, self.follow_crosshair)
        self.connect_parameters()  # tells the selector its types, without which a filter is none
        self.ui.scan.addAttribute("vtkMRMLSequenceNode", "DataNodeClassName", "vtkMRMLScalarVolumeNode")
        self.ui.scan.addAttribute("vtkMRMLScalarVolumeNode", "Sequences.BaseName")  # which proxy volumes have

    def _set_up_controls(self):
        """Describe the controls and connect them."""
        controls.describe_controls(self.ui)
        tables.set_up_table(self.ui.candidates, tables.CANDIDATE_COLUMNS)
        self.ui.candidates.setWordWrap(False)  # they are compared line by line; the whole remark is a tooltip
        tables.set_up_wrapped(self.ui.checks, tables.CHECK_COLUMNS, tables.TALLEST_CHECKS)
        tables.set_up_table(self.ui.medians, tables.MEDIAN_COLUMNS)
        tables.set_up_table(self.ui.similarity, tables.SIMILARITY_COLUMNS)
        tables.set_up_table(self.ui.lesions, tables.LESION_COLUMNS)
        tables.set_up_wrapped(self.ui.criteria, tables.CRITERION_COLUMNS)
        self._segments = [
            controls.SegmentChoice(selector, key)
            for selector, key in (
                (self.ui.brainSegment, "brain"), (self.ui.aifSegment, "aif"), (self.ui.vofSegment, "vof"),
            )
        ]  # fmt: skip
        self.ui.exported.visible = False
        self._connect_controls()

    def _connect_controls(self):
        ui = self.ui
        for button, slot in (
            (ui.loadFileButton, self.load_file),
            (ui.loadFolderButton, self.load_folder),
            (ui.createMaskButton, self.create_mask),
            (ui.correctMaskButton, self.correct_mask),
            (ui.applyButton, self.apply),
            (ui.exportButton, self.export),
        ):
            button.connect("clicked(bool)", lambda _checked=False, slot=slot: slot())
        ui.showTissueButton.connect("clicked(bool)", lambda _checked=False: self.show_tissue())
        for button, show in (
            (ui.fourViewsButton, None),
            (ui.mapsButton, views.maps_stage),
            (ui.curvesButton, views.maps_and_curves),
        ):
            button.connect("clicked(bool)", lambda _checked=False, show=show: self.show_layout(show))
        ui.stage7Button.connect("clicked(bool)", lambda _checked=False: self.compare())
        for key in ("aif", "vof"):
            place, load = getattr(ui, f"{key}PlaceButton"), getattr(ui, f"{key}LoadButton")
            place.connect("clicked(bool)", lambda _checked=False, key=key: self.place_points(key))
            load.connect("clicked(bool)", lambda _checked=False, key=key: self.load_curve(key))
        for k in range(1, 7):
            getattr(ui, f"stage{k}Button").connect("clicked(bool)", lambda _checked=False, k=k: self.show_stage(k))
        for name in views.MAP_LABELS:
            getattr(ui, f"{name}Button").connect("clicked(bool)", lambda _checked=False, n=name: self.show_map(n))
        ui.candidates.connect("cellClicked(int,int)", self.choose_candidate)
        ui.candidates.connect("cellActivated(int,int)", self.choose_candidate)  # by the keyboard
        ui.frame.connect("valueChanged(int)", self.show_frame)

    def enter(self):
        """Called when the user opens the module."""
        self._left = False
        self.connect_parameters()

    def exit(self):
        """Called when the user opens another module; nodes that go are then of interest when the panel is opened."""
        self._left = True

    def cleanup(self):
        """Called when the panel goes away."""
        self.removeObservers()
        self.disconnect_parameters()

    def onReload(self):  # noqa: N802 (Slicer's name)
        """Load the library and the panel's own packages again, too."""
        forget_own_packages()
        ScriptedLoadableModuleWidget.onReload(self)

    def connect_parameters(self):
        """Join the controls with the parameter node of the scene."""
        if self.parameters is None:
            self.parameters = self.logic.getParameterNode()
            self._put_right_first(self.parameters.parameterNode)
            self._gui = self.parameters.connectGui(self.ui)
            self.addObserver(self.parameters, vtk.vtkCommand.ModifiedEvent, self.refresh)
        if self.logic.notice:
            self._tell_soon.start(0)  # a window that waits would hold up whoever is loading the scene
        self.refresh()

    def _put_right_first(self, node):
        """Look at new values before Slicer's wrapper reads them, also one of before that is still about."""
        event = vtk.vtkCommand.ModifiedEvent
        if not self.hasObserver(node, event, self.put_right):
            self.addObserver(node, event, self.put_right, priority=1.0)

    def put_right(self, node, event=None):
        """Return values to their defaults that this version does not take: another scene or a script brought them."""
        if self.logic.put_right(node):
            self._tell_soon.start(0)

    def tell_notice(self):
        """Show once what the logic has to say of the scene's parameters."""
        notice, self.logic.notice = self.logic.notice, ""
        if notice:
            slicer.util.warningDisplay(notice)

    def disconnect_parameters(self):
        """Part the controls from the parameter node."""
        if self.parameters is not None:
            self.parameters.disconnectGui(self._gui)
            if self.hasObserver(self.parameters, vtk.vtkCommand.ModifiedEvent, self.refresh):
                self.removeObserver(self.parameters, vtk.vtkCommand.ModifiedEvent, self.refresh)
        for segment in self._segments:
            segment.parameters = None
        self.parameters = None

    def on_scene_closing(self, caller=None, event=None):
        """Forget what belongs to the scene; a run that is going on ends."""
        self._closing = True
        self.disconnect_parameters()
        self.logic.forget()
        self._scroll_with(None)

    def on_scene_importing(self, caller=None, event=None):
        """Part from the selectors, which forget their nodes while another scene is added."""
        self.disconnect_parameters()

    def on_scene_closed(self, caller=None, event=None):
        """Start again with the parameters of the new scene."""
        self.disconnect_parameters()
        self.connect_parameters()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def on_node_leaving(self, caller, event, node):
        """Part from a chosen node before the selectors hear that it goes."""
        if self.parameters is not None and not slicer.mrmlScene.IsClosing():
            part_from(self.parameters, node)

    def on_node_removed(self, caller, event):
        """Show what is left, once however many go; a run, whose nodes often only pass, does so at its end."""
        if not self._running:
            self.logic.keep_only_present()
            if not self._left:
                self._refresh_soon.start(0)

    # What the panel shows

    def refresh(self, caller=None, event=None):
        """Show what the parameter node says, and whether Apply can run."""
        if self.parameters is None or slicer.mrmlScene.IsClosing():
            return
        for segment in self._segments:
            segment.show(self.parameters)
        controls.show_own_controls(self.ui, self.parameters)
        self._follow_inputs()
        self.logic.keep_only_present()
        self.ui.timeAxis.text = time_axis(self.parameters)
        offered, made = self.ui.scan.sortFilterProxyModel(), scan.made_of_scans(self.parameters.scan)
        if list(offered.hiddenNodeIDs) != made:
            offered.hiddenNodeIDs = made
        self._follow_scan()
        self._allow_what_can_be_done(_("A run is going on.") if self._running else "")
        tables.show_results(self.ui, actions.scan_or_none(self.parameters.scan))

    def _follow_inputs(self):
        """Look again whether Apply can run when a chosen list of points or table changes; no more once it is not."""
        chosen = [
            (node, getattr(node, name) if name != "ModifiedEvent" else vtk.vtkCommand.ModifiedEvent)
            for node, name in inputs.chosen_inputs(self.parameters)
        ]
        for node, event in self._followed:
            if (node, event) not in chosen and self.hasObserver(node, event, self.refresh):
                self.removeObserver(node, event, self.refresh)
        for node, event in chosen:
            if not self.hasObserver(node, event, self.refresh):
                self.addObserver(node, event, self.refresh)
        self._followed = chosen

    def _follow_scan(self):
        """Let the slider go from the scan that was selected to the one that is."""
        scan_node = actions.scan_or_none(self.parameters.scan)
        if not self._running and self._browser is not actions.browser_of(scan_node, current=self._browser):
            self._set_up_frames()

    def _allow_what_can_be_done(self, running):
        """Enable what has something to work on; what has not says what would change that."""
        scan_node = actions.scan_or_none(self.parameters.scan)
        no_run = obstacles.no_run_possible(self.parameters)
        no_maps = obstacles.no_maps(scan_node, no_run)
        self._allow(["createMaskButton", "correctMaskButton"], running or obstacles.no_times(self.parameters))
        self._allow(["applyButton", *STEPS_BEFORE_MAPS, "showTissueButton"], running or no_run)
        self._allow(["stage6Button", "mapsButton", "curvesButton"], running or no_maps)
        self._allow(["stage7Button"], running or no_maps or obstacles.no_reference(self.parameters))
        for name in views.MAP_LABELS:
            self._allow([f"{name}Button"], obstacles.no_map(scan_node, name, no_maps))
        self.ui.delayButton.visible = self.ui.delayButton.enabled
        self._allow(["frame"], obstacles.no_frames(self._browser))
        self._allow(["exportButton"], running or obstacles.no_results(self.logic.analysis_of(scan_node)))

    def _allow(self, names, obstacle):
        """Enable controls, or let their tooltips say what stands in the way."""
        for name in names:
            control = getattr(self.ui, name)
            tip = self._tips.setdefault(name, control.toolTip)  # of the .ui file: nothing was written yet
            control.enabled, control.toolTip = not obstacle, obstacle or tip

    # What the buttons do

    def load_file(self):
        """Ask for a file and load it."""
        path = qt.QFileDialog.getOpenFileName(self.parent, _("Load a CT perfusion scan"), "", scan.FILES)
        self._load(path)

    def load_folder(self):
        """Ask for a folder of volumes or DICOM images and load it."""
        self._load(qt.QFileDialog.getExistingDirectory(self.parent, _("Load a folder of volumes or DICOM images")))

    def _load(self, path):
        if path:
            with slicer.util.tryWithErrorDisplay(_("The scan could not be loaded."), waitCursor=True):
                self.parameters.scan = scan.show_scan(scan.load_scan(path))
                show_only_masks_of(self.parameters.scan)

    def create_mask(self):
        """Make the brain mask and let Apply use it as a segment."""
        question = _("The brain mask was edited. Make a new one? The edited one stays, as a segment of its own.")
        if actions.edited_brain(self.parameters) and not slicer.util.confirmOkCancelDisplay(
            question, parent=self.parent
        ):
            return
        self._make_mask(_("The brain mask could not be made."))

    def correct_mask(self):
        """Open the brain mask in the Segment Editor; it is made where there is none."""
        failed = _("The brain mask could not be opened.")
        if not actions.has_brain(self.parameters):
            self._make_mask(failed)
        if actions.has_brain(self.parameters):  # the user may have stopped its making
            with slicer.util.tryWithErrorDisplay(failed, waitCursor=True):
                actions.correct_brain(self.parameters)
                show_only_masks_of(actions.scan_or_none(self.parameters.scan))

    def _make_mask(self, failed):
        with self._work(failed) as progress:
            actions.create_brain(self.parameters, self.logic, progress)
            show_only_masks_of(actions.scan_or_none(self.parameters.scan))

    def place_points(self, key):
        """Let the user drop points into the artery ("aif") or the vein ("vof")."""
        with slicer.util.tryWithErrorDisplay(_("Points could not be placed.")):
            inputs.place_points(self.parameters, key)

    def load_curve(self, key):
        """Ask for a file with the curve of the artery ("aif") or the vein ("vof") and let the next Apply use it."""
        path = qt.QFileDialog.getOpenFileName(self.parent, _("Load a curve"), "", inputs.CURVE_FILES)
        if path:
            with slicer.util.tryWithErrorDisplay(_("The curve could not be loaded."), waitCursor=True):
                inputs.load_curve(self.parameters, key, path)

    def choose_candidate(self, row, _column=0):
        """Let the next Apply use another arterial candidate; the first is the automatic one.

        A double click counts once, though Qt tells of it as a click, as an activation and as a second click.
        """
        if self._chosen == row and time.monotonic() < self._chosen_until:
            return
        self._chosen = None
        with self._work(_("The candidate could not be chosen.")) as progress:
            actions.choose_candidate(self.parameters, self.logic, row, progress)
            self._chosen = row
        self._chosen_until = time.monotonic() + slicer.app.doubleClickInterval / 1000.0

    def apply(self):
        """Compute and show; a cancelled run leaves the scene as it was."""
        if self._running or self.parameters is None:
            return
        failed = _("PyPeT could not compute the maps.")
        self._settle_edited(failed)
        with self._work(failed) as progress:
            scan_node = actions.scan_or_none(self.parameters.scan)
            former = [] if scan_node is None else views.maps_of(scan_node)
            self.logic.process_parameters(self.parameters, progress)
            if views.wants_maps(scan_node, former):
                self._show(views.maps_stage(scan_node))

    def _settle_edited(self, failed):
        """Ask what becomes of segments that the user edited and did not choose; not under an hourglass."""
        with slicer.util.tryWithErrorDisplay(failed):
            for key in actions.edited_inputs(self.parameters):
                question = _(
                    "The segment {name} was edited, but it is to be found automatically. Use the edited one (Yes), or "
                    "find it anew (No; the edited one stays, as a segment of its own)?"
                ).format(name=actions.SEGMENTS[key][1])
                use = slicer.util.confirmYesNoDisplay(question, parent=self.parent)
                actions.settle_edited(self.parameters, key, use)

    @contextmanager
    def _work(self, failed):
        """Yield a progress callback for what may take a while; one message where it fails, none where it is stopped."""
        with slicer.util.tryWithErrorDisplay(failed, waitCursor=True):
            try:
                self._start_or_end(True)
                with running.cancellable(self.parent, lambda: self._closing) as progress:
                    yield progress
            except running.Cancelled as stop:
                slicer.util.showStatusMessage(str(stop), 3000)
            except MemoryError as error:  # which has no text of its own
                raise InputError(OUT_OF_MEMORY) from error
            finally:
                self._start_or_end(False)

    def _start_or_end(self, started):
        self._running, self._closing = started, False
        if not started and self.parameters is not None:
            self._set_up_frames()
        self.refresh()

    def export(self):
        """Ask for a folder and write what ``pypet run`` writes; the report needs packages the user may install."""
        analysis = self.logic.analysis_of(actions.scan_or_none(self.parameters.scan))
        folder = qt.QFileDialog.getExistingDirectory(self.parent, _("Export the results into a folder"))
        if not folder:
            return
        failed = _("The results could not be written.")
        with slicer.util.tryWithErrorDisplay(failed):  # questions under an hourglass look like a program that hangs
            replaced = actions.in_the_way(analysis, folder)
            question = _("These files will be replaced or removed: {names}. Go on?").format(names=", ".join(replaced))
            if replaced and not slicer.util.confirmOkCancelDisplay(question, parent=self.parent):
                return
            packages.ensure_report()
            with slicer.util.WaitCursor():
                self.ui.exported.text = actions.export(analysis, folder)
                self.ui.exported.visible = True

    def show_map(self, name):
        """Show one map in all slice views."""
        scan_node = actions.scan_or_none(self.parameters.scan)
        views.show_volume(actions.map_volume(scan_node, name))
        show_only_masks_of(scan_node)

    def show_stage(self, number):
        """Show one step of the analysis in its layout."""
        failed = _("This step could not be shown.")
        if 1 < number < 6:  # the others are made of no mask
            self._settle_edited(failed)
        with self._work(failed) as progress:
            self._show(actions.stage(number, self.parameters, self.logic, progress))

    def show_tissue(self):
        """Show the chosen tissue curves beside a map."""
        failed = _("The curves could not be shown.")
        self._settle_edited(failed)
        with self._work(failed) as progress:
            self._show(actions.show_tissue(self.parameters, self.logic, progress))

    def compare(self):
        """Show a map beside the reference, with the metrics; SSIM needs a package that the user may install."""
        with slicer.util.tryWithErrorDisplay(_("The maps could not be compared.")):
            packages.ensure_skimage()
            with slicer.util.WaitCursor():
                self._show(actions.compare(self.parameters))
                self.refresh()

    def show_layout(self, show):
        """Show maps, maps and curves, or return to Slicer's four views."""
        with slicer.util.tryWithErrorDisplay(_("The views could not be arranged.")):
            if show is None:
                views.show_four_views()
            else:
                self._show(show(actions.scan_or_none(self.parameters.scan)))

    def follow_crosshair(self, caller=None, event=None):
        """Let the curve of the voxel follow the crosshair, once it is shown."""
        scan_node = None if self.parameters is None else actions.scan_or_none(self.parameters.scan)
        if self._running or scan_node is None or self.parameters.tissue_source != CROSSHAIR:
            return
        if self.logic.is_prepared_for(self.parameters):
            self.ui.tissueNote.text = actions.follow_crosshair(self.logic, scan_node)

    def _show(self, stage):
        """Show a stage and what it says."""
        views.arrange(stage)
        running.settle()
        views.fill(stage)
        show_only_masks_of(actions.scan_or_none(self.parameters.scan))
        self.ui.stageNote.text = stage.note
        self._set_up_frames(stage.frame, stage.volumes)

    def _set_up_frames(self, frame=None, volumes=()):
        """Let the slider run over the frames of these volumes, or of what is shown of the selected scan."""
        scan_node = actions.scan_or_none(self.parameters.scan)
        self._scroll_with(actions.browser_of(scan_node, volumes, self._browser))
        if self._browser is None:
            return
        current = self._browser.GetSelectedItemNumber() if frame is None else frame
        self.ui.frame.maximum = self._browser.GetNumberOfItems() - 1
        self.ui.frame.value = current
        self.show_frame(current)

    def _scroll_with(self, browser):
        """Let the slider scroll a browser and follow it, and no more the one before."""
        event, former = vtk.vtkCommand.ModifiedEvent, self._browser
        if browser is former:
            return
        if former is not None and self.hasObserver(former, event, self.follow_browser):
            self.removeObserver(former, event, self.follow_browser)
        if browser is None:
            self.ui.frameTime.text = ""
        else:
            self.addObserver(browser, event, self.follow_browser)
        self._browser = browser

    def follow_browser(self, caller=None, event=None):
        """Let the slider stand where the browser does, whoever scrolled: Slicer's toolbar, playback, a script."""
        frame = -1 if self._browser is None else self._browser.GetSelectedItemNumber()
        if frame >= 0:
            blocked = self.ui.frame.blockSignals(True)  # it is there already
            self.ui.frame.value = frame
            self.ui.frame.blockSignals(blocked)
            self.ui.frameTime.text = actions.time_of_frame(self._browser, frame)

    def show_frame(self, frame):
        """Scroll to a frame."""
        if self._browser is not None and slicer.mrmlScene.IsNodePresent(self._browser):
            actions.go_to_frame(self._browser, frame)
            self.ui.frameTime.text = actions.time_of_frame(self._browser, frame)


class PyPeTLogic(ScriptedLoadableModuleLogic, LastRun):
    """Scene in, nodes out, for the panel and for scripts; keeps the last run for stages and export.

    Attributes
    ----------
    notice : str
        What is to be said of the parameters of the scene, "" where that is nothing; shown by the panel.
    """

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        LastRun.__init__(self)
        self.notice = ""

    def getParameterNode(self):  # noqa: N802 (Slicer's name)
        """Return the wrapped parameter node of the scene."""
        node = super().getParameterNode()
        kept = vars(slicer.modules).setdefault("PyPeTNodes", [])  # outlives Reload
        if node not in kept:  # Slicer 5.10 ends if Python forgets the node while a part of its wrapper observes it
            kept.append(node)
        self.put_right(node)
        return PyPeTParameterNode(node)

    def put_right(self, node):
        """Return values of a parameter node to their defaults that this version does not take; tell whether any was."""
        forgotten = forget_unknown(node)
        if forgotten:
            text = _("Parameters of another version of PyPeT, or of a script, cannot be used and have their defaults:")
            self.notice = "\n".join([self.notice or text, *forgotten])
        return bool(forgotten)

    def load(self, path):
        """Load a 4D file, or a folder of volumes or DICOM images, and return its sequence."""
        return scan.load_scan(path)

    def phantom(self):
        """Make the digital head, which is the sample data too, and return its sequence."""
        return scan.load_phantom()

    def process(
        self,
        scan_node,
        settings=None,
        *,
        interval_s=None,
        brain=None,
        aif=None,
        vof=None,
        force=False,
        progress=silent,
    ):
        """Analyse a scan and return the nodes that show the result, by name.

        Parameters
        ----------
        scan_node : vtkMRMLSequenceNode, its proxy volume, or vtkMRMLMultiVolumeNode
            The scan in HU.
        settings : Settings, optional
            What to do.
        interval_s : float, optional
            Time between frames in s, where the scan does not tell.
        brain : tuple of segmentation node and segment identity, optional
            Segment to be used instead of the automatic mask.
        aif, vof : tuple of segmentation node and segment identity, vtkMRMLMarkupsNode or vtkMRMLTableNode, optional
            Segment, points in the vessel, or table of its curve, to be used instead of what is found automatically.
        force : bool
            Show a result even where the data allow no trustworthy one.
        progress : callable, optional
            ``progress(fraction, text)``; raising from it cancels.

        Returns
        -------
        dict of str to vtkMRMLNode
            "cbf", "cbv", ..., "segmentation", "enhancement", "enhancement_volume", "browser", "curves",
            "curves_chart", "bolus_chart", "tissue", "tissue_chart", "medians", "lesions"; where motion was measured
            "motion_chart".
        """
        told = study.Request(scan_node, settings or study.DEFAULTS, interval_s, brain, aif, vof, force)
        return self.run(told, progress)


class PyPeTTest(ScriptedLoadableModuleTest):
    """The self-test inside the application, also without a main window: phantom, Apply, truth, correction."""

    def setUp(self):
        """Start with an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self):  # noqa: N802 (unittest's name)
        """Run the self-test."""
        self.setUp()
        self.test_phantom()

    def test_phantom(self):
        """Apply on a phantom, compare with its truth, correct the mask, apply again."""
        selftest.check_phantom(PyPeTLogic(), self.delayDisplay)


def forget_own_packages():
    """Let the next import read PyPeT's packages from disk."""
    for name in [name for name in sys.modules if name.partition(".")[0] in OWN_PACKAGES]:
        del sys.modules[name]
    importlib.invalidate_caches()
