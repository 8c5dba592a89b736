"""What the panel keeps in the scene: the scan, the segments, and every setting under the library's own name."""

import math
from collections.abc import Iterator
from typing import Annotated, Any, get_args

import slicer
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Choice, Default, WithinRange, parameterNodeWrapper

from PyPeTLib.errors import InputError
from PyPeTLib.settings import SettingInfo, Settings, describe_settings
from PyPeTLib.times import MAXIMUM_INTERVAL_S
from PyPeTScene.series import describe_time_axis, scan_of

INFO = {info.name: info for info in describe_settings()}
#: Settings of the automatic brain mask.
OF_BRAIN = ("brain", "bone_hu", "tissue_low_hu", "tissue_high_hu", "brain_opening_mm")
#: Attribute of a scan's node: what reading its files brought to light.
NOTES = "PyPeT.Notes"
#: Where a mask or a curve comes from.
AUTOMATIC, SEGMENT, POINTS, CURVE = "automatic", "segment", "points", "curve"
#: What "aif" and "vof" are called in messages.
VESSELS = {"aif": _("Arterial input"), "vof": _("Venous output")}
#: Which tissue curves are shown beside those of the brain and its halves.
HALVES, SEGMENTS_OF, CROSSHAIR = "brain and halves", "segments", "voxel under the crosshair"
#: What may be a scan; the class of MultiVolumes exists only where their module is loaded.
ScanNode = slicer.vtkMRMLSequenceNode | slicer.vtkMRMLScalarVolumeNode | None
if hasattr(slicer, "vtkMRMLMultiVolumeNode"):
    ScanNode = slicer.vtkMRMLMultiVolumeNode | ScanNode
#: Where the brain mask and a vessel come from, as fields.
Source = Annotated[str, Choice([AUTOMATIC, SEGMENT]), Default(AUTOMATIC)]
VesselSource = Annotated[str, Choice([AUTOMATIC, SEGMENT, POINTS, CURVE]), Default(AUTOMATIC)]
#: What these and the settings with words take, and what they are by default; the settings that are numbers.
WORDS = {
    **{f"{key}_source": ((AUTOMATIC, SEGMENT, POINTS, CURVE), AUTOMATIC) for key in VESSELS},
    "brain_source": ((AUTOMATIC, SEGMENT), AUTOMATIC),
    "tissue_source": ((HALVES, SEGMENTS_OF, CROSSHAIR), HALVES),
    **{name: (info.choices, info.default) for name, info in INFO.items() if info.choices},
}
NUMBERS = {name: info for name, info in INFO.items() if not info.choices}
NUMBERS["interval_s"] = SettingInfo("interval_s", 0.0, "s", 0.0, MAXIMUM_INTERVAL_S, (), "time between frames")
Segmentation = slicer.vtkMRMLSegmentationNode | None
Points = slicer.vtkMRMLMarkupsFiducialNode | None
Table = slicer.vtkMRMLTableNode | None


def number(name: str) -> Any:
    """Return the type of a numeric setting: default and range."""
    info = INFO[name]
    if isinstance(info.default, int):
        return Annotated[int, WithinRange(int(info.low), int(info.high)), Default(info.default)]
    return Annotated[float, WithinRange(info.low, info.high), Default(info.default)]


def digits_and_step(info: SettingInfo) -> tuple[int, float]:
    """Return how many decimals the control of a numeric setting shows, and its step.

    They are no annotations of its type: Slicer takes them from there, and warns of each at every start.
    """
    power = math.floor(math.log10((info.high - info.low) / 50.0))
    digits = max(len(f"{value:g}".partition(".")[2]) for value in (info.default, info.low))
    return 0 if power >= 0 and digits == 0 else max(2, digits, -power), 10.0**power


def choice(name: str) -> Any:
    """Return the type of a setting that takes one of a few words."""
    return Annotated[str, Choice(list(INFO[name].choices)), Default(INFO[name].default)]


