"""Curves and points that a user gives in files: read, told apart, or refused with the reason."""

from __future__ import annotations

import json

import numpy as np
import pytest

from PyPeTLib import InputError, TimeCurve
from PyPeTLib.inputs import curve_of_columns, read_curve, read_points
from PyPeTLib.write import write_csv

TIMES, HU = [0.0, 1.5, 3.0, 4.5, 6.0], [0.0, 10.0, 200.0, 30.5, 4.0]


def table(folder, text, name="curve.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def rows(separator, head=()):
    lines = [*head, *(separator.join([str(t), str(hu)]) for t, hu in zip(TIMES, HU, strict=True))]
    return "\n".join(lines) + "\n"


def markups(folder, points, *, system="LPS", name="F.mrk.json", **more):
    controls = [{"id": str(k), "position": list(point), **more} for k, point in enumerate(points)]
    content = {"markups": [{"type": "Fiducial", "coordinateSystem": system, "controlPoints": controls}]}
    if system is None:
        del content["markups"][0]["coordinateSystem"]
    return table(folder, json.dumps(content), name)


# --- curves ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("head", [(), ("# from elsewhere",), ("time,HU",), ("", "Zeit [s];HU")])
def test_curve_is_read_with_any_separator_and_with_or_without_names(tmp_path, separator, head):
    head = [line.replace(",", separator).replace(";", separator) for line in head]
    curve = read_curve(table(tmp_path, rows(separator, head)), column="aif_hu")
    assert (curve.times_s.tolist(), curve.hu.tolist()) == (TIMES, HU)


@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("separator", [" ", "   "])
@pytest.mark.parametrize("head", [(), ("# from np.savetxt",), ("time HU",), ("time,s HU",)])
def test_curve_between_blanks_is_read(tmp_path, separator, decimal, head):
    """As np.savetxt and FSL write it, with blanks at the ends too."""
    lines = [f"  {t:.3f}{separator}{hu:.18e}  ".replace(".", decimal) for t, hu in zip(TIMES, HU, strict=True)]
    curve = read_curve(table(tmp_path, "\n".join([*head, *lines, ""])), column="aif_hu")
    assert curve.times_s.tolist() == TIMES and curve.hu.tolist() == HU


def test_commas_followed_by_blanks_are_no_decimal_ones(tmp_path):
    assert read_curve(table(tmp_path, "".join(rows(", "))), column="aif_hu").hu.tolist() == HU


@pytest.mark.parametrize("separator", [";", "\t"])
def test_decimal_commas_are_read_beside_other_separators(tmp_path, separator):
    text = rows(separator).replace(".", ",").replace("\n", f"{separator}a,1\n")
    curve = read_curve(table(tmp_path, text), column="aif_hu")
    assert (curve.times_s.tolist(), curve.hu.tolist()) == (TIMES, HU)


@pytest.mark.parametrize("column", ["aif_hu", "vof_hu"])
def test_own_curve_table_is_read_by_name(tmp_path, column):
    columns = {"time_s": np.array(TIMES), "aif_measured_hu": np.zeros(5), "aif_hu": np.array(HU), "vof_hu": np.ones(5)}
    write_csv(columns, tmp_path / "x_curves.csv")
    assert read_curve(tmp_path / "x_curves.csv", column=column).hu.tolist() == columns[column].tolist()


def test_own_curve_table_without_the_column_is_not_guessed(tmp_path):
    columns = {"time_s": np.array(TIMES), "aif_hu": np.array(HU), "brain_hu": np.ones(5), "vof_hu": np.full(5, np.nan)}
    write_csv(columns, tmp_path / "x_curves.csv")
    with pytest.raises(InputError, match=r"column vof_hu beside time_s are needed; found time_s, aif_hu, brain_hu\."):
        read_curve(tmp_path / "x_curves.csv", column="vof_hu")


def test_columns_of_words_do_not_count(tmp_path):
    text = "".join(f"frame {k};{t};{hu}\n" for k, (t, hu) in enumerate(zip(TIMES, HU, strict=True)))
    assert read_curve(table(tmp_path, text), column="aif_hu").hu.tolist() == HU


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "two columns of numbers are needed.*found none"),
        ("1\n2\n3\n4\n5\n", r"found one \(column 1\)\. Put tabs"),
        ("a,b\nc,d\n", "found none"),
        ("0,1\n1,2\n2,9\n", r"at least 5 points .* found 3\. Give all points"),
        ("0,1\n1,2\n2,\n3,9\n4,5\n", "found 1 of 5 incomplete. Delete"),
        ("0,1\n1,2\n2,inf\n3,9\n4,5\n", "found 1 of 5 incomplete"),
        ("0,1\n2,2\n1,3\n3,9\n4,5\n", "must increase; found 1 s after 2 s in row 3. Sort"),
    ],
)
def test_table_that_holds_no_curve_is_refused(tmp_path, text, message):
    path = table(tmp_path, text)
    with pytest.raises(InputError, match=rf"Curve .*curve\.csv: .*{message}"):
        read_curve(path, column="aif_hu")


