"""Reference maps of other programs: found by their names, and read, pictures in colour included."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PyPeTLib.comparison_files import comparison_files, files_below
from PyPeTLib.display import MAP_LABELS, method_label
from PyPeTLib.errors import InputError
from PyPeTLib.files import scan_name
from PyPeTLib.geometry import Image
from PyPeTLib.outputs import Provenance, known_settings, place_of, read_provenance
from PyPeTLib.pairing import limited, resampled
from PyPeTLib.pictures import OTHER_PICTURES, Scale, is_image, picture_map, read_picture
from PyPeTLib.read import read_image, read_oriented
from PyPeTLib.times import read_sidecar
from PyPeTLib.typeset import counted, counted_names

#: Files of one case's maps, by the name of the map; one each, unless the case is refused.
Files = Mapping[str, Sequence[Path]]

#: How a map's file is named: PREFIX_tmax.nii.gz, or tmax.nii.gz.
_NAME = re.compile(rf"(?:(?P<prefix>.*)[_-])?(?P<map>{'|'.join(MAP_LABELS)})", re.IGNORECASE)
#: Subject and session of the ISLES 2024 data set and of BIDS, which name a case.
_CASE = re.compile(r"(sub-[^_]+(?:_ses-[^_]+)?)(?:_.*)?")
#: The space that maps were resampled into, in the names of BIDS.
_SPACE = re.compile(r"(?:^|_)space-([^_]+)")
#: How a map is named that may be relative, to the other side or to a mean: PREFIX_rCBF.nii.gz.
_RELATIVE = re.compile(rf"(?:(?P<prefix>.*)[_-])?r(?:el)?(?P<map>{'|'.join(MAP_LABELS)})", re.IGNORECASE)
#: What helps where a folder holds two files of one map.
_LEAVE_ONE = "Leave one in the folder, or give 'pypet compare' the files one by one."


def find_references(paths: Sequence[Path]) -> dict[str, dict[str, list[Path]]]:
    """Return the files of maps, by prefix and map.

    Parameters
    ----------
    paths : sequence of Path
        A folder, in which files named ``PREFIX_{cbf,cbv,mtt,tmax,ttp,delay}`` with the extension of an image are
        sought, also in all folders below (ISLES 2024: ``sub-X/ses-01/perfusion-maps/sub-X_ses-01_cbf.nii.gz``); or
        files, of such names or given as ``MAP=FILE``.

    Raises
    ------
    InputError
        If there is none, a name tells no map, or two files given one by one are the same map.
    """
    if len(paths) == 1 and paths[0].is_dir():
        files = _but_for_comparisons(files_below(paths[0]))
        named = [(file, _NAME.fullmatch(_stem(file))) for file in files if is_image(file)]
        found = [(_composed(match["prefix"] or ""), match["map"].lower(), file) for file, match in named if match]
        if not found:
            raise InputError(_no_maps(paths[0], files))
    else:
        found = [("", *_named(path)) for path in paths]
        _one_each(_grouped(found)[""], "Leave one out.")
    return _grouped(found)


def maps_of_run(beside: Path, run: str) -> set[str]:
    """Return the paths, without links, that the maps of a run have in the folder of one of its files."""
    return {os.path.realpath(beside.with_name(f"{run}_{name}.nii.gz")) for name in MAP_LABELS}


def but_for_own(references: Mapping[str, Files], own: Collection[str]) -> Mapping[str, Files]:
    """Leave out the maps of runs, as where their folder is in the references'; keep them if there are no others.

    Parameters
    ----------
    references : mapping
        From `find_references`.
    own : collection of str
        From `maps_of_run`.
    """
    others = {
        prefix: {name: kept for name, paths in files.items() if (kept := _not_among(own, paths))}
        for prefix, files in references.items()
    }
    return {prefix: files for prefix, files in others.items() if files} or references


def _not_among(own: Collection[str], paths: Iterable[Path]) -> list[Path]:
    return [path for path in paths if os.path.realpath(path) not in own]


def reference_of(name: str, references: Mapping[str, Files], *, alone: bool) -> dict[str, Path]:
    """Return the reference maps of a case.

    Parameters
    ----------
    name : str
        Of the run.
    references : mapping
        From `find_references`.
    alone : bool
        Whether there is one run only: then reference maps of any other name are its own, unless they name another
        subject or session.

    Raises
    ------
    InputError
        If there are none, it is not clear which, or two files are the same map.
    """
    name, case = _composed(name), case_of(name)
    own = {prefix: files for prefix, files in references.items() if case_of(prefix) == case}
    if name in own or len(own) == 1:
        return _one_each(own.get(name) or next(iter(own.values())))
    if not own and alone:
        others = [prefix for prefix in references if _is_case(prefix) and _is_case(name)]
        own = {prefix: files for prefix, files in references.items() if prefix not in others}
        names = [one for files in own.values() for one in files]
        if own and len(set(names)) == len(names):
            return _one_each({one: found for files in own.values() for one, found in files.items()})
    listed = ", ".join(prefix or "maps without a prefix" for prefix in list(own or references)[:5])
    need = "one set of reference maps is needed" if own else "reference maps of this case are needed"
    cure = f"Give a folder that holds {'one set' if own else 'them'}, or 'pypet compare' the files one by one."
    raise InputError(f"Case {name}: {need} ({name}_cbf.nii.gz, ...); found {listed}. {cure}")


def doubts_of_choice(name: str, references: Mapping[str, Files], files: Mapping[str, Path]) -> list[str]:
    """Return remarks where `reference_of` had to choose, or where what it took may be in another space than the run.

    ISLES 2024 has each map twice, as ``raw_data`` and, resampled, as ``derivatives``. Maps named as relative ones,
    ``PREFIX_rCBF.nii.gz``, are not taken, which is said where there is no other of the kind.

    Parameters
    ----------
    name, references
        What `reference_of` was given.
    files : mapping of str to Path
        What it returned.
    """
    taken, own = set(files.values()), [maps for prefix, maps in references.items() if case_of(prefix) == case_of(name)]
    others = [path for maps in own for paths in maps.values() for path in paths if path not in taken]
    spaces = {found[1] for path in files.values() if (found := _SPACE.search(_prefix(path)))}
    relative = _relative(files)
    if spaces and not _SPACE.search(name):
        return [
            f"The reference was brought into another space before, {', '.join(sorted(spaces))}, as its name says: maps "
            f"named as the run, {name}_, were not found.",
            *relative,
        ]
    if not others:
        return relative
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    which = f"Those whose names begin as the run's, {name}_, were taken."
    return [f"This case has other reference maps, too, which were passed over: {others[0]}{more}. {which}", *relative]


def _relative(files: Mapping[str, Path]) -> list[str]:
    """Return remarks on maps beside the reference's that are named as relative ones, where it has none of the kind."""
    cases = {case_of(_prefix(path)) for path in files.values()}
    beside = sorted({file for path in files.values() for file in path.parent.glob("*") if is_image(file)})
    named = [(file, match) for file in beside if (match := _RELATIVE.fullmatch(_stem(file)))]
    return [
        f"{file.name} was passed over: by its name it may be relative. If it holds {MAP_LABELS[name]} in physical "
        f"units, give 'pypet compare' the files one by one, this one as {name}=FILE."
        for file, match in named
        if (name := match["map"].lower()) not in files and case_of(match["prefix"] or "") in cases
    ]


