"""The source network depends on the source alone: pairs of sites, variants and betas share one training."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_cohort import TINY, make_cohort

from mdx.cli.app import run_cli


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three sites, and a cache that holds nothing yet."""
    monkeypatch.setenv("MDX_CACHE", str(tmp_path / "cache"))
    return make_cohort(tmp_path / "cohort", sites=("A", "B", "C"))


def trainings(table: Path, out: Path, *more: str) -> int:
    """How many networks were trained by one more run of fda."""
    before = set(out.rglob("metrics.jsonl"))
    argv = ["run", "fda", "--data", f"csv:{table}", "--baselines", "none", "--out", str(out), "--device", "cpu"]
    tiny = [t for t in TINY[1:] if "no_da" not in more or not t.startswith(("n_mst", "radius", "beta", "donors"))]
    assert run_cli([*argv, "--set", *tiny, "run.predictions=false", *more]) == 0
    return len(set(out.rglob("metrics.jsonl")) - before)


@pytest.mark.slow
def test_runs_on_other_targets_variants_and_betas_train_no_second_source_network(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    counts = [
        trainings(table, out, "source=A", "target=B", "--variant", "no_da"),
        trainings(table, out, "source=A", "target=C", "--variant", "no_da"),
        trainings(table, out, "source=A", "target=B,C", "radius_px=3", "--variant", "srsim_mst"),
        trainings(table, out, "source=A", "target=C", "radius_grid=0,1,2", "--variant", "mst_pair"),
        trainings(table, out, "source=B", "target=C", "--variant", "no_da"),
    ]
    assert counts == [1, 0, 0, 0, 1]


def test_other_intensities_train_another(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    assert trainings(table, out, "source=A", "target=B", "--variant", "no_da") == 1
    assert trainings(table, out, "source=A", "target=B", "data.upper=98", "--variant", "no_da") == 1
