"""Lesions on maps made by hand: volumes, sides, relative values, what is withheld, criteria and intervals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from PyPeTLib.analysis import Maps
from PyPeTLib.errors import InputError
from PyPeTLib.geometry import Geometry, Image
from PyPeTLib.lesion_facts import (
    CBV_INDEX,
    HIR,
    MISMATCH_RATIO,
    criterion_rows,
    lesion_facts,
    lesion_rows,
    lesion_values,
)
from PyPeTLib.lesion_rules import RULES, describe_rule, judge_criteria
from PyPeTLib.lesions import _as_around, _ball, _beside, _box, _near, find_lesions, judge_lesions
from PyPeTLib.methods import _on_lesions
from PyPeTLib.progress import silent
from PyPeTLib.records import Midplane
from PyPeTLib.settings import Settings

GRID = Geometry((60, 40, 12), (2.0, 2.0, 5.0), (-59.0, -39.0, -27.5))
ML = GRID.voxel_volume_ml
PLANE = Midplane((1.0, 0.0, 0.0), 0.0, 1.0)
TISSUE = np.ones(GRID.shape, dtype=bool)
LEFT, RIGHT = slice(30, 60), slice(0, 30)
#: Where the lesion and its core lie, in voxels: z, y, and x from the middle.
LATE, CORE = (slice(2, 10), slice(10, 30), slice(8, 24)), (slice(4, 8), slice(15, 25), slice(12, 20))
VOXELS_LATE, VOXELS_CORE = 8 * 20 * 16, 4 * 10 * 8


def on(side, place):
    """Return the place on one side; x counts from the middle."""
    z, y, x = place
    return (z, y, slice(30 + x.start, 30 + x.stop) if side == "left" else slice(30 - x.stop, 30 - x.start))


def maps_of(*sides, sd=0.0, noise_s=0.0, late_s=8.0):
    """Return maps with a lesion on each of the sides: normal CBF 50, CBV 4, Tmax 1; late, and low in the core."""
    cbf, cbv, tmax = (np.full(GRID.shape, value, np.float32) for value in (50.0, 4.0, 1.0))
    for side in sides:
        tmax[on(side, LATE)] = late_s
        cbf[on(side, LATE)], cbv[on(side, LATE)] = 20.0, 3.5
        cbf[on(side, CORE)], cbv[on(side, CORE)] = 10.0, 1.5
    if noise_s:
        tmax += np.random.default_rng(0).normal(0.0, noise_s, GRID.shape).astype(np.float32)
    units = {"cbf": "mL/100 g/min", "cbv": "mL/100 g", "mtt": "s", "tmax": "s", "ttp": "s", "delay": "s"}
    values = {"cbf": cbf, "cbv": cbv, "mtt": 60 * cbv / cbf, "tmax": tmax, "ttp": tmax + 10, "delay": tmax}
    images = {name: Image(value, GRID, units[name]) for name, value in values.items()}
    spread = {"cbf": 1.0, "cbv": 0.1, "mtt": 0.5, "delay": sd}
    sds = {name: Image(np.full(GRID.shape, one, np.float32), GRID, units[name]) for name, one in spread.items()}
    return Maps(**images, sd=sds if sd else {})


def lesions_of(maps, plane=PLANE, tissue=TISSUE, vessels=None, **changes):
    return find_lesions(maps, tissue, vessels, plane, GRID, settings=Settings(**changes))


@pytest.mark.parametrize("side", ["left", "right"])
def test_core_hypoperfusion_and_mismatch_have_their_volumes_and_side(side):
    lesions = lesions_of(maps_of(side))
    assert lesions.side == side
    assert lesions.volumes_ml["core"].ml == pytest.approx(VOXELS_CORE * ML)
    assert lesions.volumes_ml["hypoperfusion"].ml == pytest.approx(VOXELS_LATE * ML)
    assert lesions.volumes_ml["mismatch"].ml == pytest.approx((VOXELS_LATE - VOXELS_CORE) * ML)
    assert lesions.mismatch_ratio == pytest.approx(VOXELS_LATE / VOXELS_CORE)
    assert lesions.core.values[on(side, CORE)].all()
    assert not (lesions.mismatch.values & lesions.core.values).any()


def test_volumes_of_other_thresholds():
    found = lesions_of(maps_of("left")).volumes_ml
    expected = {"tmax_over_4s": VOXELS_LATE, "tmax_over_8s": 0, "tmax_over_10s": 0}
    expected |= {"rcbf_below_20": 0, "rcbf_below_30": VOXELS_CORE, "rcbf_below_38": VOXELS_CORE}
    assert {name: found[name].ml for name in expected} == pytest.approx({n: v * ML for n, v in expected.items()})


@pytest.mark.parametrize(("sd", "voxels"), [(0.5, VOXELS_LATE), (3.1, VOXELS_LATE), (3.2, 0)])
def test_what_is_not_later_than_the_median_with_nine_in_ten_is_no_lesion(sd, voxels):
    """Tissue of 5 s, 4 s later than the median: of the timing of voxels that hardly enhance nothing is known."""
    found = lesions_of(maps_of("left", sd=sd, late_s=5.0)).volumes_ml
    assert found["tmax_over_4s"].ml == pytest.approx(voxels * ML)
    unknown = replace(maps_of("left", late_s=5.0), sd={})
    assert lesions_of(unknown).volumes_ml["tmax_over_4s"].ml == pytest.approx(VOXELS_LATE * ML)


@pytest.mark.parametrize(
    ("flow", "tmax_s", "delay_sd_s", "joined"),
    [
        (0.5, 6.3, 5.0, True),  # no curve tells when: what blood does not reach has no delay
        (0.5, 2.0, 5.0, True),
        (0.5, 2.0, 1.0, False),  # early for certain, as a scar is
        (11.5, 6.3, 5.0, True),
        (12.5, 6.3, 5.0, False),  # flow below 15 is not certain: its standard deviation is 1
    ],
)
def test_tissue_that_no_blood_reaches_belongs_to_the_hypoperfusion_around_it(flow, tmax_s, delay_sd_s, joined):
    maps, place = maps_of("left", sd=0.5), on("left", CORE)
    cbf, tmax, sd = (one.values.copy() for one in (maps.cbf, maps.tmax, maps.sd["delay"]))
    cbf[place], tmax[place], sd[place] = flow, tmax_s, delay_sd_s
    elsewhere = (slice(1, 3), slice(2, 6), slice(2, 8))  # alike, but not joined to it
    cbf[elsewhere], tmax[elsewhere], sd[elsewhere] = flow, tmax_s, delay_sd_s
    spread = {**maps.sd, "delay": Image(sd, GRID, "s")}
    seen = replace(maps, cbf=Image(cbf, GRID, "mL/100 g/min"), tmax=Image(tmax, GRID, "s"), sd=spread)
    lesions = lesions_of(seen)
    core = VOXELS_CORE if joined else 0
    assert lesions.volumes_ml["hypoperfusion"].ml == pytest.approx((VOXELS_LATE - VOXELS_CORE + core) * ML)
    assert lesions.volumes_ml["tmax_over_6s"].ml == lesions.volumes_ml["hypoperfusion"].ml
    assert lesions.volumes_ml["core"].ml == pytest.approx(core * ML)


def test_tissue_that_no_blood_reaches_may_touch_the_hypoperfusion_at_a_corner():
    maps, (z, y, x) = maps_of("left", sd=0.5), on("left", LATE)
    cbf, sd = maps.cbf.values.copy(), maps.sd["delay"].values.copy()
    corner = (slice(z.stop, z.stop + 2), slice(y.stop, y.stop + 3), slice(x.stop, x.stop + 3))
    cbf[corner], sd[corner] = 0.5, 9.0
    seen = replace(maps, cbf=Image(cbf, GRID, "mL/100 g/min"), sd={**maps.sd, "delay": Image(sd, GRID, "s")})
    assert lesions_of(seen).volumes_ml["hypoperfusion"].ml == pytest.approx((VOXELS_LATE + 18) * ML)


@pytest.mark.parametrize(("early", "expected"), [(1.0, VOXELS_LATE), (9.0, 0)])
def test_beside_a_large_vessel_tissue_counts_as_that_around(early, expected):
    """An artery's blood makes late tissue early and full of flow, a vein's makes early tissue late."""
    maps, vessels = maps_of(*["left"] * (early < 5.0)), np.zeros(GRID.shape, dtype=bool)
    z, y, x = on("left", LATE)
    vessels[z, (y.start + y.stop) // 2, (x.start + x.stop) // 2] = True
    tmax, near = maps.tmax.values.copy(), np.roll(vessels, 1, axis=2) | np.roll(vessels, -1, axis=2)
    tmax[near] = early
    seen = replace(maps, tmax=Image(tmax, GRID, "s"))
    tissue = TISSUE & ~vessels
    found, without = (lesions_of(seen, tissue=tissue, vessels=one, smallest_lesion_ml=0.0) for one in (vessels, None))
    lost = vessels.sum() if expected else 0
    assert found.volumes_ml["hypoperfusion"].ml == pytest.approx((expected - lost) * ML)
    assert abs(without.volumes_ml["hypoperfusion"].ml - (expected - lost) * ML) == pytest.approx(near.sum() * ML)


def test_late_is_against_the_median_of_the_tissue_alone():
    """Outside it, in most of the grid, maps hold something else."""
    tissue = np.zeros(GRID.shape, dtype=bool)
    tissue[2:, 8:32, 4:56] = True
    maps = maps_of("left", sd=3.0)
    elsewhere = replace(maps, tmax=Image(np.where(tissue, maps.tmax.values, 20.0).astype(np.float32), GRID, "s"))
    assert tissue.mean() < 0.5
    found = lesions_of(elsewhere, tissue=tissue).volumes_ml["tmax_over_6s"].ml
    assert found == pytest.approx(VOXELS_LATE * ML)


def test_where_most_tissue_is_late_late_is_against_what_is_normal_at_most():
    """Both sides are late in most of the brain: the median is that of the lesion, and nothing would be later."""
    maps, late = maps_of(sd=1.0), np.zeros(GRID.shape, dtype=bool)
    late[:, :, 10:50] = True
    tmax = np.where(late, 8.0, 1.0).astype(np.float32)
    assert late.mean() > 0.5
    found = lesions_of(replace(maps, tmax=Image(tmax, GRID, "s")))
    assert found.side == "both" and found.volumes_ml["hypoperfusion"].ml == pytest.approx(late.sum() * ML)


def test_four_mm_from_a_large_vessel_tissue_counts_itself():
    maps, vessels = maps_of("left"), np.zeros(GRID.shape, dtype=bool)
    z, y, x = on("left", LATE)
    vessels[z, (y.start + y.stop) // 2, (x.start + x.stop) // 2] = True
    tmax, apart = maps.tmax.values.copy(), np.roll(vessels, 2, axis=2) | np.roll(vessels, 2, axis=1)
    tmax[apart] = 1.0
    found = lesions_of(replace(maps, tmax=Image(tmax, GRID, "s")), tissue=TISSUE & ~vessels, vessels=vessels)
    assert not found.hypoperfusion.values[apart].any()


@pytest.mark.parametrize("radius_mm", [2.0, 3.0])
@pytest.mark.parametrize("spacing", [(2.0, 2.0, 5.0), (1.0, 1.0, 1.0), (0.5, 0.7, 1.5)])
def test_ball_holds_the_voxels_within_its_radius(spacing, radius_mm):
    ball = _ball(radius_mm, Geometry((9, 9, 9), spacing))
    at = np.stack(np.meshgrid(*(np.arange(-9, 10) * mm for mm in spacing[::-1]), indexing="ij"))
    assert ball.sum() == (np.linalg.norm(at, axis=0) <= radius_mm + 1e-9).sum()
    assert ball[tuple(n // 2 for n in ball.shape)]


def test_nearest_tissue_is_found_in_mm_wherever_the_tissue_lies():
    """Beside the vessel one voxel; two voxels along x (4 mm) are nearer than one slice (5 mm)."""
    tissue, vessels = np.zeros(GRID.shape, dtype=bool), np.zeros(GRID.shape, dtype=bool)
    vessels[8, 30, 40] = tissue[8, 30, 41] = True
    tissue[8, 30, 43] = tissue[9, 30, 41] = True
    maps = maps_of()
    numbers = np.arange(maps.tmax.values.size, dtype=np.float32).reshape(GRID.shape)
    clear = tissue & ~_beside(vessels, GRID, 2.0)
    found = _as_around(replace(maps, tmax=Image(numbers, GRID)), tissue, clear, GRID, silent).tmax.values
    assert np.argwhere(found != numbers).tolist() == [[8, 30, 41]]
    assert found[8, 30, 41] == numbers[8, 30, 43]


@pytest.mark.parametrize("sides", [["left"], []])
def test_bounds_and_cbv_index_are_those_of_the_tissue_around_vessels(sides):
    """Full of early blood in a lesion, full of late blood beside none."""
    maps, vessels = maps_of(*sides, sd=0.4), np.zeros(GRID.shape, dtype=bool)
    z, y, x = on("left", LATE)
    vessels[z, y.start + 10, x.start + 8] = True
    near = np.roll(vessels, 1, axis=2) | np.roll(vessels, -1, axis=2)
    values = {name: getattr(maps, name).values.copy() for name in ("tmax", "delay", "cbv")}
    values["tmax"][near] = values["delay"][near] = 1.0 if sides else 9.0
    values["cbv"][near] = 40.0
    seen = replace(maps, **{name: Image(one, GRID) for name, one in values.items()})
    clean, found = (lesions_of(one, tissue=TISSUE & ~vessels, vessels=vessels) for one in (maps, seen))
    assert found.volumes_ml["hypoperfusion"] == clean.volumes_ml["hypoperfusion"]
    np.testing.assert_equal(found.cbv_index, clean.cbv_index)


def test_vessels_without_tissue_around_change_nothing():
    maps, everywhere = maps_of("left"), np.ones(GRID.shape, dtype=bool)
    for vessels in (everywhere, ~everywhere):
        found = lesions_of(maps, vessels=vessels)
        assert found.volumes_ml["hypoperfusion"].ml == pytest.approx(VOXELS_LATE * ML)


def test_hir_is_the_share_of_very_late_tissue_and_the_cbv_index_is_relative():
    maps = maps_of("left", late_s=7.0)
    tmax = maps.tmax.values.copy()
    tmax[on("left", CORE)] = 12.0
    lesions = lesions_of(replace(maps, tmax=Image(tmax, GRID, "s")))
    assert lesions.hir == pytest.approx(VOXELS_CORE / VOXELS_LATE)
    mean_cbv = (VOXELS_CORE * 1.5 + (VOXELS_LATE - VOXELS_CORE) * 3.5) / VOXELS_LATE
    assert lesions.cbv_index == pytest.approx(mean_cbv / 4.0)


def test_late_is_beyond_six_and_very_late_beyond_ten_seconds():
    maps = maps_of("left", late_s=7.0)
    tmax, cbv = maps.tmax.values.copy(), maps.cbv.values.copy()
    tmax[on("left", CORE)] = 12.0
    z, y, x = on("left", LATE)
    tmax[z, y.start : y.start + 3, x] = 9.0
    tmax[z, y.stop : y.stop + 5, x], cbv[z, y.stop : y.stop + 5, x] = 5.0, 40.0
    lesions = lesions_of(replace(maps, tmax=Image(tmax, GRID, "s"), cbv=Image(cbv, GRID)))
    assert lesions.hir == pytest.approx(VOXELS_CORE / VOXELS_LATE)
    assert lesions.cbv_index < 1.0, "that of what is late, not of what comes at 5 s"


def test_criteria_are_judged_on_the_whole_hypoperfusion():
    """A core of its half is exceeded by as much: what is left beside the core alone would not be 1.8 times as much."""
    maps, half = maps_of("left"), on("left", (slice(2, 6), LATE[1], LATE[2]))
    cbf = np.where(maps.cbf.values == 10.0, np.float32(20.0), maps.cbf.values)
    cbf[half] = 10.0
    lesions = lesions_of(replace(maps, cbf=Image(cbf, GRID)))
    assert lesions.volumes_ml["core"].ml == pytest.approx(0.5 * VOXELS_LATE * ML)
    assert [one.met for one in lesions.criteria] == [True, True]


def test_normal_tissue_has_flow_and_volume():
    """Reference maps may lack the volume where they have a flow."""
    maps = maps_of("left")
    cbf, cbv = maps.cbf.values.copy(), maps.cbv.values.copy()
    cbf[0, :, RIGHT], cbv[0, :, RIGHT] = 500.0, np.nan
    normal = lesions_of(replace(maps, cbf=Image(cbf, GRID), cbv=Image(cbv, GRID))).normal
    assert normal == pytest.approx({"cbf": 50.0, "cbv": 4.0, "mtt": 4.8})


def test_normal_tissue_is_the_other_sides_without_csf_and_vessels_and_late_tissue():
    maps = maps_of("left")
    cbf, tmax = maps.cbf.values.copy(), maps.tmax.values.copy()
    cbf[..., LEFT] *= 0.9  # the ill side does not count
    cbf[..., 20:30] = 500.0  # what is no tissue does not either
    cbf[0, :, RIGHT], tmax[0, :, RIGHT] = 1.0, 4.5  # nor what is late
    tissue = TISSUE.copy()
    tissue[..., 20:30] = False
    changed = replace(maps, cbf=Image(cbf, GRID), tmax=Image(tmax, GRID))
    assert lesions_of(changed, tissue=tissue).normal["cbf"] == pytest.approx(50.0)


def test_without_a_lesion_normal_tissue_is_that_of_both_sides():
    cbf = np.full(GRID.shape, 40.0, np.float32)
    cbf[..., LEFT] = 60.0
    lesions = lesions_of(replace(maps_of(), cbf=Image(cbf, GRID)))
    assert lesions.side == "none" and lesions.normal["cbf"] == pytest.approx(50.0)


def test_normal_tissue_is_away_from_large_vessels():
    """Within 2 mm their blood is in the curves; 4 mm away it is not."""
    maps, vessels = maps_of("left"), np.zeros(GRID.shape, dtype=bool)
    vessels[:, 12:32:2, 6:26:4] = True
    beside = np.roll(vessels, 1, axis=1) | np.roll(vessels, 1, axis=2) | np.roll(vessels, -1, axis=2)
    assert not vessels[..., LEFT].any() and (beside & TISSUE & ~vessels).sum() > 100
    bright = {name: getattr(maps, name).values.copy() for name in ("cbf", "cbv")}
    for values in bright.values():
        values[beside | vessels] *= 5.0
    seen, tissue = replace(maps, **{name: Image(values, GRID) for name, values in bright.items()}), TISSUE & ~vessels
    found = lesions_of(seen, tissue=tissue, vessels=vessels)
    assert found.normal["cbf"] == pytest.approx(50.0) and found.normal["cbv"] == pytest.approx(4.0)
    assert found.volumes_ml["core"].ml == pytest.approx(VOXELS_CORE * ML)
    assert lesions_of(seen, tissue=tissue).normal["cbf"] > 51.0


def test_what_is_normal_is_the_mean_of_tissue_away_from_vessels_each_voxel_once():
    """Voxels beside a vessel have the values of their neighbours, which do not count twice for that."""
    vessels = np.zeros(GRID.shape, dtype=bool)
    vessels[:, 12:32:2, 6:26:4] = True
    clear = distance_transform_edt(~vessels, GRID.spacing_zyx_mm) > 2.0
    uneven = np.random.default_rng(0).normal(50.0, 20.0, GRID.shape)
    maps = maps_of("left")
    found = lesions_of(replace(maps, cbf=Image(uneven, GRID)), tissue=TISSUE & ~vessels, vessels=vessels)
    assert found.normal["cbf"] == pytest.approx(uneven[..., RIGHT][clear[..., RIGHT]].mean(), rel=1e-5)


def test_no_lesion_gives_zeros_and_undefined_ratios():
    lesions = lesions_of(maps_of())
    assert lesions.side == "none"
    assert {volume.ml for volume in lesions.volumes_ml.values()} == {0.0}
    assert np.isnan([lesions.mismatch_ratio, lesions.hir, lesions.cbv_index]).all()
    assert [one.met for one in lesions.criteria] == [False, False]
    assert lesions.criteria[0].conditions["mismatch ratio at least 1.8"] is False
    assert all(check.status == "pass" for check in judge_lesions(lesions))


def test_hypoperfusion_without_core_has_no_ratio_but_meets_its_condition():
    found = judge_criteria(50.0, 0.0)
    assert [one.met for one in found] == [True, True]
    maps = maps_of("left")
    cbf = maps.cbf.values.copy()
    cbf[on("left", CORE)] = 20.0
    lesions = lesions_of(replace(maps, cbf=Image(cbf, GRID)))
    assert np.isnan(lesions.mismatch_ratio) and lesions.criteria[0].met


def without_core():
    """Lesions of late tissue whose flow is not low."""
    maps = maps_of("left")
    return lesions_of(replace(maps, cbf=Image(np.full(GRID.shape, 50.0, np.float32), GRID, "mL/100 g/min")))


def test_a_ratio_without_core_is_said_to_be_none_not_to_be_unknown():
    rows = lesion_rows(without_core())
    values = dict(zip([row[0] for row in rows], lesion_values(rows, unknown="–"), strict=True))
    assert (values["Core"], values["Mismatch ratio"]) == ("0.0", "no core")
    rows = lesion_rows(lesions_of(maps_of("left", "right")))
    values = dict(zip([row[0] for row in rows], lesion_values(rows, unknown="–"), strict=True))
    assert (values["Core"], values["Mismatch ratio"]) == ("–", "–"), "withheld"
    rows = lesion_rows(lesions_of(maps_of()))
    assert lesion_values(rows, unknown="–")[-3] == "no hypoperfusion"


def test_criteria_without_core_say_why_the_ratio_counts_as_met():
    (name, met, why), _ = criterion_rows(without_core())
    assert (name, met) == ("DEFUSE 3", "met")
    assert why.startswith("mismatch ratio at least 1.8 (no core: the ratio is not defined and counts as met), mismatch")
    assert "no core" not in criterion_rows(lesions_of(maps_of("left")))[0][2]


def test_terminal_and_report_call_the_missing_ratio_the_same(capsys):
    from PyPeTLib.cli_print import _print_lesions
    from PyPeTLib.report_facts import volume_rows

    lesions = without_core()
    _print_lesions(lesions)
    printed = capsys.readouterr().out
    assert (
        "  Mismatch ratio: no core\n" in printed and "(no core: the ratio is not defined and counts as met)" in printed
    )
    assert {row[0]: row[1] for row in volume_rows(lesions)}["Mismatch ratio"] == "no core"


def test_both_hemispheres_ill_is_said_and_relative_values_are_withheld():
    lesions = lesions_of(maps_of("left", "right"))
    assert lesions.side == "both" and lesions.normal == {}
    assert lesions.core is None and lesions.mismatch is None
    assert np.isnan(lesions.volumes_ml["core"].ml) and np.isnan(lesions.volumes_ml["rcbf_below_30"].ml)
    assert lesions.volumes_ml["hypoperfusion"].ml == pytest.approx(2 * VOXELS_LATE * ML)
    assert lesions.criteria[0].met is None
    check = next(check for check in judge_lesions(lesions) if check.name == "healthy side")
    assert check.status == "warn" and "Both hemispheres" in check.text


def test_a_small_lesion_on_the_other_side_does_not_make_both_ill():
    maps = maps_of("left")
    tmax = maps.tmax.values.copy()
    tmax[on("right", CORE)] = 8.0  # 6.4 mL
    changed = replace(maps, tmax=Image(tmax, GRID))
    assert lesions_of(changed).side == "left"
    assert lesions_of(changed, both_sides_share=0.05, both_sides_ml=5.0).side == "both"


def test_without_a_plane_the_side_is_unknown_and_relative_values_are_withheld():
    lesions = lesions_of(maps_of("left"), plane=None)
    assert lesions.side == "unknown" and lesions.core is None
    assert lesions.volumes_ml["tmax_over_6s"].ml == pytest.approx(VOXELS_LATE * ML)
    (check,) = judge_lesions(lesions)
    assert check.status == "warn" and "relative values are withheld" in check.text
    assert lesions_of(maps_of(), plane=None).side == "none"


def test_without_late_tissue_the_ratios_to_it_are_not_called_unknown():
    rows = lesion_rows(lesions_of(maps_of()))
    values = dict(zip([row[0] for row in rows], lesion_values(rows, unknown="not known"), strict=True))
    assert [values[name] for name in (MISMATCH_RATIO, HIR, CBV_INDEX)] == ["no hypoperfusion", *["no Tmax > 6 s"] * 2]
    rows = lesion_rows(lesions_of(maps_of("left", "right")))
    values = dict(zip([row[0] for row in rows], lesion_values(rows, unknown="not known"), strict=True))
    assert (values[MISMATCH_RATIO], values[CBV_INDEX]) == ("not known", "not known"), "withheld"
    assert values[HIR] not in ("not known", "no Tmax > 6 s")


def test_without_a_plane_and_a_hypoperfusion_relative_values_are_against_both_sides_and_that_is_said():
    lesions = lesions_of(maps_of(), plane=None)
    assert lesions.normal and lesions.volumes_ml["rcbf_below_30"].ml == 0.0
    (check,) = judge_lesions(lesions)
    assert check.status == "warn" and "against both sides" in check.text and "withheld" not in check.text
    told = list(_on_lesions(lesions, Settings()))
    assert told[-1].startswith("No mid-sagittal plane was found. Normal tissue is that of both sides")
    assert "withheld" not in " ".join(told)
    told = list(_on_lesions(lesions_of(maps_of("left"), plane=None), Settings()))
    assert told[-1] == "No mid-sagittal plane was found and relative values were withheld."


def test_small_parts_are_left_out():
    maps = maps_of("left")
    tmax = maps.tmax.values.copy()
    tmax[5, 5, 5:9] = 9.0  # 0.08 mL
    changed = replace(maps, tmax=Image(tmax, GRID))
    assert lesions_of(changed).volumes_ml["tmax_over_6s"].ml == pytest.approx(VOXELS_LATE * ML)
    grown = lesions_of(changed, smallest_lesion_ml=0.05).volumes_ml["tmax_over_6s"].ml
    assert grown == pytest.approx((VOXELS_LATE + 4) * ML)


def test_parts_that_touch_at_a_corner_are_one():
    maps = maps_of("left")
    tmax = maps.tmax.values.copy()
    tmax[5, 5, 5:7] = tmax[6, 6, 7:9] = 9.0  # 0.04 mL each
    found = lesions_of(replace(maps, tmax=Image(tmax, GRID)), smallest_lesion_ml=0.07).volumes_ml["tmax_over_6s"]
    assert found.ml == pytest.approx((VOXELS_LATE + 4) * ML)


def test_every_rule_finds_the_lesion_and_says_its_numbers():
    maps = maps_of("left")
    for rule, limits in RULES.items():
        lesions = lesions_of(maps, lesion_rule=rule)
        assert lesions.side == "left" and lesions.volumes_ml["core"].ml == pytest.approx(VOXELS_CORE * ML), rule
        assert lesions.volumes_ml["hypoperfusion"].ml == pytest.approx(VOXELS_LATE * ML), rule
        assert rule in lesions.rule and all(f"{limit.value:g}" in lesions.rule for limit in limits)


@pytest.mark.parametrize(
    ("rule", "core", "late"),
    [
        ("RAPID-like", "CBF below 30 % of normal", "Tmax above 6 s"),
        ("Cereda", "CBF below 38 % of normal", "Tmax above 6 s"),
        ("MIStar-like", "CBF below 30 % of normal", "delay above 3 s"),
        ("Philips-like", "CBV below 2 mL/100 g", "MTT above 145 % of normal"),
    ],
)
def test_rules_have_the_published_thresholds(rule, core, late):
    assert [str(limit) for limit in RULES[rule]] == [core, late]


def test_own_thresholds():
    own = {"lesion_rule": "own", "core_map": "CBV", "core_cbv": 3.6, "hypoperfusion_map": "delay"}
    lesions = lesions_of(maps_of("left"), **own, hypoperfusion_delay_s=7.5)
    assert lesions.volumes_ml["core"].ml == pytest.approx(VOXELS_LATE * ML)
    assert "CBV below 3.6 mL/100 g" in lesions.rule and "delay above 7.5 s" in lesions.rule
    assert lesions_of(maps_of("left"), **own, hypoperfusion_delay_s=9.0).volumes_ml["hypoperfusion"].ml == 0.0


@pytest.mark.parametrize(
    ("name", "value", "base"),
    [
        ("lesion_rule", "Philips-like", {}),
        ("core_map", "CBV", {"lesion_rule": "own", "core_cbv": 3.6}),
        ("core_rcbf", 45.0, {"lesion_rule": "own"}),
        ("core_cbv", 3.6, {"lesion_rule": "own", "core_map": "CBV"}),
        ("hypoperfusion_map", "delay", {"lesion_rule": "own", "hypoperfusion_delay_s": 9.0}),
        ("hypoperfusion_tmax_s", 9.0, {"lesion_rule": "own"}),
        ("hypoperfusion_delay_s", 9.0, {"lesion_rule": "own", "hypoperfusion_map": "delay"}),
        ("hypoperfusion_rmtt", 200.0, {"lesion_rule": "own", "hypoperfusion_map": "rMTT"}),
        ("core_inside", "anywhere", {}),
        ("smallest_lesion_ml", 20.0, {}),
        ("normal_tmax_s", 0.5, {}),
        ("both_sides_share", 0.1, {"both_sides_ml": 5.0}),
        ("both_sides_ml", 5.0, {"both_sides_share": 0.1}),
        ("late_probability", 0.999, {}),
        ("vessel_margin_mm", 0.0, {}),
    ],
)
def test_every_setting_changes_something(name, value, base):
    maps, vessels = maps_of("left", sd=2.5), np.zeros(GRID.shape, dtype=bool)
    cbf, tmax = maps.cbf.values.copy(), maps.tmax.values.copy()
    tmax[on("right", CORE)] = 8.0  # 6.4 mL on the other side
    cbf[0:2, 0:20, 30:40] = 5.0  # low flow that is not late
    vessels[5, 20, 45], tmax[5, 20, 46] = True, 1.0  # an artery in the lesion, and beside it
    changed = replace(maps, cbf=Image(cbf, GRID), tmax=Image(tmax, GRID))

    def found(**settings):
        lesions = lesions_of(changed, tissue=TISSUE & ~vessels, vessels=vessels, **settings)
        return str(lesions.volumes_ml), lesions.side, str(lesions.normal)

    assert found(**base) != found(**{**base, name: value})


def test_core_is_sought_inside_the_hypoperfusion_or_anywhere():
    maps = maps_of("left")
    cbf = maps.cbf.values.copy()
    cbf[0:2, 0:20, 30:40] = 5.0
    changed = replace(maps, cbf=Image(cbf, GRID))
    assert lesions_of(changed).volumes_ml["core"].ml == pytest.approx(VOXELS_CORE * ML)
    found = lesions_of(changed, core_inside="anywhere").volumes_ml["core"].ml
    assert found == pytest.approx((VOXELS_CORE + 400) * ML)


def test_a_rule_of_delays_needs_a_method_that_gives_them():
    with pytest.raises(InputError, match="a method that gives the delay is needed"):
        Settings(lesion_rule="MIStar-like", method="bSVD")
    for method in ("bayesian", "nlr", "stable-spline"):
        assert Settings(lesion_rule="MIStar-like", method=method).method == method


@pytest.mark.parametrize(
    ("late", "core", "defuse", "extend"),
    [
        *[(90, 30, True, True), (44, 30, False, True), (53.9, 30, False, True), (54, 30, True, True)],
        *[(36, 30, False, False), (140, 70, False, False), (12, 1, False, True), (10.5, 0.5, False, False)],
        *[(74, 60, False, True), (72, 60, False, False)],
    ],
)
def test_criteria_are_those_of_the_trials(late, core, defuse, extend):
    assert [one.met for one in judge_criteria(late, core)] == [defuse, extend]


def test_criteria_are_unknown_only_where_nothing_is_failed():
    assert [one.met for one in judge_criteria(90.0, float("nan"))] == [None, None]
    assert [one.met for one in judge_criteria(float("nan"), 80.0)] == [False, False]


def test_bounds_hold_the_volume_and_grow_with_the_noise():
    certain = maps_of("left", sd=0.01)
    without = replace(certain, sd={**certain.sd, "delay": Image(np.zeros(GRID.shape), GRID, "s")})
    for maps in (without, certain):
        exact = lesions_of(maps).volumes_ml["hypoperfusion"]
        assert exact.low_ml == pytest.approx(exact.ml) and exact.high_ml == pytest.approx(exact.ml)
    vague = lesions_of(maps_of("left", sd=3.5)).volumes_ml["hypoperfusion"]
    assert vague.low_ml < exact.ml < vague.high_ml
    assert np.isnan(lesions_of(maps_of("left")).volumes_ml["hypoperfusion"].low_ml)  # no SD, no bounds


def test_bounds_need_a_standard_deviation_of_every_limit():
    """Flow has one, the delay has none: low flow alone has bounds, a core inside the hypoperfusion has none."""
    maps = maps_of("left", sd=0.5)
    maps = replace(maps, sd={"cbf": maps.sd["cbf"]})
    inside, anywhere = (lesions_of(maps, core_inside=where).volumes_ml for where in ("hypoperfusion", "anywhere"))
    assert inside["core"].ml == pytest.approx(VOXELS_CORE * ML) and np.isnan(inside["core"].high_ml)
    assert np.isnan([anywhere[name].high_ml for name in ("hypoperfusion", "mismatch")]).all()
    assert anywhere["core"].low_ml == anywhere["core"].high_ml == pytest.approx(VOXELS_CORE * ML)


def test_bounds_are_what_is_sure_and_what_is_possible():
    maps = maps_of("left", sd=1.5)
    tmax = maps.tmax.values.copy()
    tmax[on("left", LATE)] = 9.0  # sure: 2 SD above 6 s
    tmax[on("left", CORE)] = 6.9  # likely
    tmax[2:10, 30, 40:50] = 5.1  # possible, beside the lesion
    tmax[2:10, 39, 40:50] = 5.1  # far away
    volume = lesions_of(replace(maps, tmax=Image(tmax, GRID, "s"))).volumes_ml["tmax_over_6s"]
    assert volume.ml == pytest.approx(VOXELS_LATE * ML)
    assert volume.low_ml == pytest.approx((VOXELS_LATE - VOXELS_CORE) * ML)
    assert volume.high_ml == pytest.approx((VOXELS_LATE + 80) * ML)


def test_bounds_reach_six_mm_beyond_a_lesion():
    maps = maps_of("left", sd=1.5)
    tmax = maps.tmax.values.copy()
    tmax[on("left", LATE)] = 9.0
    tmax[2:10, 30:40, 40:50] = 5.1  # possible: 2, 4, 6 mm beside the lesion, and farther
    volume = lesions_of(replace(maps, tmax=Image(tmax, GRID, "s"))).volumes_ml["tmax_over_6s"]
    assert volume.high_ml == pytest.approx((VOXELS_LATE + 3 * 80) * ML)


@pytest.mark.parametrize("spacing", [(0.5, 0.7, 1.5), (1.0, 1.0, 1.0), (2.0, 2.0, 8.0)])
def test_what_is_within_six_mm_is_looked_at_on_any_grid(spacing):
    grid, at = Geometry((40, 30, 20), spacing), (9, 14, 19)
    mask = np.zeros(grid.shape, dtype=bool)
    mask[at] = True
    away_mm = np.linalg.norm((np.argwhere(np.ones(grid.shape)) - at) * grid.spacing_zyx_mm, axis=1).reshape(grid.shape)
    box, near = _box(mask, grid), away_mm <= 6.0
    np.testing.assert_array_equal(_near(mask, grid), near)
    np.testing.assert_array_equal(np.argwhere(near[box]) + [part.start for part in box], np.argwhere(near))


def test_bounds_reach_one_slice_of_five_mm_beyond_a_lesion_and_not_two():
    maps = maps_of("left", sd=1.5)
    tmax = maps.tmax.values.copy()
    tmax[on("left", LATE)] = 9.0
    tmax[0:2, 15:25, 40:50] = 5.1  # possible
    volume = lesions_of(replace(maps, tmax=Image(tmax, GRID, "s"))).volumes_ml["tmax_over_6s"]
    assert volume.high_ml == pytest.approx((VOXELS_LATE + 100) * ML)


def test_the_upper_bound_holds_all_that_was_found():
    """What blood does not reach may be late with 1 in 20, and belongs to the hypoperfusion with 1 in 1000."""
    maps, place = maps_of("left", sd=0.5), on("left", CORE)
    cbf, tmax, sd = (one.values.copy() for one in (maps.cbf, maps.tmax, maps.sd["delay"]))
    cbf[place], tmax[place], sd[place] = 0.5, 2.0, 2.0
    seen = replace(maps, cbf=Image(cbf, GRID), tmax=Image(tmax, GRID, "s"), sd={**maps.sd, "delay": Image(sd, GRID)})
    volume = lesions_of(seen, late_probability=0.999).volumes_ml["hypoperfusion"]
    assert volume.ml == volume.high_ml == pytest.approx(VOXELS_LATE * ML)


@pytest.mark.parametrize(("clear", "off"), [(3.0, 1.0), (1.01, 1.0), (0.99, 1.645)])
def test_bounds_are_those_of_tissue_that_has_a_value(clear, off):
    """On either side of a number of SDs, within the lesion and beside it: more where none of it lies clear of 6 s."""
    maps, tissue = maps_of("left", sd=1.0), TISSUE.copy()
    tmax = maps.tmax.values.copy()
    tmax[on("left", LATE)], tmax[on("left", CORE)] = 6.0 + clear, 6.0 + min(0.99 * off, 0.99)
    tmax[2:10, 30, 40:50], tmax[2:10, 9, 40:50] = 6.0 - 0.99 * off, 6.0 - 1.01 * off
    tmax[2:10, 31, 40:50] = np.nan
    tmax[2:10, 10:30, 54:56], tissue[2:10, 10:30, 54:56] = 5.9, False
    volume = lesions_of(replace(maps, tmax=Image(tmax, GRID, "s")), tissue=tissue).volumes_ml["tmax_over_6s"]
    assert volume.low_ml == pytest.approx((VOXELS_LATE - VOXELS_CORE) * ML if clear > 1.0 else 0.0)
    assert volume.high_ml == pytest.approx((VOXELS_LATE + 80) * ML)


def test_a_lesion_three_quarters_of_which_lie_near_the_threshold_is_off_by_as_much_of_1_645_sds():
    """That is by 1.234: what is 1.24 SDs beyond it stays there, what is 1.23 SDs beyond it does not."""
    maps = maps_of("left", sd=1.0)
    tmax = maps.tmax.values.copy()
    late = tmax[on("left", LATE)]
    late[:] = 6.5
    late[:2] = 7.23
    late[0, 0] = 7.24
    volume = lesions_of(replace(maps, tmax=Image(tmax, GRID, "s"))).volumes_ml["tmax_over_6s"]
    assert volume.ml == pytest.approx(VOXELS_LATE * ML)
    assert volume.low_ml == pytest.approx(late[0, 0].size * ML)


def test_a_core_is_sure_where_it_is_sure_to_be_late_too():
    """Flow is 5 SD below the limit; 8 s are later than 6 s by half an SD, or by 10."""
    low = [lesions_of(maps_of("left", sd=sd)).volumes_ml["core"].low_ml for sd in (4.0, 0.2)]
    assert low == pytest.approx([0.0, VOXELS_CORE * ML])


def test_mismatch_is_sure_where_it_is_late_and_no_core_and_possible_where_it_may_be():
    """Flow of 20 is 5 SD above the limit of 15, one of 14.5 is half an SD below: core, but not surely."""
    maps = maps_of("left", sd=0.2)
    cbf = maps.cbf.values.copy()
    _, y, x = on("left", CORE)
    cbf[4, y, x] = 14.5
    volume = lesions_of(replace(maps, cbf=Image(cbf, GRID))).volumes_ml["mismatch"]
    known = (VOXELS_LATE - VOXELS_CORE) * ML
    assert volume.ml == volume.low_ml == pytest.approx(known)
    assert volume.high_ml == pytest.approx(known + 10 * 8 * ML)
    assert np.isnan(lesions_of(maps_of("left")).volumes_ml["mismatch"].low_ml)


@pytest.mark.parametrize(("flow", "high"), [(5.0, 0), (14.0, 160)])
def test_where_all_late_tissue_is_core_a_mismatch_is_possible_where_core_is_not_sure(flow, high):
    """Flow of 5 is 10 SD below the limit of 15, one of 14 is 1 SD below; late tissue far away is no part of it."""
    maps, doubtful = maps_of("left", sd=0.2), on("left", (slice(2, 4), slice(10, 15), LATE[2]))
    cbf, tmax = maps.cbf.values.copy(), maps.tmax.values.copy()
    cbf[on("left", LATE)], cbf[doubtful] = 5.0, flow
    tmax[0:2, 0:5, 30:40] = 5.9
    volumes = lesions_of(replace(maps, cbf=Image(cbf, GRID), tmax=Image(tmax, GRID, "s"))).volumes_ml
    assert volumes["core"].ml == volumes["hypoperfusion"].ml == pytest.approx(VOXELS_LATE * ML)
    assert (volumes["mismatch"].ml, volumes["mismatch"].low_ml) == (0.0, 0.0)
    assert volumes["mismatch"].high_ml == pytest.approx(high * ML)


@pytest.mark.parametrize("sd", [0.0, 0.5])
@pytest.mark.parametrize(("sides", "plane"), [(["left"], None), (["left", "right"], PLANE)])
def test_a_core_inside_a_hypoperfusion_that_is_withheld_is_withheld(sides, plane, sd):
    """Relative MTT needs normal tissue, CBV does not: it is not sought anywhere instead."""
    lesions = lesions_of(maps_of(*sides, sd=sd), plane=plane, lesion_rule="Philips-like")
    assert lesions.hypoperfusion is None and lesions.core is None and lesions.mismatch is None
    assert np.isnan([lesions.volumes_ml[name].ml for name in ("core", "mismatch", "rcbf_below_30")]).all()
    assert [one.met for one in lesions.criteria] == [None, None]
    assert lesions.volumes_ml["tmax_over_6s"].ml == pytest.approx(len(sides) * VOXELS_LATE * ML)


def test_a_side_of_which_nothing_is_normal_is_ill_against_the_other():
    maps = maps_of()
    late = np.broadcast_to(np.arange(60) >= 30, GRID.shape)
    changed = {"tmax": 8.0, "cbf": 20.0, "mtt": 10.5}
    images = {name: Image(np.where(late, value, getattr(maps, name).values), GRID) for name, value in changed.items()}
    lesions = lesions_of(replace(maps, **images), lesion_rule="Philips-like")
    assert lesions.side == "left" and lesions.volumes_ml["hypoperfusion"].ml == pytest.approx(late.sum() * ML)


def test_where_no_side_has_normal_tissue_a_relative_hypoperfusion_is_unknown_and_not_none():
    """All of the brain is late: neither side can be told from the other."""
    changed = {"tmax": 8.0, "cbf": 20.0, "mtt": 10.5}
    images = {name: Image(np.full(GRID.shape, value), GRID) for name, value in changed.items()}
    lesions = lesions_of(replace(maps_of(), **images), lesion_rule="Philips-like")
    assert lesions.side == "unknown" and lesions.hypoperfusion is None
    (check,) = (one for one in judge_lesions(lesions) if one.name == "healthy side")
    assert check.status == "warn" and "A side has less than 20 mL of normal tissue" in check.text
    assert lesions_of(maps_of(), lesion_rule="Philips-like").side == "none"


@pytest.mark.parametrize(("limit", "voxels"), [(215.0, VOXELS_LATE - VOXELS_CORE), (222.0, 0)])
def test_mtt_is_relative_to_mean_volume_over_mean_flow(limit, voxels):
    """Late tissue has 10.5 s, 219 % of 60 · 4 / 50; the core's MTT is made normal."""
    maps = maps_of("left")
    mtt = maps.mtt.values.copy()
    mtt[on("left", CORE)] = 4.8
    own = {"lesion_rule": "own", "hypoperfusion_map": "rMTT", "hypoperfusion_rmtt": limit}
    found = lesions_of(replace(maps, mtt=Image(mtt, GRID, "s")), **own).volumes_ml["hypoperfusion"]
    assert found.ml == pytest.approx(voxels * ML)


