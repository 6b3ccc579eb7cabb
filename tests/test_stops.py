"""A stop is a stop wherever it comes, and a run that is gone on with leaves what an uninterrupted one leaves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from small_cohort import TINY

from mdx import files, stopping
from mdx.runs.checkpoint import load_tree
from mdx.workflow import method

Cli = Callable[..., tuple[int, str]]
TIMES = {"status.json", "timings.json", "log.txt", "command.txt", "report.html", "provenance.json", ".lock"}


def arguments(table: Path, out: Path) -> list[str]:
    return ["run", "fda", "--data", f"csv:{table}", "--set", "source=A", "target=B", *TINY, "--baselines",
            "no_da", "--device", "cpu", "--out", str(out)]  # fmt: skip


@pytest.fixture
def stop_before(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Send SIGTERM to this process when the named file of a run is about to take its place, once."""

    def arm(name: str) -> None:
        plain, done = files.replacing, list[str]()

        def watched(path: Path) -> Any:
            if path.name == name and not done:
                done.append(name)
                os.kill(os.getpid(), signal.SIGTERM)
            return plain(path)

        for module in list(sys.modules.values()):
            if getattr(module, "replacing", None) is plain and module.__name__.startswith("mdx"):
                monkeypatch.setattr(module, "replacing", watched)

    return arm


MOMENTS = [
    "splits.csv", "provenance.json", "last.safetensors", "source.safetensors", "final.safetensors", "notes.json",
    "scores.csv", "summary.json", "report.html", "done",
]  # fmt: skip


