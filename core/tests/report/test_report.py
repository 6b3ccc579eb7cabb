"""The page shows what the files say, and nothing it should not."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from mdx.evaluation.statistics import summarise
from mdx.files import write_json
from mdx.report.overlays import overlay
from mdx.report.run import write_report
from mdx.report.text import methods_of, reading_target, summary_table
from mdx.runs.checkpoint import save_tree
from mdx.runs.shown import Shown

ODD = "B<script>&$x$"
HIGH = [0.9, 0.8, 0.85, 0.95, 0.91, 0.83, 0.88, 0.97, 0.6, 0.7, 0.65, 0.75, 0.64, 0.71, 0.69, 0.74]
LOW = [*HIGH[:8], 0.3, 0.4, 0.5, 0.2, 0.35, 0.42, 0.38, 0.41]


def provenance(variant: str, **facts: Any) -> dict[str, Any]:
    return {
        "plugin": "made", "plugin_version": "1", "variant": variant, "summary": "what it does",
        "paper": {"title": "A title", "authors": ["A. Author"], "year": 2020, "venue": "Somewhere", "doi": "10.1/2"},
        "preset": "demo", "baselines": [], "target_labels": "never", "seed": 3, "device": "cpu",
        "precision": "32-true", "split_hash": "abc", "versions": {"torch": "2.9"}, "mdx": "0.1", "source": "f" * 64,
        "machine": {"platform": "Linux"}, "started": "2026-01-01T00:00:00", **facts,
    }  # fmt: skip


def write_method(folder: Path, variant: str, scores: list[float], per_site: int = 8, **facts: Any) -> None:
    """A run directory as a finished run leaves it: two sites, one case a subject."""
    folder.mkdir(parents=True)
    n = 2 * per_site
    rows = pd.DataFrame(
        {
            "case": [f"c{i}" for i in range(n)],
            "subject": [f"s{i}" for i in range(n)],
            "site": ["A"] * per_site + [ODD] * per_site,
            "split": "test",
            "role": ["source"] * per_site + ["target"] * per_site,
            "surface_dice": scores,
            "dice": scores,
            "volume_error_percent": np.linspace(-20, 10, n),
        }
    )
    rows.to_csv(folder / "scores.csv", index=False)
    metrics = {"surface_dice": "max", "dice": "max", "volume_error_percent": "zero"}
    write_json(folder / "summary.json", summarise(rows, metrics).to_dict(orient="records"))
    write_json(folder / "provenance.json", provenance(variant, **facts))
    rows[["case", "subject", "site", "split", "role"]].to_csv(folder / "splits.csv", index=False)
    settings = {
        "method": {"beta": {"value": 0.1, "from": "--set"}, "n": {"value": 7, "from": "default"}},
        "run": {"init": {"value": "/home/someone/secret/weights.safetensors", "from": "--config"}},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    (folder / "command.txt").write_text(
        "mdx run made --data 'csv:/home/some one/secret/cohort.csv' --out ../elsewhere/runs\n"
    )
    (folder / "metrics.jsonl").write_text('{"stage": "source", "epoch": 0, "train/loss": 0.5, "val/loss": 0.6}\n')
    write_json(folder / "timings.json", {"fit": 1.5, "stages": {"source": 1.2}, "apply": 0.5, "cases": {"c0": 0.5}})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "run"
    write_method(folder, "method", HIGH, baselines=["plain", "strong", "oracle"])
    write_method(folder / "baselines" / "plain", "plain", LOW)
    write_method(folder / "baselines" / "strong", "strong", [s + 0.02 for s in HIGH])
    write_method(folder / "baselines" / "oracle", "oracle", [s + 0.03 for s in HIGH], target_labels="train")
    write_json(folder / "notes.json", ["a fact worth knowing"])
    table = {"A": {"low": 5, "high": 3, "mean": 7.5}, ODD: {"low": 1, "high": 7, "mean": 9.25}}
    write_json(
        folder / "confounding.json",
        {"title": "cases by site and volume", "table": table, "measure": "eta squared", "association": 0.4,
         "warning": "site and volume go together"},
    )  # fmt: skip
    monitor = {"name": "val/loss", "mode": "min", "patience": 3, "best": 0.25, "best_epoch": 4, "waited": 0}
    (folder / "checkpoints").mkdir()
    save_tree(folder / "checkpoints" / "source.safetensors", {"stage": "source", "monitor": monitor, "model": {}})
    (folder / "figures").mkdir()
    mask = np.zeros((1, 8, 9, 10), bool)
    mask[:, 2:5, 3:6, 4:7] = True
    overlay(folder / "figures" / "overlay_best.png", mask.astype(float), mask, mask, (1, 1, 2), f"site {ODD}")
    for path, low in ((folder, 0.25), (folder / "baselines" / "plain", 0.125)):
        shown = Shown(path, writes=True)
        shown.curve("How it was <chosen>", [0, 1, 2], {"A": [low, 0.5, None]}, "radius", "dice", {"A": 1}, "Of val.")
    Shown(folder, writes=True).table("Pool", [{"stage": "one", "cases": 12, "share": 0.5}, {"stage": "two"}], "")
    Shown(folder, writes=True).picture("Restored", {"before": np.zeros((4, 5)), "after": np.ones((4, 5))}, "")
    rows = [("one", "first", 0.5), ("one", "first", 0.7), ("two", "first", 0.4), ("two", "second", 1.0)]
    (folder / "evaluations.jsonl").write_text("".join(
        json.dumps({"stage": stage, "task": task, "case": "c", "dice": dice}) + "\n" for stage, task, dice in rows
    ))  # fmt: skip
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return (run / "report.html").read_text()


def words(page: str) -> str:
    """What a reader sees, in one line."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"(?s)<style.*?</style>|<svg.*?</svg>", "", page)))


