"""A finished run in a second folder of runs: what is shared, what is not, and what cannot be."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mdx.config import RunSettings
from mdx.errors import ResourceError
from mdx.files import write_json
from mdx.runs import linking
from mdx.runs.folders import claim, write_yaml
from mdx.workflow.identity import suits

NAME = "2020-01-01_fda_0a1b2c3d"


def run_at(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in ("log.txt", "metrics.jsonl", "scores.csv", "done"):
        (folder / name).write_text("first\n")
    return folder


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    return run_at(tmp_path / "sweeps" / "one" / "runs" / NAME)


def take_over(out: Path) -> Path | None:
    return linking.take_over(out, "fda", "0a1b2c3d", lambda run: True)


def test_what_is_appended_to_a_linked_run_is_not_added_to_the_other(finished: Path, tmp_path: Path) -> None:
    made = take_over(tmp_path / "runs")
    assert made == tmp_path / "runs" / NAME
    for name in ("log.txt", "metrics.jsonl"):
        with (made / name).open("a") as stream:
            stream.write("more\n")
        assert (finished / name).read_text() == "first\n"
    assert (made / "scores.csv").samefile(finished / "scores.csv")


def test_a_run_that_does_not_suit_is_not_taken_over(finished: Path, tmp_path: Path) -> None:
    assert linking.take_over(tmp_path / "runs", "fda", "0a1b2c3d", lambda run: False) is None
    assert not (tmp_path / "runs").exists()


def test_a_faster_process_is_no_error(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, linked_tree = tmp_path / "runs" / NAME, linking.linked_tree

    def overtaken(*args: Any) -> None:
        linked_tree(*args)
        run_at(made)

    monkeypatch.setattr(linking, "linked_tree", overtaken)
    assert take_over(tmp_path / "runs") == made
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [NAME]


def test_a_file_in_the_place_of_the_folder_of_runs_is_an_error_with_a_remedy(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(ResourceError, match="cannot be written"):
        take_over(tmp_path / "runs")


def test_what_a_killed_process_left_is_removed_and_what_another_is_making_is_not(
    finished: Path, tmp_path: Path
) -> None:
    old, new = (tmp_path / "runs" / f"{linking.UNFINISHED}{name}" for name in ("old", "new"))
    run_at(old / NAME)
    run_at(new / NAME)
    os.utime(old, (time.time() - linking.LEFT_BEHIND_S - 60,) * 2)
    take_over(tmp_path / "runs")
    assert (old.exists(), new.exists()) == (False, True)


def test_a_folder_in_which_nothing_was_recorded_is_taken_on_another_day(tmp_path: Path) -> None:
    (tmp_path / NAME / "folds").mkdir(parents=True)
    (tmp_path / f"{NAME}_notes").mkdir()
    assert claim(tmp_path, "fda", "0a1b2c3d") == tmp_path / NAME
    begun = tmp_path / "2019-01-01_fda_0a1b2c3d"
    begun.mkdir()
    write_json(begun / "provenance.json", {})
    assert claim(tmp_path, "fda", "0a1b2c3d") == begun


@pytest.mark.parametrize(
    ("device", "gpu", "measured", "asked", "suitable"),
    [
        ("auto", None, None, {}, True),
        ("auto", "a GPU", None, {}, False),
        ("auto", "a GPU", "cpu", {}, True),
        ("auto", None, "cuda", {}, False),
        ("cpu", "a GPU", None, {"device": "cpu"}, True),
        ("auto", None, None, {"bootstrap": 200}, False),
        ("auto", None, None, {"predictions": False}, False),
    ],
)
def test_a_run_suits_that_is_of_the_same_kind_of_device_and_holds_what_is_asked_for(
    tmp_path: Path, device: str, gpu: str | None, measured: str | None, asked: dict[str, Any], suitable: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    write_json(tmp_path / "provenance.json", {"device": device, "machine": {"gpu": gpu} if gpu else {}})
    write_json(tmp_path / "timings.json", {"device": measured} if measured else {"fit": 1.0})
    values = RunSettings.model_validate({}).model_dump()
    write_yaml(tmp_path / "config.yaml", {"run": {k: {"value": v, "from": "default"} for k, v in values.items()}})
    plan: Any = SimpleNamespace(settings=SimpleNamespace(run=RunSettings.model_validate(asked)))
    assert suits(plan, tmp_path) is suitable