def test_a_curve_beyond_all_hu_is_refused(tmp_path):
    """A fit of it ended in a traceback."""
    path = table(tmp_path, "".join(f"{k},{k}e307\n" for k in range(6)))
    with pytest.raises(InputError, match=r"curve\.csv: HU of at most 100000 are needed; found 5e\+307\. Check the col"):
        read_curve(path, column="aif_hu")


def test_columns_of_one_name_are_told_apart_or_refused(tmp_path):
    """The last of them was taken."""
    path = table(tmp_path, "hu,hu\n" + "".join(f"{k},{(k - 2) ** 2}\n" for k in range(6)))
    assert read_curve(path, column="aif_hu").times_s.tolist() == [0, 1, 2, 3, 4, 5]
    path = table(tmp_path, "time_s,aif_hu,aif_hu\n" + "".join(f"{k},{k},{-k}\n" for k in range(6)))
    with pytest.raises(InputError, match=r"one column aif_hu is needed; found 2\."):
        read_curve(path, column="aif_hu")


def test_missing_or_binary_file_is_refused(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"\xfd\xfe\x00\x81")
    for name, found in (("x.csv", "bytes that are no text in UTF-8"), ("none.csv", "no such file or directory")):
        with pytest.raises(InputError, match=f"a text file is needed; found {found}"):
            read_curve(tmp_path / name, column="aif_hu")


def test_table_with_an_endless_cell_is_refused(tmp_path):
    """Of more characters than the reader of tables takes: a file of another kind, or a quotation mark left open."""
    path = table(tmp_path, rows(",") + f'"{"7" * 140_000}",1\n')
    with pytest.raises(InputError, match=r"Curve .*curve\.csv: a table of numbers is needed; found: field larger than"):
        read_curve(path, column="aif_hu")


def test_curve_is_frozen_and_leaves_its_input_alone():
    times, hu = np.array(TIMES), np.array(HU)
    curve = TimeCurve(times, hu)
    times[0] = hu[0] = -9.0
    assert (curve.times_s[0], curve.hu[0]) == (0.0, 0.0)
    with pytest.raises(ValueError, match="read-only"):
        curve.hu[0] = 1.0


def test_curve_of_two_shapes_is_refused():
    with pytest.raises(InputError, match=r"found times of shape \(5,\) and HU of shape \(4,\)"):
        TimeCurve(np.array(TIMES), np.array(HU[:4]))
    with pytest.raises(InputError, match="shape"):
        TimeCurve(np.zeros((5, 2)), np.zeros((5, 2)))


@pytest.mark.parametrize("hu", [["low", "high", "low", "low", "low"], [[1.0], [1.0, 2.0]], [{}] * 5])
def test_curve_without_numbers_is_refused(hu):
    with pytest.raises(InputError, match="numbers are needed, times in s and HU; found"):
        TimeCurve(TIMES, hu)


def test_columns_without_names_of_ours_are_the_first_two():
    columns = {"t": np.array(TIMES), "artery": np.array(HU), "vein": np.zeros(5)}
    assert curve_of_columns(columns, column="vof_hu", name="x").hu.tolist() == HU


# --- points ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("system", ["LPS", "RAS", "0", "1", None])
def test_points_of_a_markup_file_are_in_lps(tmp_path, system):
    sign = -1.0 if system in ("RAS", "0") else 1.0
    path = markups(tmp_path, [(sign * 1.5, sign * -2.0, 7.0), (sign * 3.0, 0.0, -1.0)], system=system)
    assert read_points(path) == [(1.5, -2.0, 7.0), (3.0, 0.0, -1.0)]


