"""Made-up plugins run from the command line: what core offers and none of the papers' plugins needs yet."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., tuple[int, str]]
FOLDER = Path(__file__).parent / "plugins"


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))


def last_metrics(run: Path) -> dict[str, float]:
    return json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])


def the_run(folder: Path) -> Path:
    (run,) = folder.iterdir()
    return run


def test_slices_with_neighbours_pairs_of_slices_and_puzzles_are_trained_on(
    cohort: Path, mdx: Cli, tmp_path: Path
) -> None:
    asked = ("run", "pairs", "--data", f"csv:{cohort}", "--set", "every=2", "run.bootstrap=100", "--device", "cpu")
    code, printed = mdx(*asked, "--out", tmp_path / "runs")
    assert code == 0, printed
    run = the_run(tmp_path / "runs")
    found = last_metrics(run)
    assert {"train/order", "train/pair", "train/sites"} <= set(found)
    code, printed = mdx("apply", run, cohort.parent / "images" / "A0.nii.gz", "--out", tmp_path / "applied")
    assert code == 0, printed


def test_slices_too_far_apart_are_refused_with_the_case(cohort: Path, mdx: Cli, tmp_path: Path) -> None:
    code, printed = mdx("run", "pairs", "--data", f"csv:{cohort}", "--set", "apart=6", "--out", tmp_path / "runs")
    assert code == 4
    assert "has 6 slice(s), no two of which are 6 apart" in printed
