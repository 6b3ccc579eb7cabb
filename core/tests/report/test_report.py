"""The page shows what the files say, and nothing it should not."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml

from mdx.evaluation.statistics import summarise
from mdx.report.run import write_report
from mdx.report.text import summary_table

PROVENANCE = {
    "plugin": "made", "plugin_version": "1", "variant": "method", "summary": "what it does", "paper": {},
    "preset": None,
    "baselines": ["plain"], "target_labels": "never", "seed": 0, "device": "cpu", "precision": "32-true",
    "split_hash": "abc", "versions": {"torch": "2"}, "mdx": "0.1", "source": "f" * 64, "machine": {"platform": "Linux"},
    "started": "2026-01-01T00:00:00",
}  # fmt: skip
ODD = "B<script>&"


def write_method(folder: Path, variant: str, scores: list[float]) -> None:
    folder.mkdir(parents=True)
    rows = pd.DataFrame(
        {
            "case": [f"c{i}" for i in range(8)],
            "subject": [f"s{i}" for i in range(8)],
            "site": ["A"] * 4 + [ODD] * 4,
            "split": "test",
            "role": ["source"] * 4 + ["target"] * 4,
            "surface_dice": scores,
            "dice": scores,
        }
    )
    rows.to_csv(folder / "scores.csv", index=False)
    summary = summarise(rows, {"surface_dice": "max", "dice": "max"})
    records = json.loads(summary.to_json(orient="records"))
    (folder / "summary.json").write_text(json.dumps(records))
    (folder / "provenance.json").write_text(json.dumps({**PROVENANCE, "variant": variant}))
    rows[["case", "subject", "site", "split", "role"]].to_csv(folder / "splits.csv", index=False)
    settings = {"method": {"beta": {"value": 0.1, "from": "--set"}, "n": {"value": 7, "from": "default"}}}
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    (folder / "command.txt").write_text("mdx run made --data csv:/home/someone/secret/cohort.csv\n")
    (folder / "metrics.jsonl").write_text('{"stage": "source", "epoch": 0, "train/loss": 0.5}\n')
    (folder / "timings.json").write_text('{"fit": 1.5, "apply": 0.5}')


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "run"
    write_method(folder, "method", [0.9, 0.8, 0.85, 0.95, 0.6, 0.7, 0.65, 0.75])
    write_method(folder / "baselines" / "plain", "plain", [0.9, 0.8, 0.85, 0.95, 0.3, 0.4, 0.5, 0.2])
    (folder / "notes.json").write_text('["a fact worth knowing"]')
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return (run / "report.html").read_text()


def test_the_numbers_are_those_of_the_summary(run: Path, page: str) -> None:
    for row in json.loads((run / "summary.json").read_text()):
        if row["group"].startswith("site="):
            assert f"{row['mean']:.3f} [{row['low']:.3f}, {row['high']:.3f}]" in page


def test_names_are_escaped(page: str) -> None:
    assert "<script>" not in page
    assert "B&lt;script&gt;&amp;" in page


def test_no_path_and_no_link_is_in_the_page(page: str) -> None:
    text = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", page)
    assert "/home/someone" not in text
    assert "cohort.csv" in text
    assert not re.search(r"(src|href)=\"(?!\")(http|file|/)", text)


def test_the_headline_says_that_the_method_is_better_where_it_is(page: str) -> None:
    assert "which is better than plain" in page


def test_the_headline_says_so_where_the_method_is_worse(tmp_path: Path) -> None:
    good, bad = [0.9, 0.8, 0.85, 0.95, 0.6, 0.7, 0.65, 0.75], [0.9, 0.8, 0.85, 0.95, 0.3, 0.4, 0.5, 0.2]
    write_method(tmp_path / "run", "method", bad)
    write_method(tmp_path / "run" / "baselines" / "plain", "plain", good)
    assert "which is worse than plain" in write_report(tmp_path / "run").read_text()


def test_the_notes_and_the_reading_of_labels_are_stated(page: str) -> None:
    assert "a fact worth knowing" in page
    assert "No label of a target site was visible in training." in page
    assert "0 of them in more than one split" in page


def test_only_settings_that_are_not_defaults_are_listed_with_their_origin(page: str) -> None:
    assert "method.beta" in page
    assert "method.n<" not in page


def test_a_method_without_baselines_has_a_page_too(tmp_path: Path) -> None:
    write_method(tmp_path / "run", "method", [0.5] * 8)
    assert "Scores by site" in write_report(tmp_path / "run").read_text()


def test_the_printed_table_has_a_row_for_each_method(run: Path) -> None:
    lines = summary_table(run).splitlines()
    assert [line.split()[0] for line in lines[2:4]] == ["method", "plain"]
    assert "0.675 [" in lines[2]