@pytest.mark.parametrize(("rows", "known"), [(9, False), (10, True)])
def test_twenty_ml_of_normal_tissue_are_needed(rows, known):
    """Rows of 9 · 12 voxels hold 2.16 mL; with less than 20 mL what is relative is withheld."""
    tissue = TISSUE.copy()
    tissue[..., RIGHT] = False
    tissue[:, :rows, 0:9] = True
    lesions = lesions_of(maps_of("left"), tissue=tissue)
    assert bool(lesions.normal) == known and (lesions.core is not None) == known


def test_without_lesion_and_normal_tissue_there_is_no_core():
    tissue = np.zeros(GRID.shape, dtype=bool)
    tissue[:2, :10, 25:35] = True
    lesions = lesions_of(maps_of(), tissue=tissue)
    assert not lesions.normal and {volume.ml for volume in lesions.volumes_ml.values()} == {0.0}
    core = lesions_of(maps_of(sd=0.5), tissue=tissue).volumes_ml["core"]
    assert core.ml == 0.0 and np.isnan(core.high_ml), "what may be low is not known without normal tissue"


def test_without_a_lesion_the_bound_is_what_may_be_one():
    """5.5 s may be 6 s where it is uncertain by 0.5 s, in parts large enough."""
    maps = maps_of(sd=0.5)
    tmax = maps.tmax.values.copy()
    tmax[on("left", CORE)] = 5.5
    tmax[11, 0, 0] = 5.5
    found = lesions_of(replace(maps, tmax=Image(tmax, GRID, "s"))).volumes_ml
    assert (found["tmax_over_6s"].ml, found["tmax_over_6s"].low_ml) == (0.0, 0.0)
    assert found["tmax_over_6s"].high_ml == pytest.approx(VOXELS_CORE * ML)
    assert found["tmax_over_8s"].high_ml == 0.0
    tissue = TISSUE.copy()
    tissue[4, on("left", CORE)[1]] = False
    part = lesions_of(replace(maps, tmax=Image(tmax, GRID, "s")), tissue=tissue).volumes_ml["tmax_over_6s"]
    assert part.high_ml == pytest.approx((VOXELS_CORE - 10 * 8) * ML), "in tissue"


