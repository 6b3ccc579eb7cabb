"""A made-up plugin whose sites come one after the other, from the command line to the page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from moved_runs import applied_after_moving
from test_l2i_runs import write_table

from mdx.errors import StoppedError
from mdx.runs.checkpoint import load_tree
from mdx.training.run import Run

Call = Callable[..., tuple[int, str]]
SITES = {site: {"ill": 12, "well": 12} for site in "ABC"}
SMALL = ["data.label=class", "run.bootstrap=100", "data.val_fraction=0.25", "data.test_fraction=0.25"]


@pytest.fixture
def start(tmp_path: Path, mdx: Call, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "plugins"))
    table = write_table(tmp_path, 2, SITES)

    def run(name: str, *more: str) -> tuple[int, str]:
        return mdx("run", "lwf", "--data", f"csv:{table}", "--set", *SMALL, *more, "--device", "cpu", "--out",
                   tmp_path / name)  # fmt: skip

    return run


def test_the_page_has_the_scores_after_each_site_and_what_the_method_shows(
    start: Callable[..., tuple[int, str]], tmp_path: Path, mdx: Call
) -> None:
    code, printed = start("runs")
    assert code == 0, printed
    (run,) = (tmp_path / "runs").iterdir()
    page = (run / "report.html").read_text()
    for folder in (run, run / "baselines" / "forgetful"):
        rows = pd.DataFrame(map(json.loads, (folder / "evaluations.jsonl").read_text().splitlines()))
        assert len(rows) == 3 * 18
        means = rows.groupby(["stage", "task"])["accuracy"].mean()
        for stage in ("on_A", "on_B", "on_C"):
            cells = "".join(f'<td class="n">{means[stage, task]:.3f}</td>' for task in "ABC")
            assert f"<tr><td>{stage}</td>{cells}</tr>" in page
        assert {name.split(".")[0] for name in load_tree(folder / "checkpoints/final.safetensors")["model"]} == {
            "network"
        }
        assert "teacher.2.weight" in load_tree(folder / "checkpoints/on_C.safetensors")["model"]
    held, free = (load_tree(f / "checkpoints/final.safetensors")["model"] for f in (run, run / "baselines/forgetful"))
    assert not torch.equal(held["network.2.weight"], free["network.2.weight"])
    for title in ("After each stage of training", "Sites", "Train error", "First weights"):
        (section,) = re.findall(rf"(?s)<h2>{title}</h2>(.*?)<h2>", page)
        assert "<h3>lwf</h3>" in section
        assert "<h3>forgetful</h3>" in section
    made, own = applied_after_moving(mdx, run, tmp_path / "classes.csv", tmp_path, None, ["p_ill"])
    pd.testing.assert_frame_equal(made, own, check_exact=True)


def _stops(step: Callable[..., None], at: int) -> Callable[..., None]:
    def step_or_stop(run: Run, *args: Any, **options: Any) -> None:
        if run.steps == at:
            raise StoppedError("asked to stop", "go on")
        step(run, *args, **options)

    return step_or_stop


def test_a_stopped_run_shows_and_scores_each_stage_once_and_ends_as_if_it_had_not_been(
    start: Callable[..., tuple[int, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert start("whole", "--baselines", "")[0] == 0
    for stop_at in (5, 17, 21):
        with monkeypatch.context() as patch:
            patch.setattr(Run, "step", _stops(Run.step, stop_at))
            assert start("halves", "--baselines", "")[0] == 75
    assert start("halves", "--baselines", "")[0] == 0
    (whole,), (halves,) = (list((tmp_path / name).iterdir()) for name in ("whole", "halves"))
    for name in ("evaluations.jsonl", "metrics.jsonl", "shown.json", "scores.csv"):
        assert (halves / name).read_text() == (whole / name).read_text(), name
