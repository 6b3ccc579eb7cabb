"""Verdicts on runs written by hand, so that every number is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

from mdx.plugins.published import Claim, PublishedMetric, PublishedTable, TableKey
from mdx.sweeps.jobs import Job
from mdx.sweeps.measured import Measured, Verdict, judge, measure, rank_agreement
from mdx.sweeps.reproduction import overrides
from mdx.sweeps.table import Cell

SUBJECTS = [f"s{i}" for i in range(12)]


def write_run(folder: Path, metric: str, better: str, mean: float | None, columns: dict[str, list]) -> Path:
    folder.mkdir(parents=True)
    group = {"group": "role=target", "n_subjects": len(SUBJECTS)}
    (folder / "summary.json").write_text(json.dumps([{"metric": metric, "better": better, "mean": mean, **group}]))
    rows = {"case": SUBJECTS, "subject": SUBJECTS, "site": "B", "role": "target", **columns}
    pd.DataFrame(rows).to_csv(folder / "scores.csv", index=False)
    several = any("|" in str(cell) for cell in columns.get("truth", ()))
    task = {"kind": "multilabel" if several else "classification", "channels": ["c"], "dims": 2, "sites": ["B"],
            "label": "class", "classes": ["a", "b"]}  # fmt: skip
    (folder / "provenance.json").write_text(json.dumps({"task": task}))
    return folder


def verdicts(
    tmp_path: Path, metric: str, better: str, means: dict[str, list[float | None]], columns: dict[str, list[dict]]
) -> tuple[list[Verdict], list[Measured]]:
    """Judge ``first`` before ``second``, each with a run a seed, in percent."""
    where = PublishedMetric(metric, "role=target", 100)
    runs, cells = {}, []
    for name in ("first", "second"):
        jobs = {seed: Job("made_up", "csv:a.csv", name, seed=seed) for seed in range(len(means[name]))}
        for seed, job in jobs.items():
            folder = tmp_path / f"{name}{seed}"
            runs[id(job)] = write_run(folder, metric, better, means[name][seed], columns[name][seed])
        cells.append(Cell({"row": name}, "printed", 50.0 if name == "first" else 40.0, None, where, jobs))
    table = PublishedTable(
        "t.csv", metrics={"printed": where}, keys={"row": {"first": TableKey(), "second": TableKey()}},
        claims={"first is better": Claim(("first", "second"))},
    )  # fmt: skip
    measured = measure(cells, runs)
    return judge(table, measured, runs), measured


def test_a_lower_error_is_better_and_the_gain_is_positive(tmp_path: Path) -> None:
    errors = {"first": [{"e": [1.0] * 12}], "second": [{"e": [1.5] * 12}]}
    (found,), _ = verdicts(tmp_path, "e", "min", {"first": [1.0], "second": [1.5]}, errors)
    assert (found.difference, found.low, found.high) == pytest.approx((50, 50, 50))
    assert (found.text, found.n_subjects) == ("came out", 12)


def test_a_step_of_fewer_than_6_subjects_is_said_to_be_of_so_few() -> None:
    step = Verdict("first is better", "", "first", "second", "e", 0.1, 0.05, 0.2, (1, 1), n_subjects=2)
    assert step.text == "came out, but of 2 subjects only"


def test_a_gain_whose_interval_holds_0_is_said_to_be_unsure(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 1, 12)
    scores = {"first": [{"e": (noise - noise.mean() + 0.01).tolist()}], "second": [{"e": [0.0] * 12}]}
    (found,), _ = verdicts(tmp_path, "e", "max", {"first": [0.01], "second": [0.0]}, scores)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0 < found.high
    assert found.text == "came out, but the interval holds 0"


def test_the_interval_of_a_score_of_a_set_resamples_subjects_of_both_methods_together(tmp_path: Path) -> None:
    # seed 0; 12 subjects, 2 seeds; balanced accuracy in percent
    truth = ["a"] * 6 + ["b"] * 6
    rng = np.random.default_rng(1)
    columns: dict[str, list[dict]] = {"first": [], "second": []}
    means: dict[str, list[float | None]] = {"first": [], "second": []}
    for name, skill in (("first", 0.9), ("second", 0.2)):
        for _ in range(2):
            right = rng.random(12) < 0.5 + skill / 2
            p_a = [0.8 if (t == "a") == bool(r) else 0.2 for t, r in zip(truth, right, strict=True)]
            columns[name].append({"truth": truth, "p_a": p_a, "p_b": [1 - p for p in p_a]})
            predicted = ["a" if p > 0.5 else "b" for p in p_a]
            means[name].append(float(balanced_accuracy_score(truth, predicted)))
    (found,), _ = verdicts(tmp_path, "balanced_accuracy", "max", means, columns)
    expected = 100 * (np.mean(means["first"]) - np.mean(means["second"]))  # type: ignore[arg-type]
    assert found.difference == pytest.approx(expected)
    assert found.low is not None
    assert found.high is not None
    assert found.low < expected < found.high


def test_the_interval_of_findings_is_of_their_own_scores_of_sets(tmp_path: Path) -> None:
    # seed 0: the first method's probabilities follow the truth, the second's are its opposite
    rng = np.random.default_rng(0)
    truth = ["a", "b", "a|b", "No Finding"] * 3
    sure = {c: np.array([c in t.split("|") for t in truth]) * 0.5 + 0.5 * rng.random(12) for c in "ab"}
    scores = {"first": [{"truth": truth, **{f"p_{c}": v for c, v in sure.items()}}],
              "second": [{"truth": truth, **{f"p_{c}": 1 - v for c, v in sure.items()}}]}  # fmt: skip
    (found,), _ = verdicts(tmp_path, "auroc", "max", {"first": [1.0], "second": [0.0]}, scores)
    assert found.difference == pytest.approx(100)
    assert (found.low, found.high) == pytest.approx((100, 100))


def test_a_number_that_a_run_has_only_one_of_has_no_interval(tmp_path: Path) -> None:
    nothing = {"first": [{}], "second": [{}]}
    (found,), _ = verdicts(tmp_path, "site_probe_accuracy", "min", {"first": [0.3], "second": [0.6]}, nothing)
    assert (found.difference, found.low, found.high) == (pytest.approx(30), None, None)
    assert found.text == "the same order, one number each"


def test_seeds_that_only_one_method_has_are_left_out_of_the_difference(tmp_path: Path) -> None:
    scores = {"first": [{"e": [1.0] * 12}, {"e": [9.0] * 12}], "second": [{"e": [2.0] * 12}, {"e": [1.0] * 12}]}
    (found,), measured = verdicts(tmp_path, "e", "min", {"first": [1.0, None], "second": [2.0, 1.0]}, scores)
    assert found.difference == pytest.approx(100)
    assert found.by_seed == (1, 1)
    assert measured[0].missing == "its run has no e for role=target"


def test_a_claim_about_a_failed_run_says_so(tmp_path: Path) -> None:
    where = PublishedMetric("e", "role=target")
    cells = [Cell({"row": n}, "printed", 1.0, None, where, {0: Job("made_up", "csv:a.csv", n)}) for n in ("a", "b")]
    table = PublishedTable("t", metrics={"printed": where}, claims={"a": Claim(("a", "b"), column="row")})
    (found,) = judge(table, measure(cells, {}), {})
    assert found.text == "not judged (a: its run has not finished; b: its run has not finished)"


def test_pairs_of_rows_with_equal_published_numbers_have_no_order() -> None:
    def row(published: float, ours: float) -> Measured:
        return Measured(Cell({"row": str(ours)}, "m", published, None), {0: ours})

    (found,) = rank_agreement([row(1.0, 5.0), row(1.0, 6.0), row(2.0, 5.5), row(3.0, 7.0)])
    assert (found["pairs_in_order"], found["pairs"], found["rows"]) == (4, 5, 4)


def test_a_place_that_is_a_bare_number_says_of_what() -> None:
    cell = Cell({"method": "standard", "overlap_years": "5", "train_sets": "B+O"}, "mae", 1.0, None)
    assert cell.name == "standard / overlap years 5 / B+O"


def test_a_claim_of_which_a_row_did_not_run_is_not_judged(tmp_path: Path) -> None:
    columns = {"first": [{"e": [1.0] * 12}], "second": [{"e": [1.0] * 12}]}
    (found,), _ = verdicts(tmp_path, "e", "min", {"first": [1.0], "second": [None]}, columns)
    assert found.text == "not judged (second: its run has no e for role=target)"
    assert found.difference is None


def test_whatever_was_changed_by_hand_is_in_words() -> None:
    table = PublishedTable("t.csv", data="sim:x", preset="demo")
    assert overrides(table, (), None, "demo", None, None) == []
    assert overrides(table, ("a", "b"), "csv:mine.csv", "quick", {"training.epochs": "2"}, "cpu") == [
        "only the rows a, b", "data csv:mine.csv in place of sim:x", "preset quick in place of demo",
        "training.epochs = 2", "device cpu",
    ]  # fmt: skip