def test_without_tissue_there_is_no_lesion_and_no_bound():
    lesions = lesions_of(maps_of("left", sd=0.5), tissue=np.zeros(GRID.shape, dtype=bool))
    volume = lesions.volumes_ml["tmax_over_6s"]
    assert volume.ml == 0.0 and np.isnan(volume.high_ml)


def test_facts_are_for_research_only_and_unknown_is_no_number():
    facts = lesion_facts(lesions_of(maps_of("left", "right")))
    assert "Research use only" in facts["lesions"]["note"]
    assert np.isnan(facts["mismatch_ratio"]) and facts["criteria"]["DEFUSE 3"]["met"] is None
    rows = {row[0]: row[1:] for row in lesion_rows(lesions_of(maps_of("left")))}
    assert rows["Core"][0] == pytest.approx(VOXELS_CORE * ML) and rows["Core"][3] == "mL"
    assert criterion_rows(lesions_of(maps_of()))[0][:2] == ("DEFUSE 3", "not met")
    assert criterion_rows(lesions_of(maps_of()))[0][2].startswith("needed: ")


def test_the_rule_is_described_with_its_numbers():
    text = describe_rule(Settings())
    assert text == (
        "core: CBF below 30 % of normal inside the hypoperfusion, as is every volume of low CBF; hypoperfusion: Tmax "
        "above 6 s (RAPID-like, maps by bayesian)"
    )


