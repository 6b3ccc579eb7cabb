"""Every bad input: one message with the remedy, its exit code, nothing half-written."""

from __future__ import annotations

import gzip
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from small_cohort import TINY, make_cohort, write_scan

Cli = Callable[..., tuple[int, str]]


def run_args(table: Path, out: Path, *more: str) -> list[str | Path]:
    return ["run", "fda", "--data", f"csv:{table}", "--set", "source=A", "--set", "target=B", *TINY,
            "--baselines", "none", "--device", "cpu", "--out", out, *more]  # fmt: skip


def assert_refused(answer: tuple[int, str], code: int, *words: str, out: Path | None = None) -> None:
    assert answer[0] == code, answer[1]
    for word in words:
        assert word in answer[1]
    assert "->" in answer[1], "the message names no remedy"
    assert "Traceback" not in answer[1]
    assert out is None or not out.exists() or not any(out.iterdir()), "something was written"


def test_a_missing_file(cohort: Path, tmp_path: Path, mdx: Cli) -> None:
    (cohort.parent / "images" / "A0.nii.gz").unlink()
    assert_refused(mdx(*run_args(cohort, tmp_path / "runs")), 4, "A0", "no such file", out=tmp_path / "runs")


def test_a_truncated_file(cohort: Path, tmp_path: Path, mdx: Cli) -> None:
    scan = cohort.parent / "images" / "B1.nii.gz"
    scan.write_bytes(scan.read_bytes()[:400])
    assert_refused(mdx(*run_args(cohort, tmp_path / "runs")), 4, "B1", out=tmp_path / "runs")


def test_a_mask_of_another_shape(cohort: Path, tmp_path: Path, mdx: Cli) -> None:
    write_scan(cohort.parent / "masks" / "A2.nii.gz", np.ones((26, 22, 5), np.uint8))
    assert_refused(mdx(*run_args(cohort, tmp_path / "runs")), 4, "A2", out=tmp_path / "runs")


def test_a_mask_at_another_place(cohort: Path, tmp_path: Path, mdx: Cli) -> None:
    mask = cohort.parent / "masks" / "A2.nii.gz"
    affine = np.diag([2.0, 2, 3, 1])
    affine[:3, 3] = 500
    write_scan(mask, np.asarray(nib.load(mask).dataobj), affine)
    assert_refused(mdx(*run_args(cohort, tmp_path / "runs")), 4, "A2", out=tmp_path / "runs")


def test_nan_in_an_image(cohort: Path, tmp_path: Path, mdx: Cli) -> None:
    values = np.ones((26, 22, 6), np.float32)
    values[3, 3, 3] = np.nan
    write_scan(cohort.parent / "images" / "B2.nii.gz", values)
    assert_refused(mdx(*run_args(cohort, tmp_path / "runs")), 4, "B2", "NaN", out=tmp_path / "runs")


def test_an_empty_mask_is_named_by_the_check(cohort: Path, mdx: Cli) -> None:
    write_scan(cohort.parent / "masks" / "B3.nii.gz", np.zeros((26, 22, 6), np.uint8))
    code, text = mdx("data", "check", cohort)
    assert "B3" in text
    assert "empty" in text
    assert code in (0, 4)


def test_a_table_with_one_site(tmp_path: Path, mdx: Cli) -> None:
    table = make_cohort(tmp_path / "one", sites=("A",))
    assert_refused(mdx(*run_args(table, tmp_path / "runs")), 4, "'B'", out=tmp_path / "runs")


def test_a_subject_in_two_splits(cohort: Path, tmp_path: Path, mdx: Cli) -> None:
    lines = cohort.read_text().splitlines()
    rows = [f"{line},{'test' if i % 3 == 0 else 'val' if i % 3 == 1 else 'train'}" for i, line in enumerate(lines[1:])]
    rows[1] = rows[1].replace(",A1,", ",A0,")
    cohort.write_text("\n".join([f"{lines[0]},split", *rows]) + "\n")
    assert_refused(mdx(*run_args(cohort, tmp_path / "runs")), 4, "A0", out=tmp_path / "runs")