@parameterNodeWrapper
class PyPeTParameterNode:
    """Everything the user chose; it is saved in the scene and comes back with it.

    ``interval_s`` is 0 where the scan tells its own times.
    """

    scan: ScanNode
    interval_s: Annotated[float, WithinRange(0.0, MAXIMUM_INTERVAL_S), Default(0.0)]

    brain_source: Source
    brain_segmentation: Segmentation
    brain_segment: str
    brain: choice("brain")
    bone_hu: number("bone_hu")
    tissue_low_hu: number("tissue_low_hu")
    tissue_high_hu: number("tissue_high_hu")
    brain_opening_mm: number("brain_opening_mm")

    motion: choice("motion")
    motion_tolerance_mm: number("motion_tolerance_mm")
    motion_limit_mm: number("motion_limit_mm")
    motion_beyond: choice("motion_beyond")
    denoise: choice("denoise")
    bilateral_sigma_mm: number("bilateral_sigma_mm")
    bilateral_similarity: number("bilateral_similarity")
    bilateral_anatomy: number("bilateral_anatomy")
    gaussian_sigma_mm: number("gaussian_sigma_mm")
    curvature_flow_iterations: number("curvature_flow_iterations")
    curvature_flow_step: number("curvature_flow_step")

    aif_source: VesselSource
    aif_segmentation: Segmentation
    aif_segment: str
    aif_points: Points
    aif_curve: Table
    vof_source: VesselSource
    vof_segmentation: Segmentation
    vof_segment: str
    vof_points: Points
    vof_curve: Table
    scale_to_vein: bool = True

    method: choice("method")
    residue: choice("residue")
    mtt_prior: choice("mtt_prior")
    timing_prior: choice("timing_prior")
    voxel_tissues: choice("voxel_tissues")
    bsvd_cutoff: number("bsvd_cutoff")
    ssvd_cutoff: number("ssvd_cutoff")
    oscillation_index: number("oscillation_index")
    tikhonov_strength: number("tikhonov_strength")
    tikhonov_choice: choice("tikhonov_choice")
    correction: choice("correction")
    slope_window_s: number("slope_window_s")

    arrival_rise: number("arrival_rise")
    minimum_enhancement_hu: number("minimum_enhancement_hu")
    drift: choice("drift")
    aif_minimum_volume_ml: number("aif_minimum_volume_ml")
    aif_maximum_volume_ml: number("aif_maximum_volume_ml")
    csf_hu: number("csf_hu")
    bone_rim_hu: number("bone_rim_hu")
    vessel_cbv: number("vessel_cbv")
    tissue_density_g_ml: number("tissue_density_g_ml")
    hematocrit_large: number("hematocrit_large")
    hematocrit_small: number("hematocrit_small")
    map_smoothing_mm: number("map_smoothing_mm")
    normalise: choice("normalise")
    colours: choice("colours")

    lesion_rule: choice("lesion_rule")
    core_map: choice("core_map")
    core_rcbf: number("core_rcbf")
    core_cbv: number("core_cbv")
    hypoperfusion_map: choice("hypoperfusion_map")
    hypoperfusion_tmax_s: number("hypoperfusion_tmax_s")
    hypoperfusion_delay_s: number("hypoperfusion_delay_s")
    hypoperfusion_rmtt: number("hypoperfusion_rmtt")
    core_inside: choice("core_inside")
    late_probability: number("late_probability")
    vessel_margin_mm: number("vessel_margin_mm")
    smallest_lesion_ml: number("smallest_lesion_ml")
    normal_tmax_s: number("normal_tmax_s")
    both_sides_share: number("both_sides_share")
    both_sides_ml: number("both_sides_ml")
    midplane_limit_degrees: number("midplane_limit_degrees")
    force: bool = False

    tissue_source: Annotated[str, Choice([HALVES, SEGMENTS_OF, CROSSHAIR]), Default(HALVES)]
    tissue_segmentation: Segmentation
    compared_map: slicer.vtkMRMLScalarVolumeNode | None
    reference_map: slicer.vtkMRMLScalarVolumeNode | None


#: The fields that are nodes; and those that name a segment of one.
NODES = [name for name, hint in PyPeTParameterNode.__annotations__.items() if type(None) in get_args(hint)]
SEGMENT_FIELDS = {f"{key}_segmentation": f"{key}_segment" for key in ("brain", "aif", "vof")}


def part_from(parameters: PyPeTParameterNode, node: Any) -> None:
    """Choose nothing in place of a node that leaves the scene; Slicer's selectors would take the next of their list.

    A scan goes with its sequence also where its proxy volume was chosen.
    """
    for name in NODES:
        chosen = getattr(parameters, name)
        if chosen is node or (name == "scan" and _stands_for(chosen, node)):
            setattr(parameters, name, None)
            if name in SEGMENT_FIELDS:
                setattr(parameters, SEGMENT_FIELDS[name], "")


def _stands_for(chosen: Any, node: Any) -> bool:
    """Tell whether a chosen node is the proxy volume of a sequence."""
    try:
        return scan_of(chosen) is node
    except InputError:
        return False


