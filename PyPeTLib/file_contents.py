"""What is in a file: text and JSON of a user, bytes, and what gzip packed."""

from __future__ import annotations

import codecs
import errno
import gzip
import json
import stat
import zlib
from pathlib import Path
from typing import Any, BinaryIO

from PyPeTLib.errors import InputError, reason_of

#: Text of a user, with the mark before it that some programs for tables and text write, or without.
ENCODING = "utf-8-sig"
#: Largest text that is read, in bytes: tables and sidecars have thousands.
LARGEST_TEXT = 2**26
#: First two bytes of a gzip file.
GZIP_MAGIC = b"\x1f\x8b"


def read_text(path: str | Path, what: str, *, need: str = "a text file") -> str:
    """Return the text of a file that a user gives; ``what`` it is and what is needed are for the message.

    Editors and shells save UTF-8 with or without a byte order mark, or UTF-16 with one.

    Raises
    ------
    InputError
        If it cannot be read, or is no such text.
    """
    try:
        with open_file(Path(path)) as file:
            content = file.read(LARGEST_TEXT + 1)
        if len(content) > LARGEST_TEXT:
            raise OSError(errno.EFBIG, f"more than {LARGEST_TEXT} bytes")
        marked = content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        text = content.decode("utf-16" if marked else ENCODING)
    except (OSError, UnicodeDecodeError) as error:
        found = f"{reason_of(error)}. Check the path, or save it as text in UTF-8"
        raise InputError(f"{what} {path}: {need} is needed; found {found}.") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: Path, what: str, cure: str) -> Any:
    """Return what a JSON file holds; ``what`` it is and what to do about a faulty one are for the message.

    Raises
    ------
    InputError
        If it cannot be read, is no JSON, or has one entry twice with two values.
    """
    text = read_text(path, what, need="a JSON file")
    try:
        return json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what} {path}: a JSON file is needed; found {reason_of(error)}. {cure}.") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the entries of a JSON object; refuse one that is there twice with two values."""
    entries = dict(pairs)
    for name, value in pairs:
        if value is not entries[name] and value != entries[name]:
            raise ValueError(f"{name!r:.60} twice, with two values")
    return entries


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading; a pipe or a device, which may never end or never begin, raises OSError as well."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(errno.EINVAL, "a pipe or a device, and no file")
    return path.open("rb")


def leading_bytes(path: Path, count: int) -> bytes:
    """Return the first bytes of a file's content, unpacked where it is gzip."""
    if first_bytes(path, 2) != GZIP_MAGIC:
        return first_bytes(path, count)
    with gzip.open(path) as file:
        return file.read(count)


def first_bytes(path: Path, count: int) -> bytes:
    """Return the first bytes of a file as they are stored; fewer where it has no more.

    Raises
    ------
    OSError
        If it cannot be opened.
    """
    with open_file(path) as file:
        return file.read(count)


def unpacked_size(path: Path, start: int = 0, *, most: int) -> int:
    """Return the bytes in gzip data that begin at ``start``; unpacking checks every checksum.

    It ends where there are ``most``: a few kilobytes may hold a hundred gigabytes.

    Raises
    ------
    InputError
        If they are truncated or damaged.
    """
    size = 0
    try:
        with path.open("rb") as file:
            file.seek(start)
            with gzip.GzipFile(fileobj=file) as unpacked:
                while size < most and (part := unpacked.read(2**20)):
                    size += len(part)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"File {path}: truncated or damaged: {error}. Copy or convert it again.") from error
    return size
