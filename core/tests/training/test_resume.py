"""A killed run ends bit-identical to one that was never killed."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import made_up
import pytest
import torch

from mdx.errors import StoppedError
from mdx.interfaces.adapter import networks_of
from mdx.runs.checkpoint import load_tree

TICKS = range(2, 42, 4)


@pytest.fixture(scope="module")
def processes() -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["made_up"])
    return context


def final(folder: Path) -> dict:
    return load_tree(folder / "checkpoints" / "final.safetensors")


def assert_equal(a: object, b: object, where: str = "tree") -> None:
    if isinstance(a, torch.Tensor):
        assert isinstance(b, torch.Tensor)
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert isinstance(b, dict)
        assert a.keys() == b.keys(), where
        for key in a:
            assert_equal(a[key], b[key], f"{where}.{key}")
    else:
        assert a == b, where


@pytest.mark.slow
@pytest.mark.parametrize("tick", TICKS)
def test_killed_and_run_again_ends_bit_identical(
    tick: int, tmp_path: Path, uninterrupted: Path, processes: multiprocessing.context.ForkServerContext
) -> None:
    process = processes.Process(target=made_up.train, args=(tmp_path, tick))
    process.start()
    process.join(120)
    assert process.exitcode == -9, "the process was meant to be killed"
    assert not (tmp_path / "checkpoints" / "final.safetensors").exists()
    made_up.train(tmp_path)
    assert_equal(final(uninterrupted), final(tmp_path))
    assert (tmp_path / "metrics.jsonl").read_text() == (uninterrupted / "metrics.jsonl").read_text()


def test_a_run_that_has_finished_training_is_restored_without_a_step(uninterrupted: Path, tmp_path: Path) -> None:
    import shutil

    copy = shutil.copytree(uninterrupted, tmp_path / "copy")
    before = final(copy)
    made_up.train(copy)
    assert_equal(before, final(copy))


def test_another_seed_gives_other_weights(uninterrupted: Path, tmp_path: Path) -> None:
    made_up.train(tmp_path, seed=4)
    key = "encoder.0.weight"
    assert not torch.equal(final(uninterrupted)["model"][key], final(tmp_path)["model"][key])


def test_the_stage_ends_with_the_weights_of_the_best_epoch(uninterrupted: Path) -> None:
    rows = [json.loads(line) for line in (uninterrupted / "metrics.jsonl").read_text().splitlines()]
    second = {r["epoch"]: r["val/odd"] for r in rows if r["stage"] == "second"}
    best = min(second, key=lambda e: second[e])
    kept = load_tree(uninterrupted / "checkpoints" / "best.safetensors")
    assert kept["epoch"] == best
    assert_equal(kept["model"], final(uninterrupted)["model"])


def test_a_stage_stops_early_after_its_patience(uninterrupted: Path) -> None:
    rows = [json.loads(line) for line in (uninterrupted / "metrics.jsonl").read_text().splitlines()]
    second = {r["epoch"]: r["val/odd"] for r in rows if r["stage"] == "second"}
    assert max(second) == min(second, key=lambda e: second[e]) + made_up.MadeUpConfig().patience


def test_a_stop_request_ends_the_run_at_the_next_step_and_keeps_the_last_epoch(
    tmp_path: Path, uninterrupted: Path
) -> None:
    run = made_up.Run(
        tmp_path,
        (method := made_up.MadeUp(made_up.MadeUpConfig())),
        networks_of(method, made_up.dataset().task),
        seed=3,
    )
    run.stop_requested = True
    with pytest.raises(StoppedError, match="mdx resume"):
        method.fit(made_up.dataset(), run.model, run)
