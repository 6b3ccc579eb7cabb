"""``mdx run --folds``: K runs that test every subject once, on the made-up plugin."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from slope_plugin import slope_in

import mdx as library
from mdx import stopping
from mdx.errors import RefusedError
from mdx.files import write_json
from mdx.interfaces.adapter import Prediction
from mdx.interfaces.geometry import Geometry
from mdx.report.next_steps import next_commands
from mdx.runs.ensemble import averaged
from mdx.runs.folders import is_folds
from mdx.sweeps import folds
from mdx.sweeps.jobs import Job, expand
from mdx.sweeps.pooled_pictures import link_pictures
from mdx.workflow.estimates import estimates
from mdx.workflow.execution import execute, open_data

Mdx = Callable[..., tuple[int, str]]
TOLD = ("--preset", "small", "--set", "source=A", "target=B", "epochs=1", "run.threads=1")


def words(table: Path, out: Path, *more: str) -> list[str]:
    return ["run", "slope", "--data", f"csv:{table}", "--out", str(out), *TOLD, *more]


def folder_of(runs: Path, k: int = 2) -> Path:
    (found,) = runs.glob(f"*_slope_folds{k}_*")
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, ages: Path) -> Path:
    """A folder in whose ``runs`` two folds and their baseline have been run."""
    folder = tmp_path_factory.mktemp("folds")
    with slope_in(folder):
        settings = {"source": "A", "target": "B", "epochs": "1", "run.threads": "1"}
        library.run("slope", f"csv:{ages}", folds=2, out=folder / "runs", preset="small", settings=settings)
    return folder


@pytest.fixture
def pooled(place: Path, slope: None) -> Path:
    return folder_of(place / "runs")


def test_every_case_is_scored_once_and_the_interval_is_over_all_subjects(pooled: Path) -> None:
    for directory in (pooled, pooled / "baselines" / "shifted"):
        scores = pd.read_csv(directory / "scores.csv")
        assert sorted(scores["case"]) == sorted(f"{site}{i}" for site in "AB" for i in range(10))
        for fold, part in scores.groupby("fold"):
            own = pd.read_csv(
                directory / json.loads((directory / "folds.json").read_text())["members"][fold] / "scores.csv"
            )
            assert dict(zip(part["case"], part["absolute_error"], strict=True)) == dict(
                zip(own["case"], own["absolute_error"], strict=True)
            )
        row = next(
            r for r in json.loads((directory / "summary.json").read_text())
            if (r["metric"], r["group"]) == ("absolute_error", "site=B")
        )  # fmt: skip
        assert row["n_subjects"] == 10
        assert row["mean"] == pytest.approx(scores.loc[scores["site"] == "B", "absolute_error"].mean())
        assert row["low"] < row["mean"] < row["high"]


def test_the_page_says_that_folds_are_pooled_and_shows_each(pooled: Path) -> None:
    page = (pooled / "report.html").read_text()
    assert "The scores of 2 folds are pooled" in page
    assert "SD between folds" in page
    assert '<th class="n">fold 1</th>' in page
    (nearest, *_) = json.loads((pooled / "figures" / "pictures.json").read_text())["gallery"]
    scores = pd.read_csv(pooled / "scores.csv").query("role == 'target'").sort_values("absolute_error")
    assert (nearest["title"], [each["case"] for each in nearest["cases"]]) == ("Nearest", scores["case"].tolist()[:8])
    assert all((pooled / "figures" / each["file"]).is_file() for each in nearest["cases"])


def test_a_moved_folder_predicts_the_mean_of_its_runs(pooled: Path, ages: Path, tmp_path: Path, mdx: Mdx) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(pooled, moved)
    scan = ages.parent / "C3.nii.gz"
    each = [
        library.load_run(run).apply(scan).value for run in sorted((pooled.parent).glob("*_slope_*")) if run != pooled
    ]
    code, printed = mdx("apply", moved, scan, "--out", tmp_path / "out")
    assert code == 0, printed
    row = pd.read_csv(tmp_path / "out" / "predictions.csv").iloc[0]
    assert row["predicted"] == pytest.approx(sum(filter(None, each)) / 2)
    assert row["ensemble"] == "mean of 2 runs"


def test_a_stopped_command_goes_on_with_the_folds_that_are_left(
    ages: Path, slope: None, tmp_path: Path, mdx: Mdx, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = words(ages, tmp_path / "runs", "--folds", "2", "--baselines", "none")

    def until_the_second(plan, *args, **kwargs):
        if plan.settings.data.fold == 1:
            with stopping.listening():
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(5)
        return execute(plan, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(folds, "execute", until_the_second)
        code, printed = mdx(*command)
    assert code == 75
    assert "go on with the same command" in printed
    (first,) = (tmp_path / "runs").iterdir()
    assert mdx(*command)[0] == 0
    assert "fold 0" not in (first / "log.txt").read_text()
    assert (first / "log.txt").read_text().count("== slope / line") == 1
    made = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert len(made) == 3
    code, printed = mdx(*command)
    assert (code, "exists and is finished" in printed) == (0, True)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == made


def test_the_time_of_a_run_is_estimated_from_runs_and_not_from_all_folds(pooled: Path, ages: Path) -> None:
    settings = {"source": "A", "target": "B", "epochs": "1", "run.threads": "1", "data.folds": "2", "data.fold": "0"}
    plan = Job("slope", f"csv:{ages}", preset="small", settings=settings).plan()
    known = estimates(plan, open_data(plan), pooled.parent).measured
    assert known is not None
    assert not is_folds(pooled.parent / known["run"])


def test_the_best_and_the_worst_picture_are_named_after_the_case_that_is_drawn(tmp_path: Path) -> None:
    scores = {"a": (0, 0.9), "b": (0, 0.9), "c": (0, 0.7), "d": (1, 0.8), "e": (1, 0.3), "f": (1, 0.2)}
    drawn = [{"best": "b", "worst": "c"}, {"best": "d", "worst": "e"}]
    members = [tmp_path / "folds" / str(fold) for fold in (0, 1)]
    for member, overlays in zip(members, drawn, strict=True):
        (member / "figures").mkdir(parents=True)
        write_json(member / "provenance.json", {"task": {"kind": "segmentation", "classes": ["brain"]}})
        write_json(member / "figures" / "pictures.json", {"overlays": overlays})
        for name, case in overlays.items():
            (member / "figures" / f"overlay_{name}.png").write_text(case)
    rows = [{"case": case, "role": "target", "fold": of, "surface_dice": s} for case, (of, s) in scores.items()]
    link_pictures(tmp_path, members, pd.DataFrame(rows))
    assert json.loads((tmp_path / "figures" / "pictures.json").read_text())["overlays"] == {"best": "b"}
    assert (tmp_path / "figures" / "overlay_best.png").read_text() == "b"
    assert not (tmp_path / "figures" / "overlay_worst.png").exists()  # that fold has drawn another one than the worst


def test_a_sweep_over_folds_takes_the_finished_runs(place: Path, ages: Path, slope: None) -> None:
    job = Job("slope", f"csv:{ages}", preset="small", settings={"source": "A", "target": "B", "epochs": "1"})
    for each in expand(replace(job, baselines=None), grid={"data.folds": ["2"], "data.fold": ["0", "1"]}):
        result = execute(each.plan(threads=1), place / "sweeps" / "slope_1" / "runs")
        assert result.found
        assert (place / "runs" / result.directory.name / "done").exists()


def test_who_trained_a_fold_is_not_evaluated_on(pooled: Path, ages: Path, tmp_path: Path, mdx: Mdx) -> None:
    code, printed = mdx("evaluate", pooled)
    assert (code, "every case has trained some of the folds" in printed) == (8, True)
    code, printed = mdx("evaluate", pooled, "--data", f"csv:{ages}", "--out", tmp_path / "scored", "--json")
    assert code == 0, printed
    assert sorted(pd.read_csv(tmp_path / "scored" / "scores.csv")["case"]) == [f"C{i}" for i in range(10)]


def test_two_folders_of_folds_are_compared_where_they_divide_alike(
    pooled: Path, ages: Path, tmp_path: Path, mdx: Mdx
) -> None:
    other = mdx(*words(ages, tmp_path / "a", "epochs=2", "--folds", "2", "--baselines", "none"))[0]
    anew = mdx(*words(ages, tmp_path / "b", "split_seed=1", "--folds", "2", "--baselines", "none"))[0]
    assert (other, anew) == (0, 0)
    facts = library.compare([f"{pooled}:line", folder_of(tmp_path / "a")])
    assert facts["metrics"][0]["groups"][0]["n_subjects"] == 10
    with pytest.raises(RefusedError, match="are tested in another fold"):
        library.compare([f"{pooled}:shifted", folder_of(tmp_path / "b")])


def test_folds_and_a_fold_that_is_set_are_refused_together(ages: Path, slope: None, tmp_path: Path, mdx: Mdx) -> None:
    code, printed = mdx(*words(ages, tmp_path / "runs", "data.fold=1", "--folds", "2"))
    assert code != 0
    code, printed = mdx(*words(ages, tmp_path / "runs", "--folds", "1"))
    assert (code, "--folds 1 divides nothing" in printed) == (2, True)


def probabilities(*rows: list[float]) -> Prediction:
    return Prediction(Geometry(np.eye(4), (2, 2)), classes=np.array(rows[0], dtype=np.float32))


def test_probabilities_are_averaged_before_a_class_is_chosen_and_hard_ones_are_votes() -> None:
    soft = averaged(map(probabilities, ([0.9, 0.1], [0.4, 0.6], [0.4, 0.6])), 3)
    assert soft.classes is not None
    assert soft.classes == pytest.approx([1.7 / 3, 1.3 / 3])
    assert soft.details["ensemble"] == "mean of 3 runs"
    hard = averaged(map(probabilities, ([1.0, 0.0], [0.0, 1.0], [0.0, 1.0])), 3)
    assert hard.classes == pytest.approx([1 / 3, 2 / 3])
    assert hard.details["ensemble"] == "vote of 3 runs"


def test_boxes_are_not_averaged() -> None:
    boxes = Prediction(Geometry(np.eye(4), (2, 2)), boxes=np.zeros((1, 6), np.float32))
    with pytest.raises(RefusedError, match="boxes of several runs are not averaged"):
        averaged([boxes, boxes], 2)


def test_a_page_of_few_tested_subjects_names_the_command_with_folds_and_that_of_folds_does_not(
    pooled: Path, ages: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(pooled / "folds" / "0", tmp_path / "run"))
    facts = json.loads((run / "provenance.json").read_text())
    commands = [each["command"] for each in next_commands(run, [], facts, "mdx run slope --data csv:ages.csv")]
    assert "mdx run slope --data csv:ages.csv --folds 5" in commands
    commands = [each["command"] for each in next_commands(pooled, [], facts, "mdx run slope --data a.csv --folds 2")]
    assert not any("--folds" in command for command in commands)
