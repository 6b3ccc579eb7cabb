"""What a run leaves behind, and that applying it gives what it measured."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from small_cohort import OF_THE_SOURCE, TINY

import mdx as library

Cli = Callable[..., tuple[int, str]]
FILES = (
    "config.yaml", "command.txt", "provenance.json", "status.json", "data.csv", "splits.csv", "log.txt",
    "metrics.jsonl", "timings.json", "scores.csv", "summary.json", "report.html", "done",
)  # fmt: skip


def test_a_run_leaves_every_file_it_promises(finished: tuple[Path, Path]) -> None:
    run = finished[1]
    assert [name for name in FILES if not (run / name).exists()] == []
    assert sorted(p.name for p in (run / "baselines").iterdir()) == ["no_da", "oracle"]
    assert json.loads((run / "status.json").read_text())["state"] == "done"


def test_the_name_ends_in_eight_digits_of_the_identity(finished: tuple[Path, Path]) -> None:
    identity = json.loads((finished[1] / "provenance.json").read_text())["identity"]
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\d_fda_{identity}", finished[1].name)
    assert len(identity) == 8


def test_a_repeated_command_finds_its_run(finished: tuple[Path, Path], mdx: Cli) -> None:
    table, run = finished
    argv = ["run", "fda", "--data", f"csv:{table}", "--set", "source=A", "target=B", *TINY, "--baselines",
            "no_da,oracle", "--device", "cpu", "--out", run.parent]  # fmt: skip
    code, text = mdx(*argv)
    assert code == 0
    assert "this run exists" in text
    assert len(list(run.parent.iterdir())) == 1


def test_no_subject_is_in_two_splits(finished: tuple[Path, Path]) -> None:
    splits = pd.read_csv(finished[1] / "splits.csv")
    assert (splits.groupby("subject")["split"].nunique() == 1).all()
    assert set(splits["split"]) == {"train", "val", "test"}


def test_every_method_scores_the_same_cases(finished: tuple[Path, Path]) -> None:
    tables = [pd.read_csv(p) for p in sorted(finished[1].rglob("scores.csv"))]
    assert len(tables) == 3
    for table in tables:
        assert list(table["case"]) == list(tables[0]["case"])
        assert set(table["role"]) == {"source", "target"}


@pytest.mark.parametrize("variant", ["fda", "no_da", "oracle"])
def test_apply_repeats_the_run_bit_for_bit_after_it_is_moved_and_the_data_are_gone(
    finished: tuple[Path, Path], tmp_path: Path, mdx: Cli, variant: str
) -> None:
    table, run = finished
    moved = shutil.copytree(run, tmp_path / "elsewhere" / "my run")
    case = pd.read_csv(run / "scores.csv").query("role == 'target'")["case"].iloc[0]
    scan = shutil.copy(table.parent / "images" / f"{case}.nii.gz", tmp_path)
    hidden = table.parent.rename(table.parent.with_name("gone"))
    try:
        more = [] if variant == "fda" else ["--variant", variant]
        code, text = mdx("apply", moved, scan, "--out", tmp_path / "out", *more)
    finally:
        hidden.rename(table.parent)
    assert code == 0, text
    own = run if variant == "fda" else run / "baselines" / variant
    expected = nib.load(own / "predictions" / f"{case}.nii.gz")
    (written,) = (tmp_path / "out").glob("*.nii.gz")
    mask = np.asarray(nib.load(written).dataobj)
    assert 0 < mask.sum() < mask.size, "a trivial mask would prove nothing"
    assert np.array_equal(mask, np.asarray(expected.dataobj))
    assert np.array_equal(nib.load(written).affine, nib.load(scan).affine)


def test_apply_from_python_gives_the_same_mask(finished: tuple[Path, Path]) -> None:
    table, run = finished
    case = pd.read_csv(run / "scores.csv")["case"].iloc[0]
    loaded = library.load_run(run)
    prediction = loaded.apply(table.parent / "images" / f"{case}.nii.gz")
    assert prediction.segmentation is not None
    written = np.asarray(nib.load(run / "predictions" / f"{case}.nii.gz").dataobj) > 0
    ras = np.asarray(nib.as_closest_canonical(nib.load(run / "predictions" / f"{case}.nii.gz")).dataobj) > 0
    assert np.array_equal(prediction.segmentation[0] > 0.5, ras)
    assert written.shape == nib.load(table.parent / "images" / f"{case}.nii.gz").shape


def test_evaluate_repeats_the_scores_of_the_run(finished: tuple[Path, Path], tmp_path: Path, mdx: Cli) -> None:
    code, text = mdx("evaluate", finished[1], "--out", tmp_path / "scores")
    assert code == 0, text
    columns = ["case", "dice", "surface_dice"]
    again, first = (pd.read_csv(p / "scores.csv")[columns] for p in (tmp_path / "scores", finished[1]))
    pd.testing.assert_frame_equal(again, first)


def test_the_report_can_be_written_again_and_names_no_path(finished: tuple[Path, Path], mdx: Cli) -> None:
    table, run = finished
    assert mdx("report", run)[0] == 0
    html = (run / "report.html").read_text()
    assert str(table.parent) not in html
    assert str(run.parent) not in html


def test_a_dry_run_writes_nothing(finished: tuple[Path, Path], tmp_path: Path, mdx: Cli) -> None:
    code, text = mdx("run", "fda", "--data", f"csv:{finished[0]}", "--set", "source=A", "target=B", "--dry-run",
                     "--out", tmp_path / "runs")  # fmt: skip
    assert code == 0, text
    assert "nothing was run" in text
    assert not (tmp_path / "runs").exists()


def test_the_settings_say_where_each_value_came_from(finished: tuple[Path, Path]) -> None:
    text = (finished[1] / "config.yaml").read_text()
    assert re.search(r"source:\n\s+value:\n\s+- A\n\s+from: --set", text)
    assert "from: default" in text


def test_mixed_precision_on_a_cpu_learns_as_well(finished: tuple[Path, Path], tmp_path: Path, mdx: Cli) -> None:
    code, text = mdx(
        "run", "fda", "--variant", "no_da", "--data", f"csv:{finished[0]}", "--set", "source=A", "target=B",
        *OF_THE_SOURCE, "--baselines", "none", "--device", "cpu", "--precision", "bf16-mixed", "--out", tmp_path,
    )  # fmt: skip
    assert code == 0, text
    (run,) = tmp_path.iterdir()
    assert pd.read_csv(run / "scores.csv").query("role == 'source'")["dice"].min() > 0.8


def test_the_network_learns_where_the_ball_is(finished: tuple[Path, Path]) -> None:
    assert pd.read_csv(finished[1] / "scores.csv").query("role == 'source'")["dice"].min() > 0.8


@pytest.mark.slow
def test_torchrun_starts_two_processes_of_one_run(finished: tuple[Path, Path], tmp_path: Path) -> None:
    words = [
        "run", "fda", "--variant", "no_da", "--baselines", "none", "--data", f"csv:{finished[0]}", "--set", "source=A",
        "target=B", *OF_THE_SOURCE[1:], "run.processes=2", "--device", "cpu", "--out", str(tmp_path / "runs"),
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "mdx", *words],
        capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MDX_CACHE": str(tmp_path / "cache")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("report: ") == 1, "one process prints"
    (run,) = (tmp_path / "runs").iterdir()
    assert (run / "done").exists()
    epochs = [json.loads(line)["epoch"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert epochs == [0, 1, 2], "one process writes"
    assert pd.read_csv(run / "scores.csv").query("role == 'source'")["dice"].min() > 0.8
