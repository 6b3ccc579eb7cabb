"""What a sweep and a reproduction say first."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scored_runs import ALIKE, BASE, BETTER, write_run

from mdx.files import write_json
from mdx.report.next_steps import page_above
from mdx.report.reproduction import reproduction_answer
from mdx.report.sweep import write_sweep_page

VARIANTS = {"plain": BASE, "clever": BETTER, "other": ALIKE}


def swept(folder: Path, data: str = "csv:cohort.csv") -> Path:
    """A sweep of three variants at two seeds, whose scores move a little with the seed."""
    jobs, rows = [], []
    for variant, scores in VARIANTS.items():
        for seed in (0, 1):
            run = f"{variant}_{seed}"
            moved = scores + 0.002 * seed
            write_run(folder / "runs" / run, variant, moved, seed=seed)
            labels = {"variant": variant, "seed": str(seed)}
            jobs.append({"labels": labels, "plugin": "made", "data": data if data != "sim:" else f"sim:{seed}"})
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


def test_simulated_cohorts_of_other_seeds_are_not_taken_for_the_same_subjects(tmp_path: Path) -> None:
    text = words(write_sweep_page(swept(tmp_path, "sim:")).read_text())
    assert "plain" in text and "cannot be told" not in text and "is better" not in text


def claim(difference: float | None, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    return {"difference": difference, "low": low, "high": high}


@pytest.mark.parametrize(
    ("claims", "mark", "said"),
    [
        ([claim(0.1, 0.05, 0.2)], "came out", "1 came out"),
        ([claim(-0.1, -0.2, -0.05)], "did not come out", "1 came out r"),
        ([claim(0.1, 0.05, 0.2), claim(0.1, -0.1, 0.2)], "partly", "1 cannot be told"),
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
