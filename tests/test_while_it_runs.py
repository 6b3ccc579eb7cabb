"""In which order the methods of a run come, and what is there before it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mdx.progress import telling
from mdx.workflow import execution
from mdx.workflow.planning import Plan, make_plan

Cli = Callable[..., tuple[int, str]]


@pytest.fixture
def plan() -> Plan:
    return make_plan("fda", data=["csv:cohort.csv"], baselines=["oracle", "no_da", "mst"], device="cpu")


def carried_out(plan: Plan, folder: Path, monkeypatch: pytest.MonkeyPatch, page: Callable[[Path], None]) -> list[str]:
    """The methods in the order in which they are run, and where the page was written, without any training."""
    seen: list[str] = []

    def method(each: Plan, data: object, directory: Path) -> bool:
        seen.append(each.variant_name)
        return True

    def written(directory: Path) -> None:
        seen.append("page")
        page(directory)

    monkeypatch.setattr(execution, "record", lambda *_: None)
    monkeypatch.setattr(execution, "identity", lambda *_: "")
    monkeypatch.setattr(execution, "run_method", method)
    monkeypatch.setattr(execution, "write_report", written)
    with telling():
        execution._run_methods(plan, None, folder, [], None)  # type: ignore[arg-type]
    return seen


def test_what_trains_on_labels_of_the_target_comes_last_and_the_page_grows(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = carried_out(plan, tmp_path, monkeypatch, lambda _: None)
    assert seen == ["srsim_mst", "page", "no_da", "page", "mst", "page", "oracle"]
    assert plan.baselines == ("oracle", "no_da", "mst")  # as tables and pages have them
    assert json.loads((tmp_path / "progress.json").read_text())["methods"] == 4


def test_a_page_that_cannot_be_made_ends_no_run_and_is_said_once(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(directory: Path) -> None:
        raise ValueError("no picture")

    seen = carried_out(plan, tmp_path, monkeypatch, fails)
    assert seen == ["srsim_mst", "page", "no_da", "mst", "oracle"]
    assert capsys.readouterr().err.count("note: no page before the end of the run: no picture") == 1


def test_a_finished_run_has_no_heartbeat_and_knows_the_memory_it_took(finished: tuple[Path, Path]) -> None:
    run = finished[1]
    assert not (run / "progress.json").exists()
    assert json.loads((run / "timings.json").read_text())["peak_memory_bytes"] > 1e8
    assert "peak memory, GB" in (run / "report.html").read_text()
