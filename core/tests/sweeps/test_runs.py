from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from slope_plugin import slope_in

from mdx.runs.loading import load_run
from mdx.workflow.execution import run

Mdx = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, ages: Path) -> Path:
    """A folder with one finished run."""
    folder = tmp_path_factory.mktemp("runs")
    with slope_in(folder):
        settings = {"source": "A", "target": "B,C", "epochs": "1"}
        run("slope", f"csv:{ages}", out=folder / "runs", preset="small", baselines=[], settings=settings)
    return folder / "runs"


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "runs"))


def listed(mdx: Mdx, folder: Path) -> dict[str, str]:
    code, printed = mdx("runs", folder, "--json")
    assert code == 0
    (row,) = json.loads(printed)
    return row


def unfinished(folder: Path, state: dict[str, str]) -> Path:
    (run,) = folder.iterdir()
    (run / "done").unlink()
    (run / "status.json").write_text(json.dumps(state))
    return run


def test_a_finished_run_has_its_method_sites_seed_and_score_at_the_targets(mdx: Mdx, folder: Path) -> None:
    row = listed(mdx, folder)
    (run,) = folder.iterdir()
    summary = json.loads((run / "summary.json").read_text())
    mean = next(r["mean"] for r in summary if (r["metric"], r["group"]) == ("absolute_error", "role=target"))
    assert row == {
        "run": run.name, "path": str(run.resolve()), "relative_path": os.path.relpath(run), "plugin": "slope",
        "variant": "line",
        "sites": {"source": ["A"], "target": ["B", "C"]}, "seed": 0, "state": "done", "error": None,
        "metric": "absolute_error", "score": mean, "started": row["started"],
        "age_seconds": row["age_seconds"], "progress": None, "silent_seconds": None, "scores": row["scores"],
    }  # fmt: skip
    assert row["scores"]["line"]["absolute_error"]["role=target"] == mean
    assert datetime.fromisoformat(row["started"])
    assert 0 <= row["age_seconds"] < 3600
    code, printed = mdx("runs", folder)
    assert code == 0
    assert f"slope/line  A to B,C  0     done   absolute_error {mean:.3f}" in printed


def test_a_failed_run_is_listed_with_the_reason_cut_to_the_width(mdx: Mdx, folder: Path) -> None:
    unfinished(folder, {"state": "failed", "error": "ValueError: broken " + "very " * 100})
    assert listed(mdx, folder)["error"].startswith("ValueError: broken very")
    printed = mdx("runs", folder)[1]
    assert "failed" in printed
    assert "\n    ValueError: broken very" in printed
    assert max(map(len, printed.splitlines())) <= 100


