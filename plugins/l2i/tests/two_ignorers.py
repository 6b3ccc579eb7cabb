"""What each of two processes does in test_l2i_processes.py; a module that a fresh process can import."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from made_classes import SMALL, make_classes

from mdx.config import RunSettings
from mdx.plugins.hooks import hookimpl
from mdx.runs.checkpoint import save_tree
from mdx.runs.device import make_fabric
from mdx.runs.run import Run
from mdx.workflow import hide
from mdx_l2i.adapter import L2I
from mdx_l2i.config import L2IConfig


class Watch:
    """Notes what this process monitors."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    @hookimpl
    def mdx_metrics(self, metrics: Mapping[str, float]) -> None:
        self.seen.append(metrics["val/monitored"])


def work(rank: int, port: int, folder: str) -> None:
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "test",
    }  # fmt: skip
    torch.set_num_threads(1)
    fabric = make_fabric(RunSettings.model_validate({"device": "cpu", "processes": 2}))
    settings = {**SMALL, "steps": None, "epochs": 5, "patience": 2, "micro_batch": 4}
    settings["center_norm"] = "project_after_step"
    adapter = L2I(L2IConfig.model_validate(settings))
    data = make_classes()
    torch.manual_seed(rank)  # the first process's weights are the ones that count
    run = Run(Path(folder), adapter, adapter.build(data), seed=1, fabric=fabric)
    run.hooks.register(watch := Watch(), "watch")
    adapter.fit(hide(data, "train"), run.model, run)
    left = {"model": dict(run.model.state_dict()), "steps": run.steps, "monitored": watch.seen}
    save_tree(Path(folder) / f"rank{rank}.safetensors", left)