def test_an_unknown_key_is_answered_with_the_nearest(cohort: Path, tmp_path: Path, mdx: Cli) -> None:
    answer = mdx(*run_args(cohort, tmp_path / "runs", "--set", "betta=0.1"))
    assert_refused(answer, 3, "betta", "did you mean 'beta'", out=tmp_path / "runs")


def test_a_missing_table(tmp_path: Path, mdx: Cli) -> None:
    assert_refused(mdx(*run_args(tmp_path / "no.csv", tmp_path / "runs")), 4, "no.csv", out=tmp_path / "runs")


def test_an_unknown_plugin_variant_or_verb(mdx: Cli) -> None:
    assert_refused(mdx("run", "fdaa"), 5, "fda")
    assert_refused(mdx("run", "fda", "--variant", "no_dda"), 2, "no_da")
    assert_refused(mdx("rnu", "fda"), 2, "run")


def test_an_out_folder_that_cannot_be_written(cohort: Path, tmp_path: Path, mdx: Cli) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    assert_refused(mdx(*run_args(cohort, blocked / "runs")), 6, "cannot be written")
    assert blocked.read_text() == "in the way"


def test_memory_that_runs_out_is_exit_code_6_with_the_peak_the_place_and_three_remedies(
    cohort: Path, tmp_path: Path
) -> None:
    command = [str(word) for word in run_args(cohort, tmp_path / "runs", "--set", "filters=1500")]
    done = subprocess.run(
        [sys.executable, "-m", "mdx", *command], capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (7 * 10**9, 7 * 10**9)),
    )  # fmt: skip
    assert done.returncode == 6, done.stderr
    assert "out of memory in mdx_segment.networks" in done.stderr
    assert "GB at the most" in done.stderr
    for remedy in ("batch_size", "data.size", "run.workers=0"):
        assert remedy in done.stderr
    assert "Traceback" not in done.stderr


def test_a_cuda_device_that_is_not_there(cohort: Path, tmp_path: Path, mdx: Cli) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    argv = run_args(cohort, tmp_path / "runs")
    argv[argv.index("cpu")] = "cuda"
    assert_refused(mdx(*argv), 6, "--device cpu")


def test_a_full_disk_keeps_what_was_finished_and_the_run_goes_on_later(cohort: Path, tmp_path: Path, mdx: Cli) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    mdx("data", "check", cohort)  # fills the cache, so that the limit meets the run itself
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, before[1]))
    try:
        answer = mdx(*run_args(cohort, tmp_path / "runs"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert_refused(answer, 6, "disk")
    (run,) = (tmp_path / "runs").iterdir()
    assert not (run / "done").exists()
    assert not list(run.rglob(".*-*.safetensors"))
    assert mdx("resume", run)[0] == 0
    assert (run / "done").exists()


def test_apply_to_a_damaged_file_writes_nothing(finished: tuple[Path, Path], tmp_path: Path, mdx: Cli) -> None:
    bad = tmp_path / "bad.nii.gz"
    bad.write_bytes(gzip.compress(b"not a volume"))
    assert_refused(mdx("apply", finished[1], bad, "--out", tmp_path / "o"), 4, "bad.nii.gz", out=tmp_path / "o")


def test_something_that_is_no_run(tmp_path: Path, mdx: Cli) -> None:
    assert_refused(mdx("apply", tmp_path, tmp_path / "x.nii.gz"), 2, "not the directory of a run")
    assert_refused(mdx("report", tmp_path), 2, "not the directory of a run")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_a_stopped_run_says_so_and_can_be_resumed(cohort: Path, tmp_path: Path, number: int, code: int) -> None:
    words = run_args(cohort, tmp_path / "runs", "--set", "training.epochs=5000")
    argv = [sys.executable, "-m", "mdx", *map(str, words)]
    process = subprocess.Popen(
        argv, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        # tests that a shell runs in the background ignore Ctrl-C, and so would their children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list((tmp_path / "runs").glob("*/checkpoints/last.safetensors")):
        assert time.monotonic() < deadline, "training never began"
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.1)
    process.send_signal(number)
    _, text = process.communicate(timeout=120)
    assert process.returncode == code, text
    assert "resume" in text
    assert "Traceback" not in text
    (run,) = (tmp_path / "runs").iterdir()
    assert '"stopped"' in (run / "status.json").read_text()
