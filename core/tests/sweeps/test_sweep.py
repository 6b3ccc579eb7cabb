from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from slope_plugin import PLUGIN, slope_in

from mdx.cli.app import run_cli
from mdx.files import write_json
from mdx.report.sweep import write_sweep_page
from mdx.runs.folders import read_json

Mdx = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, ages: Path) -> tuple[Path, int, list[str]]:
    """(folder, exit code, command) of a sweep over six pairs of sites and three variants, one of them broken."""
    folder = tmp_path_factory.mktemp("swept")
    command = [
        "sweep", "slope", "--data", f"csv:{ages}", "--preset", "small", "--pairs", "all", "--variants",
        "line,shifted,broken", "--jobs", "2", "--out", str(folder / "sweep"),
    ]  # fmt: skip
    with slope_in(folder):
        return folder / "sweep", run_cli(command), command


def index_of(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "index.csv", dtype={"run": str, "source": str, "target": str})


def test_one_failure_does_not_stop_the_others(swept: tuple[Path, int, list[str]]) -> None:
    index = index_of(swept[0])
    assert index.groupby("variant")["state"].unique().map(list).to_dict() == {
        "broken": ["failed"], "line": ["done"], "shifted": ["done"],
    }  # fmt: skip
    assert swept[1] == 1


def test_each_run_is_an_ordinary_run_with_the_scores_of_its_target(swept: tuple[Path, int, list[str]]) -> None:
    index = index_of(swept[0])
    row = index[(index["variant"] == "shifted") & (index["source"] == "B") & (index["target"] == "C")].iloc[0]
    run = swept[0] / "runs" / row["run"]
    assert {"done", "report.html", "config.yaml", "scores.csv"} <= {p.name for p in run.iterdir()}
    scores = pd.read_csv(run / "scores.csv")
    assert row["absolute_error"] == pytest.approx(scores[scores["role"] == "target"]["absolute_error"].mean())
    assert set(scores["site"]) == {"B", "C"}


def test_pairs_with_one_source_and_their_variants_train_once(swept: tuple[Path, int, list[str]]) -> None:
    index = index_of(swept[0])
    trained = index[index["epochs"] > 0]
    assert sorted(trained["source"]) == ["A", "B", "C"]


def test_the_page_has_the_matrix_of_pairs_and_names_what_failed(swept: tuple[Path, int, list[str]]) -> None:
    page = (swept[0] / "sweep.html").read_text()
    for text in ("source by row, target by column", "shifted", "broken, A, B, seed 0: failed", "3 of 12 runs trained"):
        assert text in page
    assert str(swept[0].parent) not in page


def test_what_the_method_of_each_finished_run_shows_is_one_table(swept: tuple[Path, int, list[str]]) -> None:
    (section,) = re.findall(r"(?s)<h2>The line</h2>(.*?)</table>", (swept[0] / "sweep.html").read_text())
    finished = index_of(swept[0]).query("state == 'done'")
    assert len(re.findall(r"<tr><td>(?:line|shifted)</td><td>[ABC]</td><td>[ABC]</td><td>0</td>", section)) == len(
        finished
    )
    assert "<th>slope</th>" in section


def test_the_smallest_error_is_shaded_most_and_the_largest_not_at_all(swept: tuple[Path, int, list[str]]) -> None:
    cells = re.findall(r'accent\) (\d+)%, transparent\)">([\d.]+)<', (swept[0] / "sweep.html").read_text())
    errors = [float(error) for _, error in cells]
    shades = [int(shade) for shade, _ in cells]
    assert len(cells) == 12
    assert (shades[errors.index(min(errors))], shades[errors.index(max(errors))]) == (30, 0)


