"""Many runs of a paper's plugin, as a user makes them; kills are in core/tests/sweeps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from small_cohort import TINY, make_cohort

from mdx.cli.app import run_cli

Mdx = Callable[..., tuple[int, str]]


def command(table: Path, out: Path, *more: str) -> list[str]:
    return ["sweep", "fda", "--data", f"csv:{table}", *TINY, "--device", "cpu", "--out", str(out), *more]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(table, folder) of both ordered pairs of two sites, two variants, in two processes."""
    folder = tmp_path_factory.mktemp("swept")
    table = make_cohort(folder / "cohort")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MDX_CACHE", str(folder / "cache"))  # nothing is taken from other tests
        code = run_cli(command(table, folder / "sweep", "--pairs", "all", "--variants", "no_da,mst", "--jobs", "2"))
    assert code == 0
    return table, folder / "sweep"


def test_every_pair_and_variant_has_a_finished_run(swept: tuple[Path, Path]) -> None:
    index = pd.read_csv(swept[1] / "index.csv")
    expected = {("no_da", "A", "B"), ("mst", "A", "B"), ("no_da", "B", "A"), ("mst", "B", "A")}
    assert {(r.variant, r.source, r.target) for r in index.itertuples()} == expected
    assert set(index["state"]) == {"done"}


def test_each_source_is_trained_once(swept: tuple[Path, Path]) -> None:
    logs = [path.read_text() for path in (swept[1] / "runs").glob("*/log.txt")]
    taken = sum("taken from the cache" in log for log in logs)
    assert (len(logs), taken) == (4, 2)


def test_the_index_holds_the_scores_of_the_targets(swept: tuple[Path, Path]) -> None:
    for row in pd.read_csv(swept[1] / "index.csv").itertuples():
        summary = json.loads((swept[1] / "runs" / str(row.run) / "summary.json").read_text())
        at_target = {r["metric"]: r["mean"] for r in summary if r["group"] == "role=target"}
        assert row.surface_dice == pytest.approx(at_target["surface_dice"])


def test_the_same_command_finds_every_run(swept: tuple[Path, Path], mdx: Mdx) -> None:
    table, folder = swept
    code, printed = mdx(*command(table, folder, "--pairs", "all", "--variants", "no_da,mst"))
    assert code == 0
    assert printed.count("found    ") == 4
    assert len(list((folder / "runs").iterdir())) == 4


def test_the_runs_of_a_sweep_are_listed(swept: tuple[Path, Path], mdx: Mdx) -> None:
    code, printed = mdx("runs", swept[1], "--json")
    assert code == 0
    rows = json.loads(printed)
    assert {(row["sites"]["source"][0], row["sites"]["target"][0]) for row in rows} == {("A", "B"), ("B", "A")}
    assert {row["state"] for row in rows} == {"done"}
    assert all(row["metric"] == "surface_dice" and 0 <= row["score"] <= 1 for row in rows)


def test_a_damaged_run_is_listed_with_the_reason(tmp_path: Path, mdx: Mdx) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "provenance.json").write_text("{")
    code, printed = mdx("runs", tmp_path)
    assert code == 0
    assert "not readable" in printed


def test_the_page_has_a_matrix_of_pairs(swept: tuple[Path, Path]) -> None:
    page = (swept[1] / "sweep.html").read_text()
    assert "source by row, target by column" in page
    assert str(swept[1]) not in page


def test_runs_of_different_pairs_are_not_compared(swept: tuple[Path, Path], mdx: Mdx, tmp_path: Path) -> None:
    code, printed = mdx("compare", *sorted((swept[1] / "runs").iterdir()), "--out", tmp_path / "c")
    assert code == 8
    assert "different splits or roles" in printed
    assert not (tmp_path / "c").exists()


def test_runs_of_one_pair_are_compared(swept: tuple[Path, Path], mdx: Mdx, tmp_path: Path) -> None:
    index = pd.read_csv(swept[1] / "index.csv")
    runs = [swept[1] / "runs" / run for run in index[index["target"] == "B"]["run"]]
    code, printed = mdx("compare", *runs, "--out", tmp_path / "c", "--reference", "no_da")
    assert code == 0
    assert "mst - no_da" in printed
    facts = json.loads((tmp_path / "c" / "comparison.json").read_text())
    pairs = pd.read_csv(tmp_path / "c" / "comparison.csv")
    written = [p["difference"] for m in facts["metrics"] for g in m["groups"] for p in g["pairs"]]
    assert pairs["difference"].tolist() == pytest.approx(written)
    assert f"{written[0]:+.3f}" in (tmp_path / "c" / "comparison.html").read_text()


def test_one_method_is_nothing_to_compare(swept: tuple[Path, Path], mdx: Mdx) -> None:
    run = next((swept[1] / "runs").iterdir())
    code, printed = mdx("compare", run)
    assert code == 2
    assert "two methods" in printed


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--pairs", "A:C"], "no site 'C'"),
        (["--pairs", "AB"], "is no pair"),
        (["--pairs", "all", "--leave-site-out"], "cannot be combined"),
        (["--variants", "mts"], "did you mean 'mst'"),
        (["--seeds", "x"], "neither a number"),
    ],
)
def test_a_wrong_request_is_answered_before_anything_runs(cohort: Path, tmp_path: Path, mdx: Mdx, more, words) -> None:
    code, printed = mdx(*command(cohort, tmp_path / "sweep", *more))
    assert code == 2
    assert words in printed
    assert not (tmp_path / "sweep").exists()


def test_leaving_sites_out_makes_each_the_target_once(cohort: Path, tmp_path: Path, mdx: Mdx) -> None:
    code, printed = mdx(*command(cohort, tmp_path / "sweep", "--leave-site-out", "--seeds", "2", "--dry-run"))
    assert code == 0
    assert "B to A, seed 0" in printed
    assert "A to B, seed 1" in printed
    assert "4 runs" in printed


def test_one_failure_stops_no_other_run(cohort: Path, tmp_path: Path, mdx: Mdx) -> None:
    code, printed = mdx(*command(cohort, tmp_path / "s", "--variants", "mst", "--set", "source=A",
                                 "--grid", "target=B,nowhere"))  # fmt: skip
    assert code == 4
    assert "1 of 2 runs failed" in printed
    assert "nowhere" in printed
    assert sorted(pd.read_csv(tmp_path / "s" / "index.csv")["state"]) == ["done", "failed"]


def test_a_sweep_over_pairs_is_compared_pair_by_pair_and_over_them(
    swept: tuple[Path, Path], tmp_path: Path, mdx: Mdx
) -> None:
    code, printed = mdx("compare", swept[1], "--out", tmp_path / "c")
    assert code == 0, printed
    assert "== A to B\n" in printed
    assert "== B to A\n" in printed
    assert "== over 2 pairs (no interval: pairs share subjects)" in printed
    assert (tmp_path / "c" / "A_to_B" / "comparison.html").exists()
    code, printed = mdx("compare", swept[1], "--out", tmp_path / "c", "--json")
    facts = json.loads(printed)
    means = {row["method"]: row["mean"] for row in facts["over_pairs"]}
    index = pd.read_csv(swept[1] / "index.csv")
    assert means == pytest.approx(index.groupby("variant")["surface_dice"].mean().to_dict())
    assert sum(row["first"] for row in facts["over_pairs"]) == 2
