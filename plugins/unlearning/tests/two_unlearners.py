"""What each of two processes does in test_unlearning_processes.py; a module that a fresh process can import."""

from __future__ import annotations

from pathlib import Path

from made_ages import SMALL, make_ages

from mdx.interfaces.adapter import networks_of
from mdx.testing import Watch, leave, place_of
from mdx.training.run import Run
from mdx.workflow.method import hide
from mdx_unlearning.adapter import Unlearning
from mdx_unlearning.config import UnlearningConfig


def work(rank: int, port: int, folder: str) -> None:
    place = place_of(rank, port)
    # the number of steps of an epoch is left to the sampler, the weights to the best epoch: both must agree
    settings = {**SMALL, "unlearn_on": "overlap", "steps": None, "epochs": 6, "lr_unlearn": 0.02, "patience": 2}
    adapter = Unlearning(UnlearningConfig.model_validate(settings))
    data = make_ages({"A": 32, "B": 16}, {"A": (40, 65), "B": (55, 80)})
    run = Run(Path(folder), adapter, networks_of(adapter, data.task), seed=1, place=place)
    watch = Watch(run, "val/main")
    adapter.fit(hide(data, "never"), run.model, run)
    leave(run, rank, folder, steps=run.steps, monitored=watch.seen)
