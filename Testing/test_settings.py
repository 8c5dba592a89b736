"""Settings: ranges, words, files, and messages that name thing, need, found and cure."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest

from PyPeTLib import InputError, PyPeTError, Settings
from PyPeTLib.settings import (
    READ_WITH,
    _flat_toml,
    describe_settings,
    parse_assignment,
    settings_from_toml,
    settings_to_toml,
    without_effect,
)

INFOS = describe_settings()
NUMBERS = [info for info in INFOS if not info.choices]
WORDS = [info for info in INFOS if info.choices]


def named(info):
    return info.name


def test_every_setting_is_described_once_with_range_or_words_and_meaning():
    assert [info.name for info in INFOS] == [entry.name for entry in dataclasses.fields(Settings)]
    for info in INFOS:
        assert info.meaning and info.default == getattr(Settings(), info.name)
        if info.choices:
            assert info.default in info.choices and info.low is None and info.high is None
        else:
            assert info.low <= info.default <= info.high


@pytest.mark.parametrize("info", NUMBERS, ids=named)
def test_ends_of_the_range_are_allowed_and_what_lies_beyond_is_not(info):
    kind = type(info.default)
    for value in (info.low, info.high):
        assert getattr(Settings(**{info.name: kind(value)}), info.name) == value
    for value in (kind(info.low - 1), kind(info.high + 1)):
        with pytest.raises(InputError) as caught:
            Settings(**{info.name: value})
        for part in (f"Setting {info.name}:", f"{info.low:g}", f"{info.high:g}", info.unit, f"found {value!r}"):
            assert part in str(caught.value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "1", None, True, [1.0]])
@pytest.mark.parametrize("info", NUMBERS[:4], ids=named)
def test_what_is_no_number_is_refused(info, value):
    with pytest.raises(InputError, match=rf"Setting {info.name}: a (whole )?number in"):
        Settings(**{info.name: value})


def test_whole_numbers_stay_whole():
    with pytest.raises(InputError, match=r"a whole number in 1 … 50 is needed; found 2\.5"):
        Settings(curvature_flow_iterations=2.5)
    assert Settings(gaussian_sigma_mm=3).gaussian_sigma_mm == 3  # a whole number where any number will do


@pytest.mark.parametrize("info", WORDS, ids=named)
def test_unknown_words_are_refused_with_all_words_and_the_nearest(info):
    for word in info.choices:
        assert getattr(Settings(**{info.name: word}), info.name) == word
    for wrong in (info.choices[-1][:-1], "", 3, None):
        with pytest.raises(InputError) as caught:
            Settings(**{info.name: wrong})
        assert all(word in str(caught.value) for word in info.choices)
        assert f"found '{wrong}'" in str(caught.value)
    with pytest.raises(InputError, match=f"nearest: {info.choices[0]}"):
        Settings(**{info.name: info.choices[0].swapcase() + "x"})


def test_limits_must_leave_room_between_them():
    with pytest.raises(InputError, match="minimum below its maximum"):
        Settings(aif_minimum_volume_ml=1.0, aif_maximum_volume_ml=0.05)


def test_errors_are_value_errors_with_one_parent():
    with pytest.raises(ValueError):
        Settings(method="fSVD")
    with pytest.raises(PyPeTError):
        Settings(method="fSVD")


def test_settings_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().method = "sSVD"


def test_changed_returns_a_checked_copy():
    base = Settings()
    other = base.changed({"method": "sSVD", "bone_hu": 250})
    assert (other.method, other.bone_hu, base.method) == ("sSVD", 250, "bayesian")
    with pytest.raises(InputError, match=r"Unknown setting 'metod' \(nearest: method.*'pypet settings' lists all"):
        base.changed({"metod": "sSVD"})
    with pytest.raises(InputError, match="bone_hu"):
        base.changed({"bone_hu": -5.0})


def test_every_setting_that_is_said_to_be_read_exists_and_is_reached_from_a_choice():
    words = {info.name: info.choices for info in WORDS}
    for choice, own in READ_WITH.items():
        assert set(own) <= set(words[choice])
        assert {name for names in own.values() for name in names} <= {info.name for info in INFOS}


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"bsvd_cutoff": 0.2}, {"bsvd_cutoff": "method=bayesian"}),
        ({"late_probability": 0.6, "method": "oSVD"}, {"late_probability": "method=oSVD"}),
        ({"core_cbv": 3.0}, {"core_cbv": "lesion_rule=RAPID-like"}),
        ({"core_cbv": 3.0, "lesion_rule": "own"}, {"core_cbv": "core_map=rCBF"}),
        ({"tikhonov_strength": 0.2, "method": "tikhonov"}, {"tikhonov_strength": "tikhonov_choice=gcv"}),
        ({"tikhonov_strength": 0.2}, {"tikhonov_strength": "method=bayesian"}),
        ({"residue": "box", "method": "bSVD"}, {"residue": "method=bSVD, correction=none"}),
        ({"residue": "box", "method": "nlr"}, {"residue": "method=nlr"}),
        ({"residue": "box", "method": "bSVD", "correction": "simulation"}, {}),
        ({"mtt_prior": "flat", "method": "bSVD", "correction": "simulation"}, {}),
    ],
)
def test_a_changed_setting_without_effect_is_named_with_the_choice_that_leaves_it_unread(changed, why):
    assert without_effect(Settings(**changed)) == why


def test_hematocrit_factor_is_the_ratio_of_plasma():
    assert Settings().hematocrit_factor == pytest.approx(0.55 / 0.75)
    assert Settings(hematocrit_large=0.4, hematocrit_small=0.4).hematocrit_factor == 1.0


# --- text -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("method=oSVD", ("method", "oSVD")),
        (" gaussian_sigma_mm = 1.5 ", ("gaussian_sigma_mm", 1.5)),
        ("curvature_flow_iterations=4", ("curvature_flow_iterations", 4)),
        ("tissue_low_hu=-1e1", ("tissue_low_hu", -10.0)),
    ],
)
def test_assignments_are_read_in_the_type_of_their_setting(text, expected):
    found = parse_assignment(text)
    assert found == expected and type(found[1]) is type(expected[1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("method", "NAME=VALUE; found 'method'"),
        ("Tmax=4", "Unknown setting 'Tmax' .nearest: hypoperfusion_tmax_s, normal_tmax_s;"),
        ("gausian_sigma_mm=2", "Unknown setting 'gausian_sigma_mm' .nearest: gaussian_sigma_mm"),
        ("gaussian_sigma_mm=thick", r"a number in 0\.3 … 10.* is needed; found 'thick'"),
        ("curvature_flow_iterations=2.5", "a whole number in 1 … 50 is needed; found '2.5'"),
        ("=3", "Unknown setting ''"),
        ("core_cbv=1,5", r"a number in .* is needed; found '1,5'\. A decimal point is needed: write 1\.5\.$"),
    ],
)
def test_assignments_that_cannot_be_read_say_why(text, message):
    with pytest.raises(InputError, match=message):
        parse_assignment(text)


def test_a_settings_file_gives_back_what_was_written():
    changed = Settings(
        method="oSVD", bone_hu=250, tissue_low_hu=-12.5, curvature_flow_iterations=3, normalise="brain-mean"
    )
    for settings in (Settings(), changed):
        values = settings_from_toml(settings_to_toml(settings), source="settings.toml")
        assert Settings(**values) == settings


def test_a_settings_file_explains_every_entry():
    text = settings_to_toml(Settings())
    for info in INFOS:
        assert info.meaning in text and f"\n{info.name} = " in text


def test_a_settings_file_is_in_ascii():
    """`pypet settings --toml > FILE` writes the character set of the terminal, in which settings files are not read."""
    assert settings_to_toml(Settings()).isascii()


def test_python_310_reads_settings_files_as_later_versions_do():
    tomllib = pytest.importorskip("tomllib")
    text = settings_to_toml(Settings(method="sSVD")) + "\n  # end\n"
    assert _flat_toml(text) == tomllib.loads(text)
    for wrong in ("method", "method =", "= 3", "method = oSVD", "bone_hu = 300\nbone_hu = 200", "[table]"):
        with pytest.raises(ValueError):
            _flat_toml(wrong)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("method", "Settings file mine.toml: lines of the form name = value are needed; found:"),
        ("bone_hu = 300\nbone_hu = 200", "Settings file mine.toml"),
        pytest.param(".".join("a" * 40_000) + " = 1", "at most 65536 letters are needed; found 80003", id="dotted"),
        pytest.param("bone_hu = " + "[" * 50_000, "found: too many brackets within each other", id="nested"),
        ("speed = 3", "Unknown setting 'speed'"),
        ('method = "fSVD"', "one of bayesian"),
        ("bone_hu = 5", "bone_hu"),
        ("bone_hu = [300]", "bone_hu"),
        ('bone_hu = "300"', "bone_hu"),
        ("bone_hu = 300\ncore_cbv = 1,5  # mL", r"\. Line 2, core_cbv: A decimal point is needed: write 1\.5\.$"),
        ('core_cbv = "1,5"', r"found '1,5'\. A decimal point is needed: write 1\.5\.$"),
    ],
)
def test_settings_files_that_cannot_be_read_say_why(text, message):
    with pytest.raises(InputError, match=message):
        settings_from_toml(text, source="mine.toml")


def test_numbers_of_numpy_are_numbers():
    assert Settings(gaussian_sigma_mm=np.float64(2.0)).gaussian_sigma_mm == 2.0
    swept = [Settings(core_rcbf=share) for share in np.arange(20, 45, 5)]
    assert [one.core_rcbf for one in swept] == [20, 25, 30, 35, 40]
    mixed = swept[1].changed({"core_cbv": np.float32(1.5), "curvature_flow_iterations": np.int16(5)})
    assert settings_from_toml(settings_to_toml(mixed), source="mine.toml") == dict(mixed.items())
    assert {type(value) for _, value in mixed.items()} == {int, float, str}
    for value in (np.float32(np.nan), np.int64(0), np.bool_(True), np.array([25])):
        with pytest.raises(InputError, match="core_rcbf: a number in 1 … 100 % of normal is needed"):
            Settings(core_rcbf=value)


def test_names_and_meanings_are_distinct():
    for one, other in itertools.combinations(INFOS, 2):
        assert one.name != other.name and one.meaning != other.meaning