def test_the_largest_score_is_shaded_most_where_high_is_good(tmp_path: Path) -> None:
    scores = {"A": 0.9, "B": 0.6, "C": 0.3}
    jobs = [{"labels": {"source": "X", "target": site}, "plugin": "slope", "data": None} for site in scores]
    write_json(tmp_path / "sweep.json", {"jobs": jobs})
    rows = [{"source": "X", "target": s, "seed": 0, "state": "done", "run": s, "dice": v} for s, v in scores.items()]
    pd.DataFrame(rows).to_csv(tmp_path / "index.csv", index=False)
    for site in scores:
        (tmp_path / "runs" / site).mkdir(parents=True)
        write_json(tmp_path / "runs" / site / "summary.json", [{"metric": "dice", "better": "max"}])
    page = write_sweep_page(tmp_path).read_text()
    assert re.findall(r'accent\) (\d+)%, transparent\)">([\d.]+)<', page) == [
        ("30", "0.900"), ("15", "0.600"), ("0", "0.300"),
    ]  # fmt: skip


@pytest.mark.usefixtures("slope")
def test_the_same_command_finds_what_is_done_and_tries_again_what_failed(
    swept: tuple[Path, int, list[str]], mdx: Mdx, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _, command = swept
    before = index_of(folder).dropna(subset=["run"]).set_index("run")["absolute_error"].to_dict()
    monkeypatch.setenv("MDX_CACHE", str(folder.parent / "cache"))
    code, printed = mdx(*command)
    index = index_of(folder)
    assert set(index["state"]) == {"found", "failed"}
    assert index.dropna(subset=["run"]).set_index("run")["absolute_error"].to_dict() == before
    log = folder / "logs" / "broken,_A_to_B,_seed_0.txt"
    assert code == 1
    assert f"broken, A to B, seed 0: ValueError: broken on purpose (log: {log})" in printed
    assert log.read_text().count("Traceback") == 2


@pytest.mark.usefixtures("slope")
def test_a_dry_run_says_what_would_be_run_and_makes_nothing(mdx: Mdx, ages: Path, tmp_path: Path) -> None:
    code, printed = mdx(
        "sweep", "slope", "--data", f"csv:{ages}", "--preset", "small", "--leave-site-out", "--seeds", "2", "--out",
        tmp_path / "s", "--dry-run",
    )  # fmt: skip
    assert code == 0
    assert printed.splitlines()[0] == "line, B,C to A, seed 0"
    assert f"6 runs, in {tmp_path / 's'}; nothing was run" in printed
    assert not (tmp_path / "s").exists()


@pytest.mark.usefixtures("slope")
def test_a_wrong_setting_is_said_before_anything_starts(mdx: Mdx, ages: Path, tmp_path: Path) -> None:
    code, printed = mdx(
        "sweep", "slope", "--data", f"csv:{ages}", "--preset", "small", "--grid", "epochs=1,many", "--out",
        tmp_path / "s",
    )  # fmt: skip
    assert code == 3
    assert "epochs" in printed
    assert "many" in printed
    assert not (tmp_path / "s").exists()


class Killed:
    """Sweeps in processes of their own, and the scores of one that nothing interrupted."""

    def __init__(self, ages: Path, tmp_path: Path) -> None:
        self.ages, self.folder = ages, tmp_path

    def command(self, name: str, *more: str) -> tuple[list[str], dict[str, str]]:
        words = [
            sys.executable, "-m", "mdx", "sweep", "slope", "--data", f"csv:{self.ages}", "--preset", "small", "--set",
            "source=A", "target=B", "epochs=6", "--seeds", "2", "--out", str(self.folder / name), *more,
        ]  # fmt: skip
        cache = str(self.folder / f"cache-{name}")  # of its own, so that no training is taken from another sweep
        path = os.pathsep.join([str(PLUGIN), *filter(None, sys.path)])
        return words, {**os.environ, "MDX_CACHE": cache, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}

    def run(self, name: str, *more: str) -> subprocess.CompletedProcess[str]:
        words, environment = self.command(name, *more)
        return subprocess.run(words, env=environment, text=True, capture_output=True, check=False)

    def interrupt(self, name: str, number: int) -> int:
        """Start a slow sweep, send it a signal in its third epoch, and return its exit code."""
        words, environment = self.command(name)
        process = subprocess.Popen(words, env={**environment, "SLOPE_PAUSE": "0.3"}, stderr=subprocess.DEVNULL)
        while not any('"epoch": 1' in p.read_text() for p in (self.folder / name).rglob("metrics.jsonl")):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        return process.wait()

    def scores(self, name: str) -> list[bytes]:
        index = index_of(self.folder / name)
        return [(self.folder / name / "runs" / run / "scores.csv").read_bytes() for run in index["run"]]

    def logs(self, name: str) -> str:
        return "".join(p.read_text() for p in sorted((self.folder / name / "logs").iterdir()))


@pytest.fixture
def killed(ages: Path, tmp_path: Path) -> Killed:
    return Killed(ages, tmp_path)


@pytest.fixture(scope="module")
def uninterrupted(ages: Path, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """scores.csv of each run of a sweep that nothing interrupted."""
    whole = Killed(ages, tmp_path_factory.mktemp("uninterrupted"))
    assert whole.run("whole").returncode == 0
    return whole.scores("whole")


@pytest.mark.slow
def test_a_sweep_that_was_killed_goes_on_to_the_same_scores_bit_by_bit(
    killed: Killed, uninterrupted: list[bytes]
) -> None:
    assert killed.interrupt("torn", signal.SIGKILL) == -signal.SIGKILL
    assert killed.run("torn").returncode == 0
    assert "going on after epoch" in killed.logs("torn")
    assert killed.scores("torn") == uninterrupted


@pytest.mark.slow
def test_a_run_that_was_killed_is_named_and_the_same_command_goes_on_with_it(
    killed: Killed, uninterrupted: list[bytes], tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    flag.touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLOPE_KILL", str(flag))
        first = killed.run("torn")
    assert first.returncode == 6
    assert "killed   line, seed 0: its process ended with SIGKILL" in first.stderr
    assert "done     line, seed 1" in first.stderr
    again = killed.run("torn")
    assert again.returncode == 0
    assert "found    line, seed 1" in again.stderr
    assert "going on after epoch 2 of 6" in killed.logs("torn")
    assert killed.scores("torn") == uninterrupted


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_sweep_that_is_asked_to_stop_leaves_runs_that_can_be_resumed(killed: Killed, number: int, code: int) -> None:
    assert killed.interrupt("torn", number) == code
    (run,) = (killed.folder / "torn" / "runs").iterdir()
    assert read_json(run / "status.json")["state"] == "stopped"
    assert list(index_of(killed.folder / "torn")["state"]) == ["stopped", "waiting"]


@pytest.mark.slow
def test_of_two_runs_with_one_training_the_second_waits_and_trains_if_the_first_is_killed(
    killed: Killed, tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    flag.touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLOPE_KILL", str(flag))
        patch.setenv("SLOPE_PAUSE", "0.3")
        first = killed.run("torn", "--variants", "line,shifted", "--seeds", "1", "--jobs", "2")
    assert first.returncode == 6
    index = index_of(killed.folder / "torn")
    assert sorted(index["state"]) == ["done", "killed"]
    assert "another run is training it, waiting" in killed.logs("torn")
    assert killed.run("torn", "--variants", "line,shifted", "--seeds", "1", "--jobs", "2").returncode == 0
    assert sorted(index_of(killed.folder / "torn")["state"]) == ["done", "found"]


@pytest.mark.usefixtures("slope")
def test_json_is_the_index(mdx: Mdx, ages: Path, tmp_path: Path) -> None:
    code, printed = mdx(
        "sweep", "slope", "--data", f"csv:{ages}", "--preset", "small", "--set", "epochs=1", "--out", tmp_path / "s",
        "--json",
    )  # fmt: skip
    assert code == 0
    (row,) = json.loads(printed[printed.index("[") : printed.rindex("]") + 1])
    assert (row["variant"], row["state"], row["epochs"]) == ("line", "done", 1)
