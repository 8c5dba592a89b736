"""What the test_cli_* files share: a phantom on disk, a run on it, and a call that must fail."""

import pytest

from PyPeTLib.cli import main
from PyPeTLib.phantom import HeadOptions, head_phantom
from PyPeTLib.phantom_files import write_phantom
from PyPeTLib.scan import Series

SMALL = HeadOptions(size=(64, 64, 4), spacing_mm=(3.2, 3.2, 10.0), frames=45)


@pytest.fixture(scope="module")
def phantom():
    return head_phantom(SMALL)


@pytest.fixture(scope="module")
def scan(phantom, tmp_path_factory):
    return write_phantom(phantom, tmp_path_factory.mktemp("phantom"))


@pytest.fixture(scope="module")
def result(scan, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "out"
    assert main(["run", str(scan), "-o", str(out), "--no-report", "--quiet"]) == 0
    return out


def with_values(phantom, values, times=None):
    times = phantom.series.times_s if times is None else times
    return Series(values, times, phantom.series.geometry, name="scan_ctp")


def refused(arguments, capsys, code=2):
    """Run a command that must fail without a traceback, and return its message."""
    assert main([str(argument) for argument in arguments]) == code
    message = capsys.readouterr().err
    assert message.startswith("pypet: ")
    assert "Traceback" not in message
    return message
