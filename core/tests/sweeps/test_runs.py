from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mdx.workflow import run

Mdx = Callable[..., tuple[int, str]]
PLUGIN = Path(__file__).parent / "plugin"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, ages: Path) -> Path:
    """A folder with one finished run."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PLUGIN))
        patch.setenv("MDX_CACHE", str(folder / "cache"))
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
        "run": run.name, "variant": "slope/line", "sites": "A to B,C", "seed": 0, "state": "done",
        "score": f"absolute_error {mean:.3f}", "age": row["age"],
    }  # fmt: skip


def test_a_failed_run_is_listed_with_the_reason(mdx: Mdx, folder: Path) -> None:
    unfinished(folder, {"state": "failed", "error": "ValueError: broken"})
    assert listed(mdx, folder)["state"] == "failed: ValueError: broken"


def test_a_run_without_its_process_is_killed_and_one_whose_lock_is_held_is_running(mdx: Mdx, folder: Path) -> None:
    path = unfinished(folder, {"state": "running"})
    assert listed(mdx, folder)["state"] == "killed, mdx resume goes on"
    handle = os.open(path / ".lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert listed(mdx, folder)["state"] == "running"
    os.close(handle)


def test_a_directory_that_cannot_be_read_is_listed_with_the_reason(mdx: Mdx, folder: Path) -> None:
    (run,) = folder.iterdir()
    (run / "provenance.json").write_text("{")
    assert listed(mdx, folder)["state"].startswith("not readable (JSONDecodeError")


def test_no_folder_is_a_usage_error(mdx: Mdx, tmp_path: Path) -> None:
    assert mdx("runs", tmp_path / "none")[0] == 2
