"""Segmentation and masks, on real nodes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import slicer
from matplotlib import colormaps
from scene_cases import (
    OBLIQUE,
    ids,
    scene,  # noqa: F401 (a fixture)
    small_series,
)
from skimage.color import deltaE_ciede2000, rgb2lab

from PyPeTLib.analysis import Analysis, Lesions
from PyPeTLib.errors import InputError
from PyPeTLib.geometry import Geometry, Image
from PyPeTScene.masks import (
    SEGMENTS,
    find_segment,
    is_edited,
    mask_from_segment,
    put_mask,
    show_lesions,
    show_mask,
    show_masks,
)
from PyPeTScene.nodes import image_values, put_values
from PyPeTScene.series import scan_volume, sequence_from_series
from PyPeTScene.study import Request, own_segments

pytestmark = pytest.mark.usefixtures("scene")
BRAIN, AIF, VOF, CSF, VESSELS, BONE = (SEGMENTS[key][0] for key in ("brain", "aif", "vof", "csf", "vessels", "bone"))
NAMES = ["Brain", "AIF", "VOF", "CSF", "Large vessels", "Bone rim"]


@pytest.fixture
def scan(scene, tiny_analysis):  # noqa: F811
    return sequence_from_series(tiny_analysis.series, "scan")[0]


@pytest.fixture
def masks(scan, tiny_analysis):
    return show_masks(tiny_analysis, scan, scan_volume(scan))


def corner_mask(geometry=OBLIQUE) -> Image:
    values = np.zeros(geometry.shape, dtype=bool)
    values[0, 0, 0] = values[-1, 2:, 1] = True
    return Image(values, geometry)


def test_masks_and_segments_round_trip_exactly(tiny_analysis: Analysis, scan, masks):
    assert tiny_analysis.vof is not None
    for identity, image in (
        (BRAIN, tiny_analysis.brain),
        (AIF, tiny_analysis.aif.mask),
        (VOF, tiny_analysis.vof.mask),
        (CSF, tiny_analysis.csf),
        (VESSELS, tiny_analysis.vessels),
        (BONE, tiny_analysis.bone),
    ):
        for reference in (scan_volume(scan), scan.GetNthDataNode(0)):
            back = mask_from_segment(masks, identity, reference)
            np.testing.assert_array_equal(back.values, image.values)
            assert back.geometry.matches(image.geometry)


def test_round_trip_on_an_oblique_grid():
    node, _, proxy = sequence_from_series(small_series(), "small")
    segmentation = show_mask("brain", corner_mask(), node, proxy, "small")
    np.testing.assert_array_equal(mask_from_segment(segmentation, BRAIN, proxy).values, corner_mask().values)


def test_segments_have_names_colours_and_terminology(masks):
    segments = masks.GetSegmentation()
    assert [segments.GetSegment(one).GetName() for one in segments.GetSegmentIDs()] == NAMES
    red, green, blue = segments.GetSegment(AIF).GetColor()
    assert blue > red > green, "the arterial input is purple"
    things = {"brain": "Brain", "aif": "Artery", "vof": "Vein", "csf": "Cerebrospinal Fluid", "vessels": "Blood vessel"}
    things["bone"] = "Bone"
    for key, thing in things.items():
        assert f"^{thing}~" in tag(segments, key)
    assert len({segments.GetSegment(SEGMENTS[key][0]).GetColor() for key in things}) == len(things)


@pytest.mark.parametrize("key", ["core", "hypoperfusion"])
@pytest.mark.parametrize(("table", "shares"), [("inferno", (0.0, 0.4)), ("viridis", (0.4, 1.0))])
def test_outlines_of_lesions_are_seen_on_the_maps_of_what_they_enclose(key, table, shares):
    """Little flow and volume, late times: thin lines have to be far from those colours (yellow was 8 from them)."""
    seen = colormaps[table](np.linspace(*shares, 50))[None, :, :3]
    outline = np.broadcast_to(SEGMENTS[key][2], seen.shape)
    assert deltaE_ciede2000(rgb2lab(outline), rgb2lab(seen)).min() > 25.0


def test_what_covers_the_maps_is_hidden_until_the_user_shows_it(tiny_analysis, scan, masks):
    looks = masks.GetDisplayNode()
    show_lesions(all_of_them(tiny_analysis), masks, scan_volume(scan))
    there = masks.GetSegmentation().GetSegmentIDs()
    hidden = [one for one in there if not looks.GetSegmentVisibility(one)]
    assert hidden == [SEGMENTS[key][0] for key in ("csf", "vessels", "bone", "mismatch")]
    assert not any(looks.GetSegmentOpacity2DFill(SEGMENTS[key][0]) for key in ("brain", "core", "hypoperfusion"))
    looks.SetSegmentVisibility(CSF, True)
    looks.SetSegmentVisibility(AIF, False)
    show_masks(tiny_analysis, scan, scan_volume(scan))
    assert looks.GetSegmentVisibility(CSF), "the user's choice outlives the next Apply"
    assert not looks.GetSegmentVisibility(AIF)


def all_of_them(analysis: Analysis) -> Lesions:
    """Lesions of which each has voxels."""
    some = replace(analysis.brain, values=analysis.brain.values.copy())
    return replace(analysis.lesions, core=some, hypoperfusion=some, mismatch=some)


def tag(segments, key) -> str:
    """The terminology entry of a segment; its tag is returned through a reference."""
    import vtk

    found = vtk.reference("")
    segments.GetSegment(SEGMENTS[key][0]).GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), found)
    return str(found)


def test_segmentation_has_the_scans_geometry(scan, masks):
    assert masks.GetNodeReference(masks.GetReferenceImageGeometryReferenceRole()) is scan_volume(scan)


def test_next_apply_updates_the_same_segments(tiny_analysis, scan, masks):
    before = ids()
    smaller = tiny_analysis.brain.values.copy()
    smaller[0] = False
    analysis = replace(tiny_analysis, brain=replace(tiny_analysis.brain, values=smaller))
    masks.GetSegmentation().GetSegment(BRAIN).SetName("Corrected brain")
    assert show_masks(analysis, scan, scan_volume(scan)) is masks
    assert ids() == before
    assert masks.GetSegmentation().GetSegment(BRAIN).GetName() == "Corrected brain"
    np.testing.assert_array_equal(mask_from_segment(masks, BRAIN, scan_volume(scan)).values, smaller)


def test_segments_that_the_run_was_given_stay_while_they_are_there(tiny_analysis, scan, masks):
    request = Request(scan, brain=(masks, "Brain"), aif=(masks, AIF), vof=(None, ""))
    assert own_segments(request) == {BRAIN, AIF}, "by name, too"
    nothing = replace(tiny_analysis.brain, values=np.zeros_like(tiny_analysis.brain.values))
    aif = replace(tiny_analysis.aif, mask=nothing)
    other = replace(tiny_analysis, brain=tiny_analysis.csf, aif=aif)
    show_masks(other, scan, scan_volume(scan), kept=own_segments(request))
    for identity, mask in ((BRAIN, tiny_analysis.brain), (AIF, tiny_analysis.aif.mask)):
        np.testing.assert_array_equal(mask_from_segment(masks, identity, scan_volume(scan)).values, mask.values)
    masks.GetSegmentation().RemoveSegment(BRAIN)
    show_masks(other, scan, scan_volume(scan), kept=own_segments(request) | {BRAIN})
    np.testing.assert_array_equal(mask_from_segment(masks, BRAIN, scan_volume(scan)).values, tiny_analysis.csf.values)
    assert own_segments(Request(scan)) == own_segments(Request(scan, brain=(scan, BRAIN))) == frozenset()


def test_users_own_segments_stay(tiny_analysis, scan, masks):
    masks.GetSegmentation().AddEmptySegment("mine", "Mine", (1.0, 0.0, 0.0))
    show_masks(tiny_analysis, scan, scan_volume(scan))
    assert masks.GetSegmentation().GetSegment("mine") is not None


def test_segment_of_a_vein_that_is_no_more_is_removed(tiny_analysis, scan, masks):
    assert find_segment(masks, "vof") == VOF
    show_masks(replace(tiny_analysis, vof=None), scan, scan_volume(scan))
    assert find_segment(masks, "vof") is None
    assert find_segment(masks, "aif") == AIF
    assert find_segment(None, "aif") is None


@pytest.mark.parametrize("key", ["csf", "vessels", "bone"])
def test_segment_without_voxels_is_removed(tiny_analysis, scan, masks, key):
    assert find_segment(masks, key)
    nothing = replace(tiny_analysis.csf, values=np.zeros_like(tiny_analysis.csf.values))
    show_masks(replace(tiny_analysis, **{key: nothing}), scan, scan_volume(scan))
    assert find_segment(masks, key) is None
    assert find_segment(masks, "brain") == BRAIN


def test_segment_is_found_by_name_too(scan, masks):
    assert mask_from_segment(masks, "AIF", scan_volume(scan)).values.any()


def test_reading_and_writing_leave_no_nodes(tiny_analysis, scan, masks):
    before = ids()
    mask_from_segment(masks, BRAIN, scan_volume(scan))
    put_mask(masks, "brain", tiny_analysis.brain, scan_volume(scan))
    assert ids() == before


def test_deleted_segmentation_is_refused(scan, masks):
    slicer.mrmlScene.RemoveNode(masks)
    for gone in (masks, None):
        with pytest.raises(InputError, match="deleted"):
            mask_from_segment(gone, BRAIN, scan_volume(scan))


@pytest.mark.parametrize("segment", ["lesion", "", None])
def test_unknown_segment_is_refused_with_those_there_are(scan, masks, segment):
    with pytest.raises(InputError, match="found PyPeT_brain, PyPeT_aif, PyPeT_vof, PyPeT_csf, PyPeT_vessels"):
        mask_from_segment(masks, segment, scan_volume(scan))


def test_empty_segments_are_refused(tiny_analysis, scan, masks):
    masks.GetSegmentation().AddEmptySegment("new", "new", (1.0, 0.0, 0.0))
    nothing = replace(tiny_analysis.aif.mask, values=np.zeros(tiny_analysis.brain.values.shape, dtype=bool))
    put_mask(masks, "aif", nothing, scan_volume(scan))
    for segment in ("new", AIF):
        with pytest.raises(InputError, match="it is empty"):
            mask_from_segment(masks, segment, scan_volume(scan))


def test_a_segment_that_cannot_be_used_is_called_by_its_name(scan, masks):
    """As the user sees it: Slicer makes identities of letters by chance."""
    identity = masks.GetSegmentation().AddEmptySegment("", "My artery", (1.0, 0.0, 0.0))
    with pytest.raises(InputError, match=r"segment 'My artery' of .* with voxels is needed") as told:
        mask_from_segment(masks, identity, scan_volume(scan))
    assert identity not in str(told.value)


def test_a_segment_that_was_emptied_is_empty_whatever_shares_its_labelmap(scan, masks):
    """Slicer puts segments into one labelmap where it can, with a number each: a file is read so."""
    segments = masks.GetSegmentation()
    segments.CollapseBinaryLabelmaps(False)
    artery = segments.GetSegment(AIF)
    voxels = image_values(artery.GetRepresentation("Binary labelmap"))
    assert voxels.max() > artery.GetLabelValue(), "a neighbour has a higher number"
    voxels[voxels == artery.GetLabelValue()] = 0
    assert is_edited(masks, "aif") is False and find_segment(masks, "aif") is None
    with pytest.raises(InputError, match="it is empty"):
        mask_from_segment(masks, AIF, scan_volume(scan))


def test_segment_elsewhere_is_refused(scan, masks):
    far = slicer.vtkMRMLScalarVolumeNode()
    put_values(far, np.zeros((3, 3, 3), np.int16), Geometry((3, 3, 3), (1.0, 1.0, 1.0), (5000.0, 0.0, 0.0)))
    before = ids()
    with pytest.raises(InputError, match="must overlap the scan, 3×3×3 voxels"):
        mask_from_segment(masks, BRAIN, far)
    assert ids() == before


def test_mask_on_another_grid_is_refused(scan, masks):
    with pytest.raises(InputError, match="the scan's grid is needed"):
        put_mask(masks, "brain", corner_mask(), scan_volume(scan))