def case_of(prefix: str) -> str:
    """Return subject and session of a prefix; the whole prefix where it names none.

    Examples
    --------
    >>> case_of("sub-stroke0001_ses-01_space-ncct"), case_of("phantom_truth")
    ('sub-stroke0001_ses-01', 'phantom_truth')
    """
    match = _CASE.fullmatch(_composed(prefix))
    return match[1] if match else _composed(prefix)


def _composed(name: str) -> str:
    """Return a name with one sign a letter: macOS may write "ü" as "u" and two dots, others do not."""
    return unicodedata.normalize("NFC", name)


def read_reference(name: str, path: Path, scales: Mapping[str, Scale]) -> tuple[Image, str]:
    """Read a reference map.

    Parameters
    ----------
    name : str
        Which map it is.
    path : Path
        Its file; ``PREFIX_brain_mask.nii.gz`` beside it, where there is one, says where it has values.
    scales : mapping of str to Scale
        What the user said of the colour bars of pictures, by map.

    Returns
    -------
    Image, str
        The map with its unit, "" where it is not known, and what has to be said of it: how a picture was read, or that
        the file leaves open where it lies; "" where nothing has.

    Raises
    ------
    InputError
        If the file cannot be read, or is a picture of which no scale is known.
    """
    picture, scale = read_picture(path), scales.get(name)
    if picture is None:
        image, place = read_oriented(path)
        if scale is None:
            told = place.text.removeprefix(path.name).strip(":. ")
            return _within_brain(image, path), told if place.doubtful else ""
        raise InputError(
            f"Reference {path.name}: a picture in colour is needed for a colour bar; found one number a voxel. "
            f"Leave out the colour bar of {name}."
        )
    if scale is None:
        raise InputError(
            f"Reference {path.name}: one number a voxel is needed, or the values at the ends of a colour bar and their "
            f"unit; found a picture in colour without them. Give 'pypet compare' --colour-bar {name}=LOW:HIGH:UNIT, as "
            "printed beside the bar; 'pypet run --reference' takes maps of numbers only."
        )
    return picture_map(path, *picture, scale)