def test_a_run_without_its_process_is_killed_and_one_whose_lock_is_held_is_running(
    mdx: Mdx, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)  # the line is cut to the width, and names the run from here
    path = unfinished(folder, {"state": "running"})
    assert listed(mdx, folder)["state"] == "killed"
    printed = mdx("runs", folder)[1]
    assert "  killed  " in printed
    assert f"go on with: mdx resume {os.path.relpath(path)}" in printed
    handle = os.open(path / ".lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert listed(mdx, folder)["state"] == "running"
    facts = {"method": "line", "phase": "main", "epoch": 3, "epochs": 9, "at": "2020-01-01T00:00:00+00:00"}
    (path / "progress.json").write_text(json.dumps(facts))
    assert listed(mdx, folder)["progress"]["epoch"] == 3
    assert re.search(r"\n    line, main: epoch 3/9 \(seems stuck, last sign \d+ d ago\)", mdx("runs", folder)[1])
    os.close(handle)


def test_watching_in_a_pipe_says_each_change_once_and_ends_well_with_ctrl_c(
    mdx: Mdx, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run,) = folder.iterdir()
    looks = iter([lambda: (run / "done").unlink(), lambda: None, lambda: (run / "done").touch()])

    def sleep(seconds: float) -> None:
        change = next(looks, None)
        if change is None:
            raise KeyboardInterrupt
        change()

    monkeypatch.setattr("mdx.cli.runs.time.sleep", sleep)
    code, printed = mdx("runs", folder, "--watch")
    assert code == 0
    assert [line.split()[1] for line in printed.splitlines()] == ["done", "killed", "done"]


@pytest.mark.parametrize("content", [b"{", b"null", b"[]", b'"text"', b"{}", b"\xff\xfe", b"[" * 100_000, b""])
@pytest.mark.parametrize("name", ["provenance.json", "status.json", "summary.json", "splits.csv"])
def test_a_damaged_run_is_listed_with_the_file_that_is_damaged_and_the_others_with_it(
    mdx: Mdx, folder: Path, name: str, content: bytes
) -> None:
    (run,) = folder.iterdir()
    shutil.copytree(run, folder / "whole")
    (run / "done").unlink()
    (run / name).write_bytes(content)
    if (name, content) in {("summary.json", b"[]"), ("status.json", b"{}")}:
        return  # a summary without rows is one, and a state may be unknown
    code, printed = mdx("runs", folder, "--json")
    assert code == 0
    damaged, whole = json.loads(printed)
    assert damaged["state"] == "not readable"
    assert name in damaged["error"]
    assert whole["state"] == "done"
    for command in (("report", run), ("apply", run, folder / "x.nii.gz"), ("compare", run, folder / "whole")):
        code, printed = mdx(*command)
        assert code != 1, printed


@pytest.mark.parametrize(
    ("name", "content"),
    [("notes.json", b'[["a list"]]'), ("notes.json", b"[null]"), ("summary.json", b"[1]"),
     ("summary.json", b'[{"metric": "score", "group": "all", "mean": 1, "high": {}}]'),
     ("config.yaml", b"a:\n  b: 1\n c: 2"), ("config.yaml", b"method: {beta: 1}"), ("config.yaml", b"[1]"),
     ("config.yaml", b""), ("command.txt", b"mdx run 'fda"), ("command.txt", b"\xff"),
     ("shown.json", b"{"), ("shown.json", b"[1]"), ("shown.json", b'[{"kind": "table", "title": "x"}]'),
     ("shown.json", b'[{"kind": "curve", "title": "x", "text": "", "x": [1], "series": [2]}]'),
     ("checkpoints/STAGE", b"\0" * 64), ("checkpoints/STAGE", b"\x02\0\0\0\0\0\0\0{}")],
)  # fmt: skip
def test_a_page_names_the_damaged_file_that_it_needs(mdx: Mdx, folder: Path, name: str, content: bytes) -> None:
    (run,) = folder.iterdir()
    stages = {p.name for p in (run / "checkpoints").iterdir()} - {"last.safetensors", "final.safetensors"}
    path = run / name.replace("STAGE", min(stages))
    path.write_bytes(content)
    code, printed = mdx("report", run)
    assert code == 4, printed
    assert path.name in printed
    assert "damaged" in printed


def test_a_run_of_an_earlier_mdx_with_a_setting_that_did_nothing_is_loaded(folder: Path, slope: None) -> None:
    (run,) = folder.iterdir()
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("run:\n", "run:\n  compile:\n    value: false\n    from: default\n"))
    assert load_run(run).task.label == "age"


def test_no_folder_is_a_usage_error(mdx: Mdx, tmp_path: Path) -> None:
    assert mdx("runs", tmp_path / "none")[0] == 2


def test_a_run_that_starts_later_than_the_clock_has_no_age(mdx: Mdx, folder: Path) -> None:
    (run,) = folder.iterdir()
    facts = json.loads((run / "provenance.json").read_text())
    (run / "provenance.json").write_text(json.dumps({**facts, "started": "2999-01-01T00:00:00+00:00"}))
    assert listed(mdx, folder)["age_seconds"] is None