def test_points_of_several_lists_count_and_those_not_placed_do_not(tmp_path):
    path = markups(tmp_path, [(1.0, 2.0, 3.0)])
    content = json.loads(path.read_text())
    open_point = {"position": [0.0, 0.0, 0.0], "positionStatus": "undefined"}
    content["markups"].append({"coordinateSystem": "RAS", "controlPoints": [open_point, {"position": [1, 1, 1]}]})
    path.write_text(json.dumps(content))
    assert read_points(path) == [(1.0, 2.0, 3.0), (-1.0, -1.0, 1.0)]


@pytest.mark.parametrize(("system", "sign"), [("RAS", -1.0), ("LPS", 1.0), ("0", -1.0), ("1", 1.0)])
def test_older_point_files_are_read(tmp_path, system, sign):
    text = f"# Markups fiducial file version = 5.0\n# CoordinateSystem = {system}\n# columns = id,x,y,z,ow\n"
    path = table(tmp_path, text + "F-1,1.5,2,3,0\nF-2,4,5,6,0\n", "F.fcsv")
    assert read_points(path) == [(sign * 1.5, sign * 2.0, 3.0), (sign * 4.0, sign * 5.0, 6.0)]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("F.csv", "1,2,3", "markup file of 3D Slicer .* is needed; found '.csv'"),
        ("F.json", "{", "3D Slicer's markups.* are needed; found a mistake in line 1, column 2"),
        ("F.json", "[]", "3D Slicer's markups.* are needed; found none"),
        ("F.json", '{"markups": []}', "at least one point .* found none"),
        (
            "F.json",
            '{"markups": [{"controlPoints": [{"position": [1, 2]}]}]}',
            r"numbers in mm .* found \[1, 2\]",
        ),
        ("F.json", '{"markups": [{"controlPoints": [{"position": [1, 2, "x"]}]}]}', "three numbers in mm"),
        (
            "F.json",
            '{"markups": [{"coordinateSystem": "IJK", "controlPoints": [{"position": [1, 2, 3]}]}]}',
            "RAS are needed; found 'IJK'",
        ),
        (
            "F.json",
            '{"markups": [{"coordinateUnits": "um", "controlPoints": [{"position": [1, 2, 3]}]}]}',
            "coordinates in mm are needed; found the unit um. Save",
        ),
        (
            "F.json",
            '{"markups": [{"coordinateUnits": ["mm", "mm", "cm"], "controlPoints": [{"position": [1, 2, 3]}]}]}',
            r"found the unit \['mm', 'mm', 'cm'\]",
        ),
        ("F.fcsv", "F-1,1,2,3\n", "a line '# CoordinateSystem = RAS' or LPS is needed; found none"),
        (
            "F.json",
            f'{{"markups": [{{"controlPoints": [{{"position": [1, 2, 1{"0" * 400}]}}]}}]}}',
            r"three numbers in mm a point are needed; found \[1, 2, 10{50,60}\.$",
        ),
        pytest.param("F.json", "[" * 200_000, "found too many brackets within each other", id="nested"),
        pytest.param(
            "F.fcsv",
            f"# CoordinateSystem = LPS\nF,{'1' * 140_000},2,3\n",
            "a table of numbers is needed; found: field larger than",
            id="endless",
        ),
        ("F.json", '{"markups": [{"controlPoints": [{"position": "123"}]}]}', "three numbers in mm .* found 123"),
        ("F.json", '{"markups": [{"controlPoints": [{"position": [1, 2, NaN]}]}]}', r"found \[1, 2, nan\]"),
        ("F.fcsv", "# CoordinateSystem = LPS\nF-1,1,inf,2\n", r"found \['1', 'inf', '2'\]"),
        ("F.fcsv", "# CoordinateSystem = LPS\n", "at least one point"),
        pytest.param("F.fcsv", "# CoordinateSystem = LPS\n" + "F,1,2,3\n" * 1001, "at most 1000 points", id="many"),
        ("F.fcsv", "# CoordinateSystem = LPS\nF-1,1,2\n", "three numbers in mm"),
    ],
)
def test_file_that_holds_no_points_is_refused(tmp_path, name, text, message):
    path = table(tmp_path, text, name)
    with pytest.raises(InputError, match=rf"Points .*{name}: .*{message}"):
        read_points(path)