def read_sds(files: Mapping[str, Path], wanted: Collection[str]) -> dict[str, Image]:
    """Read the standard deviations ``PREFIX_{cbf,cbv,mtt,delay}_sd.nii.gz`` beside reference maps, where there are any.

    Parameters
    ----------
    files : mapping of str to Path
        From `reference_of`.
    wanted : collection of str
        Names of maps; the standard deviation of the delay is sought beside Tmax.
    """
    maps = {name: files.get("tmax" if name == "delay" else name) for name in sorted(wanted)}
    found = {name: _beside(path, f"{name}_sd.nii.gz") for name, path in maps.items() if path is not None}
    return {name: read_image(path) for name, path in found.items() if path is not None}


def provenance_of(files: Mapping[str, Path]) -> Provenance:
    """Return where the reference maps of a case are from, as ``PREFIX_summary.json`` or else a map's sidecar says.

    Parameters
    ----------
    files : mapping of str to Path
        From `reference_of`.
    """
    beside = {path: _beside(path, "summary.json") for path in files.values()}
    runs = {file: read_provenance(file) for file in dict.fromkeys(beside.values()) if file is not None}
    sidecars = {path: read_sidecar(path) for path in beside}
    methods = [(file is not None and runs[file].method) or _method(sidecars[path]) for path, file in beside.items()]
    marks = [*(run.invalid for run in runs.values()), *(_texts(about.get("Invalid")) for about in sidecars.values())]
    return Provenance(
        ", ".join(dict.fromkeys(_place(path) if len(files) > 1 else str(path) for path in files.values())),
        " and ".join(dict.fromkeys(method for method in methods if method)),
        tuple(dict.fromkeys(text for texts in marks for text in texts)),
    )


def _place(path: Path) -> str:
    """Return what a map's path has in common with those of its run."""
    prefix = _prefix(path)
    return place_of(path, prefix) if prefix else str(path)


def _prefix(path: Path) -> str:
    """Return what the name of a map's file begins with; "" where that is nothing."""
    match = _NAME.fullmatch(_stem(path))
    return (match and match["prefix"]) or ""


def _method(about: Mapping[str, Any]) -> str:
    """Return the method of a map as its sidecar tells it, by the settings of the run in the words of its summary."""
    settings = about.get("Settings")
    try:
        if isinstance(settings, dict) and "method" in settings:
            return method_label(known_settings(settings))
    except (TypeError, ValueError):  # of another version, or changed by hand
        pass
    return str(about.get("DeconvolutionMethod") or "")


def _texts(value: object) -> list[str]:
    return [str(text) for text in value] if isinstance(value, list) else []


