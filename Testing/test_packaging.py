"""What is shipped is what is there."""

import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import PyPeTLib

ROOT = Path(__file__).parents[1]


def test_cmake_lists_name_every_file_of_the_library():
    listed = re.findall(r"^  (\S+\.(?:py|html|css|js))$", (ROOT / "PyPeTLib/CMakeLists.txt").read_text(), re.MULTILINE)
    folder = ROOT / "PyPeTLib"
    present = [str(path.relative_to(folder).as_posix()) for path in (*folder.glob("*.py"), *folder.glob("templates/*"))]
    assert sorted(listed) == sorted(present)


def test_icon_is_a_png_of_128_by_128():
    content = (ROOT / "PyPeT.png").read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", content[16:24]) == (128, 128)


@pytest.mark.parametrize("name", PyPeTLib.__all__)
def test_every_public_name_can_be_imported(name):
    assert getattr(PyPeTLib, name).__name__ == name


def test_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        PyPeTLib.nothing  # noqa: B018


def test_an_older_python_is_told_what_is_needed():
    code = "import sys; sys.version_info, sys.version = (3, 9, 10), '3.9.10 (main)'; import PyPeTLib"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    told = done.stderr.strip().splitlines()[-1]
    assert told.startswith("ImportError: PyPeT: Python 3.10 or later is needed, as in 3D Slicer 5.10; found 3.9.10. ")


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, PyPeTLib, PyPeTLib.cli; print(*{'numpy', 'scipy', 'SimpleITK', 'matplotlib'} & set(sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == []
