"""A digital phantom and its truth as files, and its options as text."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from PyPeTLib.errors import InputError, decimal_comma
from PyPeTLib.phantom_options import HeadOptions, Phantom, TilesOptions
from PyPeTLib.write import prefix_of, write_csv, write_image, write_json, write_series


def write_phantom(phantom: Phantom, folder: str | Path) -> Path:
    """Write scan, truth and masks into a folder that exists.

    Names of masks say that they are the truth, as a run beside them writes masks of its own.

    Files are ``PREFIX_ctp.nii.gz``, ``PREFIX_truth_{cbf,...}.nii.gz``, ``PREFIX_truth_{brain,...}_mask.nii.gz``,
    ``PREFIX_truth_curves.csv`` (time_s, aif_hu, vof_hu) and ``PREFIX_options.json``; a scan with uneven times has
    its sidecar, ``PREFIX_ctp.json``.

    Returns
    -------
    Path
        The scan.

    Raises
    ------
    InputError
        If a file cannot be written.
    """
    stem = f"{folder}/{prefix_of(phantom.series.name)}"
    scan = Path(f"{stem}_ctp.nii.gz")
    write_series(phantom.series, scan)
    for name, image in phantom.truth.items():
        write_image(image, f"{stem}_truth_{name}.nii.gz")
    for name, image in phantom.masks.items():
        write_image(image, f"{stem}_truth_{name}_mask.nii.gz")
    curves = {"time_s": phantom.series.times_s, "aif_hu": phantom.aif_hu, "vof_hu": phantom.vof_hu}
    write_csv(curves, f"{stem}_truth_curves.csv")
    write_json(phantom.options, f"{stem}_options.json")
    return scan


def former_phantom(phantom: Phantom, folder: str | Path) -> set[str]:
    """Return the names of the files that not every phantom has and an earlier one of this name left in a folder.

    That is the sidecar of a scan with uneven times, which another scan would be read with.
    """
    stem = Path(folder) / prefix_of(phantom.series.name)
    sidecar, options = (stem.with_name(f"{stem.name}_{of}.json") for of in ("ctp", "options"))
    return {sidecar.name} if sidecar.is_file() and options.is_file() else set()


def options_from_text(
    kind: type[HeadOptions] | type[TilesOptions], words: Mapping[str, str]
) -> HeadOptions | TilesOptions:
    """Return the options of a phantom from words as typed on a command line.

    Parameters
    ----------
    kind : type
        ``HeadOptions`` or ``TilesOptions``.
    words : mapping of str to str
        Values by name; several numbers are separated by commas.

    Raises
    ------
    InputError
        If a name is unknown, or a value is no number where one is needed.

    Examples
    --------
    >>> options_from_text(HeadOptions, {"size": "64,64,4", "residue": "box"}).size
    (64, 64, 4)
    """
    defaults = {entry.name: entry.default for entry in fields(kind)}
    for name in words:
        if name not in defaults:
            near = ", ".join(difflib.get_close_matches(name, defaults, n=3, cutoff=0.3)) or ", ".join(defaults)
            of = "head" if kind is HeadOptions else "tiles"
            raise InputError(
                f"Unknown phantom option '{name}' (nearest: {near}; 'pypet settings --phantom {of}' lists all)."
            )
    return kind(**{name: _value(name, word, defaults[name]) for name, word in words.items()})


def _value(name: str, word: str, default: Any) -> Any:
    """Read one option in the type of its default: a word, a number, or several numbers."""
    if isinstance(default, str):
        return word
    if default is None and word == "none":  # as the list of options has it
        return None
    try:
        value = ast.literal_eval(word)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # all that it may raise
        value = None
    several = default is None or isinstance(default, tuple)
    numbers = tuple(value) if isinstance(value, tuple | list) else (value,)
    whole = isinstance(default, int) or (name == "size")
    if (len(numbers) != 1 and not several) or not all(
        type(number) in ((int,) if whole else (int, float)) for number in numbers
    ):
        kind = "whole number" if whole else "number"
        need = f"comma-separated {kind}s are needed" if several else f"a {kind} is needed"
        raise InputError(f"Phantom option {name}: {need}; found '{word}'.{decimal_comma(word)}")
    return numbers if several else numbers[0]