@pytest.mark.parametrize("name", MOMENTS)
def test_a_stop_at_any_write_ends_with_75_and_the_run_goes_on_to_the_same_end(
    finished: tuple[Path, Path], tmp_path: Path, mdx: Cli, monkeypatch: pytest.MonkeyPatch,
    stop_before: Callable[[str], None], name: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("MDX_CACHE", str(tmp_path / "cache"))
    words = arguments(finished[0], tmp_path / "runs")
    stop_before(name)
    code, text = mdx(*words)
    assert code == 75, text
    (run,) = (tmp_path / "runs").iterdir()
    begun = name not in ("splits.csv", "provenance.json")
    assert (f"mdx resume {run}" if begun else "give the same command again") in text
    code, text = mdx("resume", run) if begun else mdx(*words)
    assert code == 0, text
    whole = finished[1]
    assert (run / "notes.json").read_text() == (whole / "notes.json").read_text()
    for folder, other in ((run, whole), (run / "baselines/no_da", whole / "baselines/no_da")):
        assert (folder / "scores.csv").read_text() == (other / "scores.csv").read_text()
        assert not [p for p in folder.rglob(".*-*") if p.is_file()]
        spent, wanted = (json.loads((f / "timings.json").read_text()) for f in (folder, other))
        assert spent.keys() == wanted.keys()
        assert spent["stages"].keys() == wanted["stages"].keys()
        assert (folder / "command.txt").read_text() == (run / "command.txt").read_text()
        assert "mdx resume" not in (folder / "command.txt").read_text()
    epochs = [json.loads(line)["epoch"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert epochs == [0, 1, 2]
    ours, theirs = (load_tree(r / "checkpoints/final.safetensors")["model"] for r in (run, whole))
    assert all((ours[k] == theirs[k]).all() for k in theirs)


def in_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_a_stop_before_anything_has_begun_ends_with_75_too() -> None:
    done = in_python(
        "import os, signal, sys; sys.argv = ['mdx', 'run', 'fda', '--dry-run']\n"
        "import mdx.stopping as s; s.listen()\n"
        "import threading; threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()\n"
        "from mdx.__main__ import main; main()"
    )
    assert done.returncode == 75, done.stderr
    assert "stopped before a run had begun" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_stop_that_compiled_code_makes_another_error_of_is_a_stop(
    cohort: Path, tmp_path: Path, mdx: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loses_the_signal(*arguments: Any, **options: Any) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except BaseException:
            raise ValueError("could not determine the shape of object type") from None

    monkeypatch.setattr(method, "load_run", loses_the_signal)
    code, text = mdx(*arguments(cohort, tmp_path / "runs"))
    assert code == 75, text
    assert "mdx resume" in text


def test_a_signal_after_the_end_does_not_turn_a_finished_run_into_a_killed_one() -> None:
    """The interpreter takes its time to leave, and forgets its handlers before the last objects are gone."""
    done = in_python(
        "import os, signal, sys; sys.argv = ['mdx', 'run', '--help']\n"
        "class Late:\n"
        "    kill, me, number = staticmethod(os.kill), os.getpid(), int(signal.SIGTERM)\n"
        "    def __del__(self): self.kill(self.me, self.number)\n"
        "sys.modules['late'] = Late()\n"
        "from mdx.__main__ import main; main()"
    )
    assert done.returncode == 0, done.stderr


def test_a_signal_that_python_drops_in_a_destructor_is_raised_again(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    class Swallows:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(stopping, "AGAIN_S", 0.05)
    with pytest.raises(stopping.StopSignal), stopping.listening():
        Swallows()
        time.sleep(2)
    stopping.acknowledge()


@pytest.fixture
def unfinished(finished: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """(table, run) of a copy whose last baseline has not been scored."""
    folder = Path(shutil.copytree(finished[0].parent, tmp_path / "cohort"))
    run = Path(shutil.copytree(finished[1], tmp_path / "runs" / finished[1].name))
    facts = json.loads((run / "provenance.json").read_text())
    facts["data"] = f"csv:{folder / 'cohort.csv'}"
    (run / "provenance.json").write_text(json.dumps(facts))
    for name in ("done", "baselines/oracle/summary.json"):
        (run / name).unlink()
    return folder / "cohort.csv", run


def test_equal_content_with_new_times_and_another_place_goes_on(unfinished: tuple[Path, Path], mdx: Cli) -> None:
    table, run = unfinished
    for path in table.parent.rglob("*.nii.gz"):
        os.utime(path, (1, 1))
    (run / "splits.csv").write_text("case,subject\n")  # whatever has become of it
    code, text = mdx("resume", run)
    assert code == 0, text
    assert set(pd.read_csv(run / "splits.csv")["site"]) == {"A", "B"}


def test_what_has_changed_is_named_when_a_run_cannot_go_on(unfinished: tuple[Path, Path], mdx: Cli) -> None:
    table, run = unfinished
    shutil.copy(table.parent / "images/A1.nii.gz", table.parent / "images/A0.nii.gz")
    table.write_text("\n".join(table.read_text().splitlines()[:-1]) + "\n")
    code, text = mdx("resume", run)
    assert code in (4, 8), text
    if code == 8:
        assert "changed case(s): A0" in text
        assert "gone case(s): B5" in text


def test_data_that_have_moved_are_said_to_have(unfinished: tuple[Path, Path], mdx: Cli) -> None:
    table, run = unfinished
    table.parent.rename(table.parent.with_name("elsewhere"))
    code, text = mdx("resume", run)
    assert code == 4
    assert "if the data have moved" in text
    assert "equal content goes on with this run" in text


def test_an_unfinished_run_with_the_same_settings_is_pointed_at(
    finished: tuple[Path, Path], unfinished: tuple[Path, Path], mdx: Cli
) -> None:
    table, run = unfinished
    lines = table.read_text().splitlines()
    table.write_text("\n".join(lines[:-1]) + "\n")
    words = ["run", "fda", "--data", f"csv:{table}", "--set", "source=A", "target=B", *TINY, "--baselines",
             "no_da,oracle", "--device", "cpu", "--out", str(run.parent)]  # fmt: skip
    code, text = mdx(*words)
    assert code == 0, text
    assert f"note: the unfinished run {run} has the same settings and other data" in text


def test_an_empty_cache_variable_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mdx.cache import cache_dir

    monkeypatch.setenv("MDX_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert cache_dir("facts").is_relative_to(tmp_path / "home")
