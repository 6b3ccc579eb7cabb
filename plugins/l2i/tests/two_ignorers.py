"""What each of two processes does in test_l2i_processes.py; a module that a fresh process can import."""

from __future__ import annotations

from pathlib import Path

import torch
from made_classes import SMALL, make_classes

from mdx.interfaces.adapter import networks_of
from mdx.testing import Watch, leave, place_of
from mdx.training.run import Run
from mdx.workflow.method import hide
from mdx_l2i.adapter import L2I
from mdx_l2i.config import L2IConfig


def work(rank: int, port: int, folder: str) -> None:
    place = place_of(rank, port)
    settings = {**SMALL, "steps": None, "epochs": 5, "patience": 2, "micro_batch": 4}
    settings["center_norm"] = "project_after_step"
    adapter = L2I(L2IConfig.model_validate(settings))
    data = make_classes()
    torch.manual_seed(rank)  # the first process's weights are the ones that count
    run = Run(Path(folder), adapter, networks_of(adapter, data.task), seed=1, place=place)
    watch = Watch(run, "val/monitored")
    adapter.fit(hide(data, "train"), run.model, run)
    leave(run, rank, folder, steps=run.steps, monitored=watch.seen)