def _beside(path: Path, name: str) -> Path | None:
    """Return another file of the same run as a map, where there is one."""
    prefix = _prefix(path)
    file = path.with_name(f"{prefix}_{name}")
    return file if prefix and file.is_file() else None


def _within_brain(image: Image, path: Path) -> Image:
    """Leave out what lies outside the reference's own brain mask: its zeros are no values."""
    mask = _beside(path, "brain_mask.nii.gz")
    if mask is None:
        return image
    inside = resampled(read_image(mask), image.geometry).values >= 0.5
    return limited(image, inside)


def _stem(path: Path) -> str:
    return scan_name(path) if path.suffix.lower() != ".png" else path.stem


def _is_case(prefix: str) -> bool:
    return _CASE.fullmatch(prefix) is not None


def _named(path: Path) -> tuple[str, Path]:
    """Return map and file of an argument: MAP=FILE, or a file whose name ends with the map."""
    word, equals, file = str(path).partition("=")
    if equals and word.lower() in MAP_LABELS:
        if not file:  # Path("") would be this folder
            raise InputError(
                f"Reference {path}: a file is needed behind the sign; found none (a shell variable that is not set?). "
                "Give one."
            )
        return word.lower(), _present(Path(file))
    known = ", ".join(MAP_LABELS)
    if equals and Path(word).name == word and not path.exists():
        raise InputError(
            f"Reference {path}: MAP=FILE, MAP one of {known}, or the path of a file is needed; found '{word}', which "
            "is no map, and no file of this whole name. Name the map, or check the path."
        )
    match = _NAME.fullmatch(_stem(_present(path)))
    if match is None:
        raise InputError(
            f"Reference {path}: a folder, or a file whose name ends with the map ({known}), such as vendor_cbf.nii.gz, "
            "is needed; found another name. Give it as MAP=FILE."
        )
    return match["map"].lower(), path


def _present(path: Path) -> Path:
    """Return the path of a file that is there and is of a kind that is read."""
    need = f"Reference {path}: a file or one folder is needed; found"
    if path.is_dir():
        raise InputError(f"{need} a folder where a file was meant. Give it alone, or the files in it.")
    if not path.is_file():
        raise InputError(f"{need} none: this path does not exist. Check the path.")
    if path.suffix.lower() in OTHER_PICTURES:
        raise InputError(
            f"Reference {path}: pictures have to be PNG; found {path.suffix}. Export it again as PNG: one made of a "
            "JPEG keeps the colours that its compression has changed."
        )
    return path


def _but_for_comparisons(files: Sequence[Path]) -> list[Path]:
    """Leave out the files of comparisons written among reference maps: figures are named as maps in colour."""
    own = {folder: comparison_files(folder) for folder in {file.parent for file in files}}
    return [file for file in files if file.name not in own[file.parent]]


def _grouped(found: Sequence[tuple[str, str, Path]]) -> dict[str, dict[str, list[Path]]]:
    groups: dict[str, dict[str, list[Path]]] = {}
    for prefix, name, file in found:
        groups.setdefault(prefix, {}).setdefault(name, []).append(file)
    return groups


def _one_each(files: Files, cure: str = _LEAVE_ONE) -> dict[str, Path]:
    """Return the file of each map; refuse two."""
    for name, found in files.items():
        if len(found) > 1:
            more = f" and {counted(len(found) - 2, 'other')}" * (len(found) > 2)
            raise InputError(
                f"Reference: one {MAP_LABELS[name]} map a case is needed; found {found[0]} and {found[1]}{more}. {cure}"
            )
    return {name: found[0] for name, found in files.items()}


def _no_maps(folder: Path, files: Sequence[Path]) -> str:
    found = counted_names([file.name for file in files], "other file") if files else "no files"
    need = f"files named PREFIX_{{{','.join(MAP_LABELS)}}}.nii.gz (or .nii, .nrrd, .png)"
    return (
        f"Reference {folder}: {need} are needed; found {found}. Name the files so; 'pypet compare' also takes MAP=FILE."
    )
