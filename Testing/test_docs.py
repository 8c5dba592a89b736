"""The pages hang together: links lead somewhere, every page is listed, every command names a script that there is."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = {path.relative_to(ROOT).as_posix(): path for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]}
TEXTS = {name: path.read_text(encoding="utf-8") for name, path in PAGES.items()}


def anchors(text):
    """Return what headings of a page are called in links: small letters, hyphens for blanks, nothing else."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", PAGES)
def test_links_and_pictures_lead_somewhere(name):
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXTS[name]):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        place = (PAGES[name].parent / path).resolve() if path else PAGES[name]
        assert place.is_file(), f"{name} links to {target}, which is not there"
        if anchor:
            assert anchor in anchors(place.read_text(encoding="utf-8")), f"{name}: no heading {target}"


def test_the_readme_names_every_page():
    assert [name for name in PAGES if name != "README.md" and f"]({name})" not in TEXTS["README.md"]] == []


@pytest.mark.parametrize("name", PAGES)
def test_commands_name_scripts_that_there_are(name):
    for script in re.findall(r"python (Testing/[\w/]+\.py)", TEXTS[name]):
        assert (ROOT / script).is_file(), f"{name}: {script}"


def test_every_benchmark_is_named_with_its_command():
    scripts = {path.name for path in (ROOT / "Testing" / "benchmarks").glob("*.py")}
    pages = "".join(TEXTS.values())
    assert {script for script in scripts if f"benchmarks/{script}" not in pages} <= {"ellipsoids.py", "motion.py"}


def test_the_table_of_a_data_set_that_the_readme_shows_holds_every_run(runs, monkeypatch, tmp_path, capsys):
    (code,) = (one for one in re.findall(r"```python\n(.*?)```", TEXTS["README.md"], flags=re.S) if "rglob" in one)
    (tmp_path / "results").symlink_to(runs, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [row["case"] for row in rows] == ["sub-01_ses-01", "sub-01_ses-01"]
    assert float(rows[0]["tmax_over_6s"]) > 1.0 and rows[0]["side"] == "left"
