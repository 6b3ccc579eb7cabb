"""A small fixed part of ``tools/torture.py``; the whole, with figures, is in docs/reliability.md."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[1] / "tools"


def torture(*words: str) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(TOOLS / "torture.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_run_that_is_killed_half_way_ends_as_if_nothing_had_happened() -> None:
    assert "1 of 1 as they should be" in torture("kills", "1")


@pytest.mark.slow
def test_eighteen_damaged_inputs_are_read_or_refused_by_name() -> None:
    assert "18 of 18 as they should be" in torture("damage", "18", "--seed", "7")


def test_the_comparison_of_directories_sees_what_differs(
    finished: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(TOOLS))
    from torture import differences

    run = finished[1]
    other = shutil.copytree(run, tmp_path / "run")
    assert differences(run, other) == []
    (other / "scores.csv").write_text((other / "scores.csv").read_text().replace("0.", "0.1", 1))
    shutil.copy(
        other / "checkpoints" / "final.safetensors", other / "baselines" / "no_da" / "checkpoints" / "final.safetensors"
    )
    (other / "notes.json").unlink()
    (other / "stray.tmp").touch()
    assert sorted(differences(run, other)) == [
        "differs: baselines/no_da/checkpoints/final.safetensors", "differs: scores.csv", "only in one: notes.json",
        "only in one: stray.tmp",
    ]  # fmt: skip