@pytest.mark.parametrize(
    "heading",
    ["Scores by site", "The change of each case", "method against each baseline", "Best, median and worst test case",
     "Cohort", "Cases by site and volume", "Training", "How it was run", "Settings that are not defaults", "Time",
     "Versions"],
)  # fmt: skip
def test_the_page_has_the_section(page: str, heading: str) -> None:
    assert re.search(rf"<(h2|h3|summary)>{heading}", page)


@pytest.mark.parametrize("method", ["", "baselines/plain", "baselines/strong", "baselines/oracle"])
def test_the_numbers_are_those_of_the_summary(run: Path, page: str, method: str) -> None:
    rows = [r for r in json.loads((run / method / "summary.json").read_text()) if r["group"].startswith("site=")]
    assert len(rows) == 6
    for row in rows:
        assert f"{row['mean']:.3f} [{row['low']:.3f}, {row['high']:.3f}]" in page


def test_a_curve_is_drawn_and_tabulated_for_each_method_that_shows_it(page: str) -> None:
    (section,) = re.findall(r"(?s)<h2>How it was &lt;chosen&gt;</h2>(.*?)<h2>", page)
    assert section.count("<svg") == 2
    assert "method Of val. radius 0 1 2 A 0.250 0.500 - plain Of val. radius 0 1 2 A 0.125" in words(section)
    assert section.count("<strong>0.500</strong>") == 2


def test_a_table_of_a_method_has_the_columns_of_all_its_rows(page: str) -> None:
    (section,) = re.findall(r"(?s)<h2>Pool</h2>(.*?)<h2>", page)
    assert "stage cases share one 12 0.500 two - -" in words(section)


def test_pictures_of_a_method_are_part_of_the_page(page: str) -> None:
    (section,) = re.findall(r"(?s)<h2>Restored</h2>(.*?)<h2>", page)
    assert section.count('<img src="data:image/png;base64,') == 2
    assert "before after" in words(section)


