"""What the test_compare_* files share: two runs on one scan, one of them as reference maps, and calls."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from PyPeTLib.cli import main
from PyPeTLib.cohort import compare_folders
from PyPeTLib.geometry import Image
from PyPeTLib.progress import silent
from PyPeTLib.read import read_image
from PyPeTLib.write import write_image

MAPS = ("cbf", "cbv", "mtt", "tmax")
LABELS = ("CBF", "CBV", "MTT", "Tmax")


@pytest.fixture(scope="module")
def isles(runs, tmp_path_factory):
    """The other maps as a case of ISLES 2024: no sidecars, no masks, in its folders."""
    return put_isles(tmp_path_factory.mktemp("isles"), runs / "other", "sub-01", "ses-01")


@pytest.fixture(scope="module")
def comparison(runs):
    return compared(runs / "ours", runs / "other").cases[0]


def put_isles(root: Path, source: Path, subject: str, session: str) -> Path:
    folder = root / subject / session / "perfusion-maps"
    folder.mkdir(parents=True)
    for name in MAPS:
        shutil.copy(source / f"sub-01_ses-01_{name}.nii.gz", folder / f"{subject}_{session}_{name}.nii.gz")
    return root


def put_run(root: Path, source: Path, prefix: str) -> Path:
    """Copy a run under another name."""
    folder = root / prefix
    folder.mkdir(parents=True)
    for file in source.iterdir():
        shutil.copy(file, folder / file.name.replace("sub-01_ses-01", prefix))
    return folder


def compared(results, *references, **options):
    return compare_folders(Path(results), [Path(one) for one in references], progress=silent, **options)


def maps_in(folder: Path, **changed) -> Path:
    """Write maps alone into a folder, some of them changed: a function of the image, or None to leave it out."""
    folder.mkdir()
    source = changed.pop("source")
    for name in MAPS:
        image = read_image(source / f"sub-01_ses-01_{name}.nii.gz")
        image = changed[name](image) if changed.get(name, 0) else image
        if name not in changed or changed[name] is not None:
            write_image(image, folder / f"x_{name}.nii.gz", missing=float("nan"))
    return folder


def refused(arguments, capsys, code=2):
    assert main(["compare", *map(str, arguments)]) == code
    message = capsys.readouterr().err
    assert message.startswith("pypet: ")
    assert "Traceback" not in message
    return message


def moved(image, **changes):
    return Image(image.values, replace(image.geometry, **changes), image.unit)


@pytest.fixture(scope="module")
def data_set(runs, tmp_path_factory):
    """Three subjects: results in folders of their own, references in the layout of ISLES; the third is damaged."""
    root = tmp_path_factory.mktemp("set")
    for subject, source in (("sub-01", "ours"), ("sub-02", "other"), ("sub-03", "ours")):
        put_run(root / "results", runs / source, f"{subject}_ses-01")
        put_isles(root / "isles", runs / "other", subject, "ses-01")
    cbf = root / "isles/sub-03/ses-01/perfusion-maps/sub-03_ses-01_cbf.nii.gz"
    cbf.write_bytes(cbf.read_bytes()[:500])
    return root


@pytest.fixture(scope="module")
def written(data_set):
    """The command on a data set with a broken case: output, exit code and both streams."""
    command = [sys.executable, "-m", "PyPeTLib", "compare", "results", "isles", "-o", "out"]
    found = subprocess.run(command, capture_output=True, text=True, cwd=data_set, check=False)
    return data_set / "out", found
