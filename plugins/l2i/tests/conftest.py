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
from mdx.workflow.method import hide
from mdx_l2i.adapter import L2I
from mdx_l2i.baselines import DANN, Contrastive, Unlearning, Vanilla
from mdx_l2i.can import CAN
from mdx_l2i.config import (
    CANConfig,
    ContrastiveConfig,
    DANNConfig,
    L2IConfig,
    RowConfig,
    UnlearningConfig,
    VanillaConfig,
)

sys.path.insert(0, str(Path(__file__).parent))


CONFIGS: dict[type[Adapter[Any]], type[RowConfig]] = {
    L2I: L2IConfig, Vanilla: VanillaConfig, DANN: DANNConfig, Unlearning: UnlearningConfig,
    Contrastive: ContrastiveConfig, CAN: CANConfig,
}  # fmt: skip


@pytest.fixture
def fit(tmp_path: Path) -> Callable[..., Run]:
    """Train an adapter in a fresh folder (or in ``folder``), with labels hidden as core hides them."""
    from made_classes import SMALL

    count = iter(range(1000))

    def train(
        kind: type[Adapter[Any]], data: Dataset, folder: Path | None = None, seed: int = 0,
        target_labels: str = "train", **settings: Any,
    ) -> Run:  # fmt: skip
        torch.set_num_threads(1)
        config = next(CONFIGS[each] for each in kind.__mro__ if each in CONFIGS)
        small = {name: value for name, value in SMALL.items() if name in config.model_fields}
        adapter = kind(config.model_validate({**small, **settings}))
        where = folder or tmp_path / f"run{next(count)}"
        where.mkdir(exist_ok=True)
        torch.manual_seed(seed)
        run = Run(where, adapter, networks_of(adapter, data.task), seed=seed)
        run.journal.stream = open(os.devnull, "w")  # noqa: SIM115, PTH123 - lives as long as the run
        adapter.fit(hide(data, target_labels), run.model, run)
        run.finish()
        return run

    return train
