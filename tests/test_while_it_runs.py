"""In which order the methods of a run come, and what is there before it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from small_cohort import TINY

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
    monkeypatch.setattr(execution, "PAGES", float("inf"))
    seen = carried_out(plan, tmp_path, monkeypatch, lambda _: None)
    assert seen == ["srsim_mst", "page", "no_da", "page", "mst", "page", "oracle"]
    assert plan.baselines == ("oracle", "no_da", "mst")  # as tables and pages have them
    assert json.loads((tmp_path / "progress.json").read_text())["methods"] == 4


def test_methods_that_take_no_time_wait_for_no_page(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "page" not in carried_out(plan, tmp_path, monkeypatch, lambda _: None)


def test_a_page_that_cannot_be_made_ends_no_run_and_is_said_once(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(directory: Path) -> None:
        raise ValueError("no picture")

    monkeypatch.setattr(execution, "PAGES", float("inf"))
    seen = carried_out(plan, tmp_path, monkeypatch, fails)
    assert seen == ["srsim_mst", "page", "no_da", "mst", "oracle"]
    assert capsys.readouterr().err.count("note: no page before the end of the run: no picture") == 1


def test_a_finished_run_has_no_heartbeat_and_knows_the_memory_it_took(finished: tuple[Path, Path]) -> None:
    run = finished[1]
    assert not (run / "progress.json").exists()
    assert json.loads((run / "timings.json").read_text())["peak_memory_bytes"] > 1e8
    assert "peak memory, GB" in (run / "report.html").read_text()


def request(table: Path, run: Path, *more: str) -> list[str]:
    facts = json.loads((run / "provenance.json").read_text())
    assert facts["baselines"] == ["no_da", "oracle"]
    return ["run", "fda", "--data", f"csv:{table}", "--set", "source=A", "target=B", *TINY, "--device", "cpu", "--out",
            str(run.parent), "--dry-run", "--json", *more]  # fmt: skip


def test_a_dry_run_says_steps_memory_and_the_time_of_a_run_that_was_measured(
    finished: tuple[Path, Path], tmp_path: Path, mdx: Cli
) -> None:
    table, run = finished
    code, printed = mdx(*request(table, run, "--baselines", "oracle,no_da"))
    assert code == 0, printed
    known = json.loads(printed[printed.index("{") :])["estimates"]
    assert known["methods"] == ["srsim_mst", "no_da", "oracle"]
    assert (known["epochs"], known["steps"]) == (3, 12)
    assert known["image_bytes"] == 12 * 26 * 22 * 6 * 4
    assert known["measured"]["run"] == run.name
    assert known["measured"]["differs"] == []
    words = request(table, run, "--baselines", "none", "--seed", "3")
    words.remove("--json")
    code, printed = mdx(*words)
    assert f"time: {run.name} took" in printed
    assert "it differs in baselines, seed" in printed
    words[words.index("--out") + 1] = str(tmp_path / "none")
    assert "time: unknown until measured" in mdx(*words)[1]


def test_without_an_oracle_the_run_is_that_of_the_other_baselines(finished: tuple[Path, Path], mdx: Cli) -> None:
    asked = [("--baselines", "no_da,oracle", "--no-oracle"), ("--baselines", "no_da"), ("--baselines", "no_da,oracle"),
             ("--baselines", "no_da", "--deterministic")]  # fmt: skip
    found = [mdx(*request(*finished, *more))[1] for more in asked]
    names = [json.loads(text[text.index("{") :])["identity"] for text in found]
    assert names[0] == names[1]
    assert len(set(names)) == 3


def test_quiet_tells_the_result_alone_and_verbose_what_was_loaded(
    finished: tuple[Path, Path], mdx: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word for word in request(*finished, "--baselines", "no_da,oracle") if word not in ("--json", "--dry-run")]
    from mdx.cli.app import run_cli

    for level in (["-q", *words], [*words, "--quiet"]):
        assert run_cli(level) == 0
        printed = capsys.readouterr()
        assert printed.err == ""
        assert "report: " in printed.out
    assert run_cli(["-v", *words]) == 0
    assert "12 cases of 2 sites, for segmentation" in capsys.readouterr().err
    code, printed = mdx("-q", "-v", "runs")
    assert (code, "do not go together" in printed) == (2, True)
