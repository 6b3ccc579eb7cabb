"""The lines of Python that docs/sweeps.md prints, run on the made-up plugin and its small data."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

import mdx

DOCS = Path(__file__).parents[3] / "docs"


def printed(function: str) -> str:
    """The call of ``function`` as docs/sweeps.md has it."""
    found = re.search(rf"`(mdx\.{function}\(.*?\))[.`]", (DOCS / "sweeps.md").read_text())
    assert found is not None
    return found[1]


@pytest.fixture
def here(tmp_path: Path, ages: Path, slope: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with cohort.csv, of two sites, from which Python is called."""
    shutil.copytree(ages.parent, tmp_path / "here")
    lines = (tmp_path / "here" / "ages.csv").read_text().splitlines(keepends=True)
    (tmp_path / "here" / "cohort.csv").write_text("".join(line for line in lines if not line.startswith("C")))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def test_the_sweep_of_the_documentation_runs_every_pair_variant_and_seed(here: Path) -> None:
    call = printed("sweep").replace('"fda"', '"slope"').replace('["no_da", "mst"]', '["line", "shifted"]')
    call = call.replace("seeds=3", 'seeds=1, preset="small"')
    result = eval(call, {"mdx": mdx})
    index = pd.read_csv(result.directory / "index.csv")
    assert index["state"].tolist() == ["done"] * 4
    assert sorted(run.name for run in result.runs.values()) == sorted(index["run"])


def test_the_reproduction_of_the_documentation_gives_published_and_measured_numbers(here: Path) -> None:
    call = (
        printed("reproduce").replace('"fda"', '"slope"').replace('"table3"', '"table1"').replace("seeds=3", "seeds=1")
    )
    more = 'rows=["line"], data="csv:cohort.csv", preset="small", settings={"source": "A", "target": "B"}'
    call = call.replace("jobs=2", f"jobs=2, {more}")
    facts = eval(call, {"mdx": mdx}).facts
    assert facts["failed"] == []
    numbers = [(cell["published"], cell["measured"]) for cell in facts["cells"] if not cell["note"]]
    assert len(numbers) == 2
    assert all(isinstance(number, float) for pair in numbers for number in pair)
