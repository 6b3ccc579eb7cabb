"""Two real processes with gloo end with the same weights, a bare parameter among them."""

from __future__ import annotations

import multiprocessing
import socket
from pathlib import Path

import made_up
import pytest
import torch
import two_processes

from mdx.runs.checkpoint import load_tree


@pytest.mark.slow
def test_two_processes_agree_on_every_weight_and_see_different_cases(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=two_processes.work, args=(rank, port, str(tmp_path))) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(180)
    assert [p.exitcode for p in processes] == [0, 0]
    first, second = (load_tree(tmp_path / f"rank{r}.safetensors") for r in (0, 1))
    for name, tensor in first["model"].items():
        assert torch.equal(tensor, second["model"][name]), name
    assert not torch.equal(first["model"]["bare.scale"], torch.ones(4))
    assert first["seen"] != second["seen"]
    unused = first["model"]["unused.weight"]
    torch.manual_seed(0)
    made = two_processes.TwoNetworks(made_up.MadeUpConfig()).build(None)
    assert torch.equal(unused, made.unused.weight), "a network that no loss used must not decay"
