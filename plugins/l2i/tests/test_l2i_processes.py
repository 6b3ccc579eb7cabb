"""Two real processes with gloo train one model: encoder, classifier and centres."""

from __future__ import annotations

import multiprocessing
import socket
from pathlib import Path

import pytest
import torch
import two_ignorers

from mdx.runs.checkpoint import load_tree


@pytest.mark.slow
def test_two_processes_monitor_the_same_values_and_end_with_the_same_networks(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=two_ignorers.work, args=(rank, port, str(tmp_path))) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(180)
    assert [p.exitcode for p in processes] == [0, 0]
    first, second = (load_tree(tmp_path / f"rank{r}.safetensors") for r in (0, 1))
    assert first["steps"] == second["steps"] > 0
    assert first["monitored"] == second["monitored"], "each would keep the weights of another epoch"
    for name, tensor in first["model"].items():
        assert torch.equal(tensor, second["model"][name]), name
