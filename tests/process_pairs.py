"""Two real processes of one run with gloo: how they are started, and what they leave behind."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from mdx.config import RunSettings
from mdx.plugins.hooks import hookimpl
from mdx.runs.checkpoint import load_tree, save_tree
from mdx.training.device import make_fabric
from mdx.training.run import Run


def two_processes(work: Callable[[int, int, str], None], folder: Path) -> list[dict[str, Any]]:
    """What ``work(rank, port, folder)`` left in each of two processes. It lies in a module that both can import."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=work, args=(rank, port, str(folder))) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(180)
    assert [p.exitcode for p in processes] == [0, 0]
    return [load_tree(folder / f"rank{rank}.safetensors") for rank in (0, 1)]


def fabric_of(rank: int, port: int) -> Any:
    """The fabric of one of the two, as torchrun would have it made."""
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "test",
    }  # fmt: skip
    torch.set_num_threads(1)
    return make_fabric(RunSettings.model_validate({"device": "cpu", "processes": 2}))


class Watch:
    """Notes what a process monitors."""

    def __init__(self, run: Run, metric: str) -> None:
        self.metric, self.seen = metric, list[float]()
        run.hooks.register(self, "watch")

    @hookimpl
    def mdx_metrics(self, metrics: Mapping[str, float]) -> None:
        self.seen.append(metrics[self.metric])


def leave(run: Run, rank: int, folder: str, **more: Any) -> None:
    """Save the networks of a process, and more."""
    save_tree(Path(folder) / f"rank{rank}.safetensors", {"model": dict(run.model.state_dict()), **more})


def assert_one_training(first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
    """Both took the same steps, monitored the same values and ended with the same networks."""
    assert first["steps"] == second["steps"] > 0
    assert first["monitored"] == second["monitored"], "each would keep the weights of another epoch"
    for name, tensor in first["model"].items():
        assert torch.equal(tensor, second["model"][name]), name