def forget_unknown(node: Any) -> list[str]:
    """Return values of a scene's parameter node to their defaults that this version does not take; say which.

    Such a scene was saved with another version. Its controls could not show them, and the panel would not open.

    Parameters
    ----------
    node : vtkMRMLScriptedModuleNode
        Before it is wrapped.
    """
    refused = [*_unknown_words(node), *_unknown_numbers(node)]
    with slicer.util.NodeModify(node):  # whoever reads along sees all of them put right at once
        for name, default, _said in refused:
            node.SetParameter(name, str(default))
    return [said for _name, _default, said in refused]


def _unknown_words(node: Any) -> Iterator[tuple[str, str, str]]:
    """Yield name, default and what is to be said of each setting of words that has another one."""
    for name, (allowed, default) in WORDS.items():
        found = node.GetParameter(name)
        if found and found not in allowed:
            text = _("{name}: {default} instead of {found} (one of {allowed} is needed)")
            yield name, default, text.format(name=name, default=default, found=found, allowed=", ".join(allowed))


def _unknown_numbers(node: Any) -> Iterator[tuple[str, float, str]]:
    """Yield the same of each number that is none, or out of its range."""
    for name, info in NUMBERS.items():
        found = node.GetParameter(name)
        if found and not _in_range(found, info):
            text = _("{name}: {default} instead of {found} ({allowed} is needed)")
            said = text.format(name=name, default=f"{info.default:g}", found=found, allowed=info.allowed)
            yield name, info.default, said


def _in_range(text: str, info: SettingInfo) -> bool:
    """Tell whether a number is one and can be the value of a setting."""
    try:
        return info.low <= type(info.default)(text) <= info.high
    except ValueError:
        return False


def settings_of(parameters: PyPeTParameterNode) -> Settings:
    """Return the settings as the library takes them; `InputError` where they do not go together."""
    values = {name: getattr(parameters, name) for name in INFO if name != "partial_volume"}
    return Settings(**values, partial_volume="venous" if parameters.scale_to_vein else "none")


def brain_settings_of(parameters: PyPeTParameterNode) -> Settings:
    """Return the settings of the automatic brain mask alone: whether others go together does not matter to it."""
    return Settings(**{name: getattr(parameters, name) for name in OF_BRAIN})


def interval_of(parameters: PyPeTParameterNode) -> float | None:
    """Return the time between frames in s that the user typed, None where there is none."""
    return parameters.interval_s or None


def segment_of(parameters: PyPeTParameterNode, key: str) -> tuple[Any, str] | None:
    """Return segmentation and segment chosen for "brain", "aif" or "vof"; None where it is found automatically.

    Raises
    ------
    InputError
        If a segment is wanted and none is chosen.
    """
    if getattr(parameters, f"{key}_source") == AUTOMATIC:
        return None
    segmentation, segment = getattr(parameters, f"{key}_segmentation"), getattr(parameters, f"{key}_segment")
    what = VESSELS.get(key, _("Brain mask"))
    if segmentation is None or segmentation.GetSegmentation().GetSegment(segment) is None:
        text = _("{what}: a segment is needed; found none. Select one, or choose '{automatic}'.")
        raise InputError(text.format(what=what, automatic=AUTOMATIC))
    return segmentation, segment


def use_segment(parameters: PyPeTParameterNode, key: str, segmentation: Any, segment: str) -> None:
    """Let the next Apply take "brain", "aif" or "vof" from a segment."""
    with slicer.util.NodeModify(parameters):
        setattr(parameters, f"{key}_segmentation", segmentation)
        setattr(parameters, f"{key}_segment", segment)
        setattr(parameters, f"{key}_source", SEGMENT)


def time_axis(parameters: PyPeTParameterNode) -> str:
    """Return the scan's frames and times in one line, with what reading it brought to light; or what is missing."""
    typed = interval_of(parameters)
    try:
        axis = describe_time_axis(parameters.scan, typed)
    except InputError as error:
        return str(error)
    notes = scan_of(parameters.scan).GetAttribute(NOTES) or ""
    unread = " " + _("The interval typed is not used.") if typed is not None and _tells_times(parameters.scan) else ""
    return f"{axis}.{unread} {notes}".rstrip()


def _tells_times(scan: Any) -> bool:
    """Tell whether a scan knows its times without an interval."""
    try:
        describe_time_axis(scan)
    except InputError:
        return False
    return True
