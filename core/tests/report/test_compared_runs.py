"""Which runs may be compared, and what they are called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scored_runs import ALIKE, BASE, BETTER, cohort, write_run

from mdx.errors import RefusedError, UsageError
from mdx.report.comparison import compare
from mdx.report.methods import Scored, scored_methods


def methods(*folders: Path | str) -> list[Scored]:
    return scored_methods([str(f) for f in folders])


def names(*folders: Path | str) -> list[tuple[str, int]]:
    return [(m.name, m.seed) for m in methods(*folders)]


def facts_of(*folders: Path, **asked: Any) -> dict[str, Any]:
    return compare(folders, **asked)


def test_seeds_of_a_variant_are_one_method(three: list[Path]) -> None:
    assert names(*three) == [("plain", 0), ("plain", 1), ("clever", 0), ("clever", 1), ("other", 0)]


def test_a_method_on_another_network_is_another_method(tmp_path: Path) -> None:
    for name, scores in (("net.pt", BASE), ("better.pt", BETTER)):
        write_run(tmp_path / name, "no_da", scores, init_from={"name": name, "digest": 64 * name[0]})
    assert names(tmp_path) == [
        ("no_da, init_from=better.pt (bbbbbbbb)", 0), ("no_da, init_from=net.pt (nnnnnnnn)", 0),
    ]  # fmt: skip


def test_a_folder_of_runs_stands_for_its_runs(three: list[Path]) -> None:
    assert sorted(names(three[0].parent)) == sorted(names(*three))


def test_a_sweep_stands_for_its_runs(three: list[Path]) -> None:
    folder = three[0].parent.parent
    (folder / "sweep.json").write_text("{}")
    assert sorted(names(folder)) == sorted(names(*three))


def test_baselines_of_a_run_are_methods(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "clever", BETTER)
    write_run(run / "baselines" / "plain", "plain", BASE, done=False)  # only the run itself is marked as done
    assert names(run) == [("clever", 0), ("plain", 0)]


def test_one_method_of_a_run_can_be_named(tmp_path: Path) -> None:
    for name, scores in (("one", BETTER), ("two", ALIKE)):
        run = write_run(tmp_path / name, name, scores)
        write_run(run / "baselines" / "plain", "plain", BASE)
    assert names(f"{tmp_path / 'one'}:one", f"{tmp_path / 'two'}:plain") == [("one", 0), ("plain", 0)]
    with pytest.raises(UsageError, match=r"no variant 'plane'[\s\S]*did you mean 'plain'"):
        methods(f"{tmp_path / 'one'}:plane")


def test_the_same_baseline_of_two_runs_counts_once(tmp_path: Path) -> None:
    for name, scores in (("one", BETTER), ("two", ALIKE)):
        run = write_run(tmp_path / name, name, scores, settings={"method.beta": len(name)})
        write_run(run / "baselines" / "plain", "plain", BASE)
    assert names(tmp_path / "one", tmp_path / "two") == [("one", 0), ("plain", 0), ("two", 0)]


def test_a_run_cannot_be_compared_with_itself(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "plain", BASE)
    with pytest.raises(UsageError, match="a comparison needs two methods"):
        methods(run, run)
    write_run(tmp_path / "again", "plain", BASE)
    with pytest.raises(UsageError, match="a comparison needs two methods"):
        methods(run, tmp_path / "again")


def test_a_variant_with_several_settings_is_named_by_what_differs(tmp_path: Path) -> None:
    folders = [
        write_run(tmp_path / f"{beta}_{seed}", "clever", BETTER + beta + seed / 50, seed=seed,
                  settings={"method.beta": beta, "run.tolerance_mm": 2.0})
        for beta in (0.1, 0.2) for seed in (0, 1)
    ]  # fmt: skip
    assert sorted(set(names(*folders))) == [
        ("clever, beta=0.1", 0), ("clever, beta=0.1", 1), ("clever, beta=0.2", 0), ("clever, beta=0.2", 1)
    ]  # fmt: skip


def test_methods_of_two_plugins_are_named_with_them(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "full", BETTER)
    write_run(tmp_path / "b", "full", BASE, plugin="elsewhere")
    assert names(tmp_path / "a", tmp_path / "b") == [("made/full", 0), ("elsewhere/full", 0)]


# what is refused


def test_all_unfinished_runs_are_named_at_once(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "a", BASE)
    for name in ("b", "c"):
        write_run(tmp_path / name, name, BASE, done=False)
    with pytest.raises(RefusedError, match=r"2 runs have not finished:\s+b: stopped\s+c: stopped[\s\S]*mdx resume"):
        methods(tmp_path)


def test_different_splits_are_refused_with_what_differs(tmp_path: Path) -> None:
    cases = cohort()
    moved = cases.copy()
    moved.loc[moved["case"].isin(["A0", "A1"]), "split"] = ["test", "train"]
    write_run(tmp_path / "a", "a", BASE, cases)
    write_run(tmp_path / "b", "b", BASE, moved)
    with pytest.raises(RefusedError) as error:
        facts_of(tmp_path / "a", tmp_path / "b")
    said = str(error.value)
    assert error.value.exit_code == 8
    assert "2 test case(s) of 2 subject(s) are not in both; 2 case(s) of 2 subject(s) are in another split" in said
    assert "b, seed 0 (b)" in said and "a, seed 0 (a)" in said
    assert "data.split_seed" in error.value.remedy


def test_other_source_and_target_are_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "a", BASE, cohort(source="A"))
    write_run(tmp_path / "b", "b", BETTER, cohort(source="B"))
    with pytest.raises(RefusedError, match=r"the site\(s\) A, B have another role"):
        facts_of(tmp_path / "a", tmp_path / "b")


def test_simulated_cohorts_of_different_recipes_are_refused(tmp_path: Path) -> None:
    for name in ("seed=0", "seed=1"):
        write_run(tmp_path / name, name, BASE, data=f"sim:brain?{name}", data_uri_kind="sim")
    with pytest.raises(RefusedError, match=r"made of different data:\s+sim:brain\?seed=0"):
        facts_of(tmp_path / "seed=0", tmp_path / "seed=1")


def test_another_tolerance_of_the_surface_dice_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "a", BASE)
    write_run(tmp_path / "b", "b", BETTER, settings={"run.tolerance_mm": 2.0})
    with pytest.raises(RefusedError, match=r"different tolerances[\s\S]*run all with the same run.tolerance_mm"):
        facts_of(tmp_path / "a", tmp_path / "b")


def test_runs_without_a_common_metric_are_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "a", {"dice": BASE})
    write_run(tmp_path / "b", "b", {"surface_dice": BASE})
    with pytest.raises(RefusedError, match="no metric in common"):
        facts_of(tmp_path / "a", tmp_path / "b")
    with pytest.raises(RefusedError, match="a: no metric 'surface_dice'"):
        write_run(tmp_path / "c", "c", {"dice": BASE, "surface_dice": BASE})
        facts_of(tmp_path / "a", tmp_path / "c", metrics=["surface_dice"])


def test_cases_that_only_one_method_was_scored_on_are_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "a", BASE)
    run = write_run(tmp_path / "b", "b", BETTER)
    pd.read_csv(run / "scores.csv").iloc[2:].to_csv(run / "scores.csv", index=False)
    with pytest.raises(RefusedError, match=r"b, seed 0: 2 scored case\(s\) are not in both"):
        facts_of(tmp_path / "a", run)


def test_unknown_names_are_answered_with_the_nearest(three: list[Path]) -> None:
    for asked, remedy in (
        ({"reference": "plane"}, "plain"), ({"role": "targets"}, "target"), ({"metrics": ["dicee"]}, "dice")
    ):  # fmt: skip
        with pytest.raises(UsageError, match=f"did you mean '{remedy}'"):
            facts_of(*three, **asked)


# what is computed