def test_regions_are_what_the_volumes_were_measured_of():
    lesions = lesions_of(maps_of("left"))
    assert set(lesions.regions) == set(lesions.volumes_ml)
    for name, mask in lesions.regions.items():
        assert np.count_nonzero(mask) * ML == pytest.approx(lesions.volumes_ml[name].ml)
    assert set(lesions_of(maps_of("left", "right")).regions) == {f"tmax_over_{s}s" for s in (4, 6, 8, 10)} | {
        "hypoperfusion"
    }


def test_low_flow_is_sought_where_core_is():
    maps = maps_of("left")
    flow = maps.cbf.values.copy()
    flow[4:8, 15:25, 2:12] = 5.0  # on the other side, in time
    maps = replace(maps, cbf=Image(flow, GRID, maps.cbf.unit))
    inside, anywhere = (lesions_of(maps, core_inside=where).volumes_ml for where in ("hypoperfusion", "anywhere"))
    assert inside["rcbf_below_30"].ml == inside["core"].ml == pytest.approx(VOXELS_CORE * ML)
    assert anywhere["rcbf_below_30"].ml == anywhere["core"].ml == pytest.approx((VOXELS_CORE + 4 * 10 * 10) * ML)


def test_a_core_that_was_not_found_is_bounded_by_the_hypoperfusion_it_is_sought_in():
    """Uncertain flow and delays far from late tissue are no core of it."""
    maps = maps_of("left", sd=0.5)
    flow, wide, delay_sd = maps.cbf.values.copy(), np.full(GRID.shape, 100.0), np.full(GRID.shape, 30.0)
    flow[on("left", CORE)], delay_sd[on("left", LATE)] = 20.0, 0.5
    sds = {"cbf": Image(wide, GRID, "mL/100 g/min"), "delay": Image(delay_sd, GRID, "s")}
    maps = replace(maps, cbf=Image(flow, GRID, "mL/100 g/min"), sd={**maps.sd, **sds})
    volumes = lesions_of(maps).volumes_ml
    core, late = volumes["core"], volumes["hypoperfusion"]
    assert (core.ml, late.ml) == (0.0, pytest.approx(VOXELS_LATE * ML))
    assert VOXELS_LATE * ML <= core.high_ml <= late.high_ml
    assert late.high_ml < lesions_of(maps, core_inside="anywhere").volumes_ml["core"].high_ml
