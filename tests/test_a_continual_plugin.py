"""A made-up plugin whose sites come one after the other, from the command line to the page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from test_l2i_runs import write_table

from mdx.runs.checkpoint import load_tree

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
