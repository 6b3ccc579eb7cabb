from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mdx.interfaces.adapter import Adapter, networks_of
from mdx.interfaces.dataset import Dataset
from mdx.training.run import Run
from mdx.workflow.execution import hide
from mdx_l2i.config import L2IConfig

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def fit(tmp_path: Path) -> Callable[..., Run]:
    """Train an adapter in a fresh folder (or in ``folder``), with labels hidden as core hides them."""
    from made_classes import SMALL

    count = iter(range(1000))

    def train(
        kind: type[Adapter[L2IConfig]], data: Dataset, folder: Path | None = None, seed: int = 0,
        target_labels: str = "train", **settings: Any,
    ) -> Run:  # fmt: skip
        torch.set_num_threads(1)
        adapter = kind(L2IConfig.model_validate({**SMALL, **settings}))
        where = folder or tmp_path / f"run{next(count)}"
        where.mkdir(exist_ok=True)
        torch.manual_seed(seed)
        run = Run(where, adapter, networks_of(adapter, data.task), seed=seed)
        run.journal.stream = open(os.devnull, "w")  # noqa: SIM115, PTH123 - lives as long as the run
        adapter.fit(hide(data, target_labels), run.model, run)
        run.finish()
        return run

    return train
