"""What a sweep and a reproduction say first."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scored_runs import ALIKE, BASE, BETTER, write_run

from mdx.files import write_json
from mdx.plugins.discovery import Plugin
from mdx.plugins.manifest import Manifest
from mdx.report.next_steps import page_above
from mdx.report.reproduction import reproduction_answer
from mdx.report.sweep import read_sweep, write_sweep_page
from mdx.report.sweep_answer import combinations, sweep_answer

VARIANTS = {"plain": BASE, "clever": BETTER, "other": ALIKE}
OF_FDA = {"srsim_mst": BETTER, "no_da": BASE, "oracle": BETTER + 0.1}


def swept(
    folder: Path, data: str = "csv:cohort.csv", variants: Mapping[str, np.ndarray] = VARIANTS, plugin: str = "made"
) -> Path:
    """A sweep of some variants at two seeds, whose scores move a little with the seed; 'oracle' reads the target."""
    jobs, rows = [], []
    for variant, scores in variants.items():
        for seed in (0, 1):
            run = f"{variant}_{seed}"
            moved = scores + 0.002 * seed
            reads = "train" if variant == "oracle" else "never"
            write_run(folder / "runs" / run, variant, moved, seed=seed, target_labels=reads)
            labels = {"variant": variant, "seed": str(seed)}
            jobs.append({"labels": labels, "plugin": plugin, "data": data if data != "sim:" else f"sim:{seed}"})
            at_target = float(moved[8:].mean())
            rows.append({"variant": variant, "seed": seed, "state": "done", "run": run, "surface_dice": at_target})
    write_json(folder / "sweep.json", {"jobs": jobs, "page": "sweep.html"})
    pd.DataFrame(rows).to_csv(folder / "index.csv", index=False)
    return folder


def words(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"(?s)<style.*?</style>", "", page)))


def test_a_sweep_holds_each_variant_against_the_first_on_the_same_subjects(tmp_path: Path) -> None:
    page = write_sweep_page(swept(tmp_path)).read_text()
    text = words(page)
    gap = f"{(BETTER - BASE)[8:].mean():+.3f}"
    assert re.search(rf"Gain clever is better than plain in surface dice: {re.escape(gap)} \[\+", text)
    assert "other cannot be told from plain" in text
    assert f"{BASE[:8].mean() + 0.001:.3f}" in text  # at the source
    assert page.count('href="runs/clever_1/report.html"') == 1
    assert page_above(tmp_path / "runs" / "clever_1") == "../../sweep.html"


@pytest.fixture
def fda(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a plugin whose own method is srsim_mst."""
    manifest = Manifest("fda", "", Path(), default_variant="srsim_mst", baselines=("no_da", "oracle"))
    plugin = Plugin("fda", "", "", "", manifest)
    monkeypatch.setattr("mdx.report.sweep_answer.discover", lambda: {"fda": plugin})
    return "fda"


@pytest.mark.parametrize(
    ("names", "mark"),
    [
        (["srsim_mst", "no_da"], "gain"), (["srsim_mst", "no_da", "oracle"], "gain"),
        (["no_da", "oracle"], "cannot tell"), (["oracle", "no_da"], "cannot tell"),
    ],
)  # fmt: skip
def test_the_reference_of_a_sweep_is_a_baseline_and_an_oracle_is_in_no_verdict(
    tmp_path: Path, fda: str, names: list[str], mark: str
) -> None:
    folder = swept(tmp_path, variants={name: OF_FDA[name] for name in names}, plugin=fda)
    sweep = read_sweep(folder)
    found = combinations(folder, sweep)
    answer = sweep_answer(sweep, found)
    assert answer is not None
    assert answer["mark"] == mark
    assert {one.base for one in found} == {"", "no_da"}
    assert sum(one.competes for one in found) == ("srsim_mst" in names)
    page = words(write_sweep_page(folder).read_text())
    assert ("oracle*" in page) == ("'oracle' trained on labels of the target" in " ".join(answer["sentences"]))
    assert ("oracle*" in page) == ("oracle" in names)


def test_where_the_plugins_own_method_reads_the_target_nothing_is_set_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = Plugin("l2i", "", "", "", Manifest("l2i", "", Path(), default_variant="oracle", baselines=("no_da",)))
    monkeypatch.setattr("mdx.report.sweep_answer.discover", lambda: {"l2i": plugin})
    folder = swept(tmp_path, variants={"oracle": OF_FDA["oracle"], "no_da": BASE}, plugin="l2i")
    assert [one.reads_target for one in combinations(folder, read_sweep(folder))] == [False, False]


def test_combinations_of_other_test_cases_are_said_to_be_not_compared(tmp_path: Path) -> None:
    folder = swept(tmp_path, variants={"plain": BASE, "clever": BETTER})
    for scores in (folder / "runs").glob("clever_*/scores.csv"):
        table = pd.read_csv(scores)
        table.assign(case=table["case"] + "x", subject=table["subject"] + "x").to_csv(scores, index=False)
    text = words(write_sweep_page(folder).read_text())
    assert "Nothing to hold a method against: plain reaches" in text
    assert "Other test cases than plain , so not held against it: clever ." in text
    assert "cannot be told from" not in text and "0 subjects" not in text


def test_simulated_cohorts_of_other_seeds_are_not_taken_for_the_same_subjects(tmp_path: Path) -> None:
    text = words(write_sweep_page(swept(tmp_path, "sim:")).read_text())
    assert "plain" in text and "cannot be told" not in text and "is better" not in text


def claim(difference: float | None, low: float | None = None, high: float | None = None, n: int = 12) -> dict[str, Any]:
    return {"difference": difference, "low": low, "high": high, "n_subjects": n}


@pytest.mark.parametrize(
    ("claims", "mark", "said"),
    [
        ([claim(0.1, 0.05, 0.2)], "came out", "1 came out"),
        ([claim(-0.1, -0.2, -0.05)], "did not come out", "1 came out r"),
        ([claim(0.1, 0.05, 0.2), claim(0.1, -0.1, 0.2)], "partly", "1 cannot be told"),
        ([claim(0.1, 0.05, 0.2, n=2)], "cannot tell", "1 cannot be told"),
        ([claim(-0.1, -0.2, -0.05)] + 9 * [claim(0.1, -0.1, 0.2)], "cannot tell", "1 came out reversed"),
        ([claim(0.1)], "cannot tell", "1 cannot be told"), ([claim(None)], "cannot tell", "No order"),
    ],
)  # fmt: skip
def test_a_reproduction_says_how_many_claims_came_out(claims: list[dict[str, Any]], mark: str, said: str) -> None:
    found = reproduction_answer({"claims": claims, "cells": [{"measured": 0.5}, {"measured": None}]})
    assert found["mark"] == mark
    assert said in found["sentences"][0]
    assert found["sentences"][-1] == "1 of 2 published numbers were measured."


def test_a_sweep_of_too_few_subjects_gives_no_verdict(tmp_path: Path) -> None:
    folder = swept(tmp_path)
    for run in (folder / "runs").iterdir():
        table = pd.read_csv(run / "scores.csv")
        table["subject"] = np.where(table["role"] == "target", table["site"], table["subject"])
        table.to_csv(run / "scores.csv", index=False)
    text = words(write_sweep_page(folder).read_text())
    assert "Cannot tell" in text
    assert "Fewer than 6 subjects in 2 of 2 comparisons: no verdict is possible." in text
