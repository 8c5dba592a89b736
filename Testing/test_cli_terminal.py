"""What the command prints, and to whom: terminals, pipes, readers that have gone."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cli_cases
import pytest
from cli_cases import refused

from PyPeTLib import read
from PyPeTLib.cli import _UntilClosed, main
from PyPeTLib.cli_print import print_result, print_tables, progress_bar
from PyPeTLib.lesion_facts import criterion_rows
from PyPeTLib.read import read_series
from PyPeTLib.report_facts import key_numbers
from PyPeTLib.write import write_series

phantom, scan = cli_cases.phantom, cli_cases.scan


def test_run_is_silent_in_a_pipe_but_for_the_result(scan, tmp_path):
    command = [sys.executable, "-m", "PyPeTLib", "run", str(scan), "-o", str(tmp_path / "out"), "--no-report"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stderr == ""
    assert "Tissue medians ± SD of a voxel: CBF" in done.stdout
    assert ", Tmax " in done.stdout and ", Delay " in done.stdout  # as in report and messages
    assert "Research use only" in done.stdout


def test_numbers_have_the_digits_of_the_report_and_no_verdict_stands_twice(tiny_analysis, capsys):
    print_result(tiny_analysis, Path("out"))
    said = capsys.readouterr().out
    for one in key_numbers(tiny_analysis.maps, tiny_analysis.tissue):
        assert f"{one.short} {one.median} {one.voxel_sd}".rstrip() + f" {one.unit}" in said
    for name, met, why in criterion_rows(tiny_analysis.lesions):
        assert f"{name}: {met} ({why})" in said
    assert "not met (not met" not in said
    lesions = tiny_analysis.lesions
    assert f"\nLesions: {lesions.rule}. Side: {lesions.side}. " in said  # no brackets around a rule that has some


def test_lines_have_the_width_of_a_terminal_and_no_end_in_a_pipe(tiny_analysis, capsys, monkeypatch):
    print_result(tiny_analysis, Path("out"))
    piped = capsys.readouterr().out
    assert max(map(len, piped.splitlines())) > 200
    monkeypatch.setenv("COLUMNS", "60")
    print_result(tiny_analysis, Path("out"))
    assert capsys.readouterr().out == piped
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_result(tiny_analysis, Path("out"))
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) < 60 and shown.split() == piped.split()


def test_sentences_of_a_comparison_have_the_width_of_a_terminal_and_rows_stay_whole(capsys, monkeypatch):
    row, remark = f"| {'x' * 60} |", f"* {'word ' * 20}end"
    text = f"# Title\n\n{row}\n\n{remark}\n"
    print_tables(text)
    assert capsys.readouterr().out == text, "a pipe has it as in comparison.md"
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_tables(text)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == ["# Title", "", row, ""] and len(lines) == 7
    assert max(map(len, lines[4:])) < 40 and " ".join(" ".join(lines[4:]).split()) == remark


def test_the_command_wraps_where_its_output_is_a_terminal(monkeypatch, capsys):
    for terminal in (False, True):
        monkeypatch.setattr(sys.stdout, "isatty", lambda terminal=terminal: terminal)
        assert _UntilClosed().isatty() is terminal


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_gone_is_no_error(scan, tmp_path, unbuffered):
    """As with ``pypet run ... | head -1``; here nothing is read at all."""
    command = [sys.executable, "-m", "PyPeTLib", "run", str(scan), "-o", str(tmp_path / "out"), "--no-report"]
    read, write = os.pipe()
    os.close(read)
    try:
        environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
        done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, env=environment)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out/phantom_summary.json").exists()


def test_a_reader_that_has_gone_is_no_error_on_windows_either(scan, tmp_path, monkeypatch):
    """There writing to its pipe is an invalid argument; an output on a full disk is still an error."""
    with (tmp_path / "out").open("w") as output:
        for number, code in ((errno.EINVAL, 0), (errno.ENOSPC, 2)):

            def gone(_, number=number):
                raise OSError(number, os.strerror(number))

            monkeypatch.setattr(sys, "stdout", SimpleNamespace(write=gone, flush=output.flush, fileno=output.fileno))
            assert main(["settings"]) == code


def test_on_a_full_disk_it_is_told_what_failed_and_the_exit_code_remains(monkeypatch, capsys):
    """As with ``pypet ... > log 2> log``: it named nothing, and without room for it the code was 1."""

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(sys, "stdout", SimpleNamespace(write=full, flush=lambda: None))
    assert main(["settings"]) == 2
    assert capsys.readouterr().err.startswith("pypet: error: What is printed: no space left on device. Check ")
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(write=full, flush=lambda: None))
    assert main(["settings"]) == 2


def test_a_run_needs_neither_output_nor_terminal(scan, monkeypatch):
    """As with ``pypet ... >&-`` or in a program without a console."""
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["info", str(scan)]) == 0
    with progress_bar(False) as progress:
        progress(0.5, "Working")


def test_a_wish_to_stop_that_python_dropped_is_kept(phantom, tmp_path, capsys, monkeypatch):
    """What is raised while the garbage collector calls back is printed and forgotten; the run went on."""
    path = tmp_path / "scan_ctp.nii.gz"
    write_series(phantom.series, path)

    def interrupted(*given, **chosen):
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        return read_series(*given, **chosen)

    monkeypatch.setattr(read, "read_series", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert main(["run", str(path), "-o", str(tmp_path / "out")]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert "stopped" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_errors_of_the_system_name_the_path_and_a_cure(tmp_path, capsys):
    message = refused(["info", tmp_path / ("x" * 300)], capsys)
    assert message.endswith("xxx: file name too long. Check path and permissions.\n") and str(tmp_path) in message


def test_a_message_is_one_line_that_no_terminal_obeys(tmp_path, capsys):
    """Names of files, and what is in them, may be commands: to erase the screen, or lines that seem to be ours."""
    assert "scan?[2J?pypet: done.nii" in refused(["info", tmp_path / "scan\x1b[2J\npypet: done.nii"], capsys)
    message = refused(["run", "x.nii", "-o", tmp_path / "out", "--set", "x" * 100_000 + "=1"], capsys)
    assert message.count("\n") == 1 and len(message) < 3000 and message.endswith("lists all).\n")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
def test_what_is_printed_of_a_scan_is_nothing_that_a_terminal_obeys(scan, tmp_path, capsys):
    named = tmp_path / "a\x1b[2J\nStops   nothing.nii.gz"
    named.symlink_to(scan)
    assert main(["info", str(named)]) == 0
    assert "Scan    a?[2J?Stops   nothing\n" in capsys.readouterr().out


@pytest.mark.parametrize(("encoding", "minus"), [("utf-8", "−"), ("latin-1", "-")])
def test_a_terminal_without_a_minus_sign_has_a_hyphen(scan, encoding, minus):
    command = [sys.executable, "-m", "PyPeTLib", "info", str(scan)]
    found = subprocess.run(command, capture_output=True, check=True, env={**os.environ, "PYTHONIOENCODING": encoding})
    assert f"origin ({minus}" in found.stdout.decode(encoding)
