"""``mdx compare`` as a user gives it, on real runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from small_cohort import OF_THE_SOURCE, TINY

from mdx.cli.app import run_cli

Mdx = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def second_seed(finished: tuple[Path, Path]) -> Path:
    """The same run at another seed, beside the first."""
    return another(finished, "seed1", "--seed", "1", "--baselines", "no_da")


@pytest.fixture(scope="module")
def other_split(finished: tuple[Path, Path]) -> Path:
    return another(finished, "split5", "--variant", "no_da", "--baselines", "none", "--set", "data.split_seed=5")


def another(finished: tuple[Path, Path], name: str, *more: str) -> Path:
    table, run = finished
    folder, tiny = run.parent.parent / name, OF_THE_SOURCE if "--variant" in more else TINY
    code = run_cli([
        "run", "fda", "--data", f"csv:{table}", "--set", "source=A", "target=B", *tiny, "--device", "cpu",
        "--out", str(folder), *more,
    ])  # fmt: skip
    assert code == 0
    (made,) = folder.iterdir()
    return made


def test_a_run_is_compared_with_its_baselines(finished: tuple[Path, Path], mdx: Mdx, tmp_path: Path) -> None:
    code, printed = mdx("compare", finished[1], "--out", tmp_path / "out")
    assert code == 0
    for name in ("srsim_mst", "no_da", "oracle*"):
        assert f"\n{name} " in printed
    assert "1 subject is too few for a verdict" in printed
    files = {p.name for p in (tmp_path / "out").iterdir()}
    assert files == {"comparison.html", "comparison.csv", "methods.csv", "comparison.json"}


def test_the_means_are_those_of_the_runs_own_summary(finished: tuple[Path, Path], mdx: Mdx, tmp_path: Path) -> None:
    assert mdx("compare", finished[1], "--out", tmp_path / "out")[0] == 0
    table = pd.read_csv(tmp_path / "out" / "methods.csv").set_index(["metric", "group", "method"])
    for row in json.loads((finished[1] / "summary.json").read_text()):
        if row["metric"] in ("dice", "surface_dice") and not row["group"].startswith("worst"):
            mean = table.loc[(row["metric"], row["group"], "srsim_mst"), "mean"]
            assert mean == pytest.approx(row["mean"])


def test_two_seeds_are_one_method(finished: tuple[Path, Path], second_seed: Path, mdx: Mdx, tmp_path: Path) -> None:
    code, printed = mdx("compare", finished[1], second_seed, "--json", "--out", tmp_path / "out")
    assert code == 0
    seeds = {m["name"]: m["seeds"] for m in json.loads(printed)["methods"]}
    assert seeds == {"srsim_mst": [0, 1], "no_da": [0, 1], "oracle": [0]}


def test_one_method_of_a_run_is_named_after_a_colon(finished: tuple[Path, Path], mdx: Mdx, tmp_path: Path) -> None:
    run = finished[1]
    code, printed = mdx("compare", run, f"{run}:no_da", "--metric", "dice", "--reference", "no_da", "--out", tmp_path)
    assert code == 0
    assert "surface dice" not in printed
    code, printed = mdx("compare", f"{run}:no_da", f"{run}:oracle", "--json", "--out", tmp_path)
    assert sorted(m["name"] for m in json.loads(printed)["methods"]) == ["no_da", "oracle"]


def test_other_splits_are_refused_with_exit_code_8(
    finished: tuple[Path, Path], other_split: Path, mdx: Mdx, tmp_path: Path
) -> None:
    code, printed = mdx("compare", finished[1], other_split, "--out", tmp_path / "out")
    assert code == 8
    assert "different splits" in printed and other_split.name in printed
    assert "test case(s) of" in printed and "data.split_seed" in printed
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_compared_is_a_message_and_not_a_traceback(
    finished: tuple[Path, Path], mdx: Mdx, tmp_path: Path
) -> None:
    for arguments, code, said in (
        ([tmp_path], 2, "holds no run"),
        ([finished[1] / "baselines" / "no_da"], 2, "a comparison needs two methods"),
        ([finished[1], "--metric", "site_accuracy"], 2, "no run has the metric"),
        ([finished[1], "--reference", "srsim"], 2, "did you mean 'srsim_mst'"),
        ([f"{finished[1]}:nothing"], 2, "has no variant"),
    ):
        ended, printed = mdx("compare", *arguments, "--out", tmp_path / "out")
        assert (ended, "Traceback" in printed) == (code, False)
        assert said in printed