def test_the_scores_after_each_stage_are_a_matrix_of_stages_and_tasks(page: str) -> None:
    (section,) = re.findall(r"(?s)<h2>After each stage of training</h2>(.*?)<h2>", page)
    assert "Mean dice of the cases" in words(section)
    assert "after first second one 0.600 - two 0.400 1.000" in words(section)


def test_names_are_escaped(page: str) -> None:
    assert "<script>" not in page
    assert "B&lt;script&gt;&amp;$x$" in page


def test_no_path_and_no_link_but_the_papers_is_in_the_page(page: str) -> None:
    text = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", page)
    for name in ("/home", "secret", "some one", "elsewhere"):
        assert name not in words(text)
    assert "csv:cohort.csv --out runs" in text
    assert "weights.safetensors" in text
    linked = text.replace('href="https://doi.org/10.1/2"', "")
    assert linked != text
    assert not re.search(r"(src|href|url)\s*[=(]\s*[\"']?(https?:|file:|/)", linked)


def test_the_page_has_one_script_of_its_own_and_needs_no_other_file(page: str) -> None:
    assert re.findall(r"<(?:script|link|iframe|object)\b[^>]*>", page) == ['<script id="own">']
    assert all(src.startswith("data:") for src in re.findall(r"<img[^>]* src=\"([^\"]*)", page))


def test_the_drawings_take_their_colours_from_the_page(page: str) -> None:
    drawings = re.findall(r"(?s)<svg.*?</svg>", page)
    assert len(drawings) == 9  # two scores, the changes, the curves of four methods, and what two of them show
    assert all("currentColor" in d and "#01020" not in d for d in drawings)


def test_the_headline_says_that_the_method_is_better_where_it_is(page: str) -> None:
    assert "which is better than plain" in words(page)


def test_the_headline_names_a_baseline_that_reaches_more_but_not_the_oracle(page: str) -> None:
    assert "Higher without labels of the target: strong (0.705)." in words(page)


def test_the_headline_says_which_better_baseline_read_validation_labels_of_the_target(tmp_path: Path) -> None:
    write_method(tmp_path / "run", "method", LOW, baselines=["plain", "strong", "chosen"])
    for name, labels in (("plain", "never"), ("strong", "never"), ("chosen", "val")):
        scores = LOW if name == "plain" else HIGH
        write_method(tmp_path / "run" / "baselines" / name, name, scores, target_labels=labels)
    page = html.unescape(words(write_report(tmp_path / "run").read_text()))
    assert "Higher without labels of the target: strong (0.685)." in page
    assert "Higher with the target's validation labels: chosen (0.685)." in page


def test_a_method_that_read_labels_of_the_target_is_marked(run: Path, page: str) -> None:
    assert "oracle *" in words(page)
    assert "* trained on labels of the target" in page
    assert "* trained on labels of the target" in summary_table(run)


def test_the_headline_says_so_where_the_method_is_worse(tmp_path: Path) -> None:
    write_method(tmp_path / "run", "method", LOW, baselines=["plain"])
    write_method(tmp_path / "run" / "baselines" / "plain", "plain", HIGH)
    assert "which is worse than plain" in words(write_report(tmp_path / "run").read_text())


def test_the_headline_claims_nothing_where_the_scores_are_equal(tmp_path: Path) -> None:
    write_method(tmp_path / "run", "method", HIGH, baselines=["plain"])
    write_method(tmp_path / "run" / "baselines" / "plain", "plain", HIGH)
    assert "which cannot be told from plain" in words(write_report(tmp_path / "run").read_text())


def test_the_headline_gives_no_verdict_on_three_subjects(tmp_path: Path) -> None:
    write_method(tmp_path / "run", "method", [0.9] * 6, per_site=3, baselines=["plain"])
    write_method(tmp_path / "run" / "baselines" / "plain", "plain", [0.1] * 6, per_site=3)
    text = words(write_report(tmp_path / "run").read_text())
    assert "higher in 3 and lower in 0 of 3 subjects: too few for a verdict" in text
    assert "With fewer than 6 subjects" in text


