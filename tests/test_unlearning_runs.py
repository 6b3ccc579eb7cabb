"""Unlearning from the command line: ages in a table of real files, to the scores, the probe and ``mdx apply``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from small_cohort import write_scan

Call = Callable[..., tuple[int, str]]

SMALL = [
    "--set", "width=0.125", "stages=2", "stem_stride=2", "feature_size=8", "batch_size=6", "steps=2", "epochs=3",
    "pretrain_epochs=1", "label_scale=standardise", "probe_every=1", "select=last", "run.bootstrap=100",
]  # fmt: skip


@pytest.fixture
def ages(tmp_path: Path) -> Path:
    """A table of 24 and 12 volumes whose brightness tells the age, and whose noise the site."""
    rng = np.random.default_rng(0)
    lines = ["image,age,subject,site"]
    for s, (site, n) in enumerate({"A": 24, "B": 12}.items()):
        for i in range(n):
            age = 40 + 40 * i / n
            values = rng.normal(100, 5 + 10 * s, (12, 11, 6))
            values[3:8, 3:8] += age
            write_scan(tmp_path / "images" / f"{site}{i}.nii.gz", values.astype(np.float32))
            lines.append(f"images/{site}{i}.nii.gz,{age},{site}{i},{site}")
    table = tmp_path / "ages.csv"
    table.write_text("\n".join(lines) + "\n")
    return table


def test_a_run_has_errors_by_site_and_a_site_probe_with_chance(ages: Path, tmp_path: Path, mdx: Call) -> None:
    runs = tmp_path / "runs"
    code, printed = mdx("run", "unlearning", "--data", f"csv:{ages}", *SMALL, "--device", "cpu", "--out", runs)
    assert code == 0, printed
    (run,) = runs.iterdir()
    for folder in (run, run / "baselines" / "normal"):
        rows = json.loads((folder / "summary.json").read_text())
        found = {(row["metric"], row["group"]): row["mean"] for row in rows}
        assert {("absolute_error", g) for g in ("all", "site=A", "site=B", "role=source")} <= set(found)
        assert 0 <= found["site_probe_accuracy", "all"] <= 1
        assert found["site_probe_chance", "all"] == 0.5
        counts = {row["metric"]: (row["n_cases"], row["n_subjects"]) for row in rows if row["group"] == "all"}
        assert counts["site_probe_accuracy"] == counts["absolute_error"] == (7, 7)  # a fifth of 24 and of 12


def test_a_site_that_is_not_trained_on_is_tested_and_left_out_of_the_source_probe(
    ages: Path, tmp_path: Path, mdx: Call
) -> None:
    code, printed = mdx(
        "run", "unlearning", "--variant", "normal", "--data", f"csv:{ages}", *SMALL, "source=A", "--device", "cpu",
        "--out", tmp_path / "runs",
    )  # fmt: skip
    assert code == 0, printed
    (run,) = (tmp_path / "runs").iterdir()
    rows = json.loads((run / "summary.json").read_text())
    groups = {row["group"] for row in rows if row["metric"] == "absolute_error"}
    assert {"site=B", "role=target"} <= groups
    assert not any(row["metric"].startswith("source_probe") for row in rows)


def test_one_site_cannot_be_unlearnt_and_the_message_says_so(ages: Path, tmp_path: Path, mdx: Call) -> None:
    code, printed = mdx(
        "run", "unlearning", "--data", f"csv:{ages}", *SMALL, "source=A", "--device", "cpu", "--out", tmp_path / "runs"
    )
    assert code == 4
    assert "needs at least two values of 'site'" in printed
    assert "source=A,B" in printed


def test_other_cases_to_unlearn_on_are_another_run(ages: Path, tmp_path: Path, mdx: Call) -> None:
    header, *rows = ages.read_text().splitlines()
    # a target that the other table does not have
    rng = np.random.default_rng(1)
    for i in range(3):
        write_scan(ages.parent / "images" / f"C{i}.nii.gz", rng.normal(100, 30, (12, 11, 6)).astype(np.float32))
    target = [f"images/C{i}.nii.gz,60.5,C{i},C" for i in range(3)]
    ages.write_text("\n".join([header, *rows, *target]) + "\n")
    for name, chosen in {"few": rows[:8] + rows[-8:], "many": rows}.items():
        given = [row.replace(f",{row.split(',')[2]},", f",other{i},") for i, row in enumerate(chosen)]
        (ages.parent / f"{name}.csv").write_text("\n".join([f"{header},split", *(f"{r},train" for r in given)]) + "\n")
    runs = tmp_path / "runs"
    for name in ("few", "many"):
        code, printed = mdx(
            "run", "unlearning", "--variant", "unlearning_on_overlap", "--baselines", "none", "--data", f"csv:{ages}",
            "--data", f"overlap=csv:{ages.parent}/{name}.csv", *SMALL, "source=A,B", "target=C",
            "--device", "cpu", "--out", runs,
        )  # fmt: skip
        assert code == 0, printed
    said = {(run / "notes.json").read_text() for run in runs.iterdir()}
    assert len(said) == 2
    assert any("Unlearnt on 16 cases" in text for text in said)


def test_an_overlap_of_other_images_is_refused_before_training(ages: Path, tmp_path: Path, mdx: Call) -> None:
    from PIL import Image

    rows = ["image,age,subject,site"]
    for i in range(12):
        Image.new("L", (20, 16), 20 * i).save(tmp_path / f"{i}.png")
        rows.append(f"{i}.png,50,s{i},{'AB'[i % 2]}")
    (tmp_path / "flat.csv").write_text("\n".join(rows) + "\n")
    code, printed = mdx(
        "run", "unlearning", "--variant", "unlearning_on_overlap", "--data", f"csv:{ages}", "--data",
        f"overlap=csv:{tmp_path}/flat.csv", *SMALL, "--device", "cpu", "--out", tmp_path / "runs",
    )  # fmt: skip
    assert code == 4
    assert "the cohort 'overlap' has 2-D images of 1 channel(s), the data have 3-D images of 1" in printed