def test_what_was_read_and_how_weights_were_chosen_is_stated(page: str) -> None:
    assert "a fact worth knowing" in page
    assert "No label of a target site was visible in training." in page
    assert "Stage source: the weights of epoch 5, where val/loss was lowest (0.25)." in page


def test_subjects_in_two_splits_are_counted(run: Path, page: str, tmp_path: Path) -> None:
    assert "0 of them in more than one split" in page
    write_method(tmp_path / "run", "method", HIGH)
    table = pd.read_csv(tmp_path / "run" / "splits.csv")
    table.loc[len(table)] = ["again", "s0", "A", "train", "source"]
    table.to_csv(tmp_path / "run" / "splits.csv", index=False)
    assert "1 of them in more than one split" in write_report(tmp_path / "run").read_text()


def test_the_changes_of_cases_are_counted_by_site(page: str) -> None:
    assert "B<script>&$x$, 8 of 8 better and 0 worse; A, 0 of 8 better and 0 worse." in (
        words(page).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    )


def test_only_settings_that_are_not_defaults_are_listed_with_their_origin(page: str) -> None:
    assert re.search(r"method\.beta</code></td><td[^>]*><code>0\.1</code></td><td>--set", page)
    assert "method.n<" not in page


def test_an_undefined_score_is_counted_on_the_page(tmp_path: Path) -> None:
    write_method(tmp_path / "run", "method", [float("nan"), *HIGH[1:]], baselines=["plain"])
    write_method(tmp_path / "run" / "baselines" / "plain", "plain", LOW)
    assert "1 undefined" in words(write_report(tmp_path / "run").read_text())


def test_a_method_without_baselines_curves_and_pictures_has_a_page_too(tmp_path: Path) -> None:
    write_method(tmp_path / "run", "method", [0.5] * 16, paper={}, preset=None)
    (tmp_path / "run" / "metrics.jsonl").unlink()
    page = write_report(tmp_path / "run").read_text()
    assert "<h2>Scores by site</h2>" in page
    for absent in ("<h2>Training", "The change of each case", "against each baseline", "After ", "Preset"):
        assert absent not in page


def test_a_site_called_na_is_a_site(tmp_path: Path) -> None:
    for folder, name, scores in (("run", "method", HIGH), ("run/baselines/plain", "plain", LOW)):
        write_method(tmp_path / folder, name, scores, baselines=["plain"] if folder == "run" else [])
        for file in ("scores.csv", "splits.csv", "summary.json"):
            path = tmp_path / folder / file
            path.write_text(path.read_text().replace(ODD, "NA"))
    assert "At NA, method reaches" in words(write_report(tmp_path / "run").read_text())


def test_the_page_can_be_made_again_and_is_the_same(run: Path, page: str) -> None:
    assert write_report(run).read_text() == page


def test_the_printed_table_has_a_row_for_each_method(run: Path) -> None:
    lines = summary_table(run).splitlines()
    assert lines[1].split() == ["method", ODD, "(target,", "n=8)", "A", "(source,", "n=8)"]
    assert [line.split()[0] for line in lines[2:6]] == ["method", "plain", "strong", "oracle*"]
    assert "0.685 [" in lines[2]


def test_the_table_on_a_terminal_shows_the_same_numbers(run: Path) -> None:
    from rich.console import Console

    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(summary_table(run, plain=False))
    shown = console.export_text()
    for number in re.findall(r"\d\.\d{3} \[.*?\]", summary_table(run)):
        assert number in shown


def test_no_method_is_starred_where_the_runs_own_reads_labels_of_the_target(run: Path) -> None:
    """Then reading them is the task, and sets no method apart."""
    methods = methods_of(run)
    assert reading_target(methods) == {"oracle"}
    assert reading_target([replace(methods[0], target_labels="train"), *methods[1:]]) == set()
