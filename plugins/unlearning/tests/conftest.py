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
from mdx_unlearning.adapter import Unlearning
from mdx_unlearning.baselines import DANN, Normal, NormalConditioned
from mdx_unlearning.config import ConditionedConfig, HeadConfig, NormalConfig, UnlearningConfig

sys.path.insert(0, str(Path(__file__).parent))


CONFIGS: dict[type[Adapter[Any]], type[NormalConfig]] = {
    Unlearning: UnlearningConfig, Normal: NormalConfig, NormalConditioned: ConditionedConfig, DANN: HeadConfig,
}  # fmt: skip


@pytest.fixture
def three_sites() -> Dataset:
    """Sites A, B and C with 40, 16 and 16 cases of all ages."""
    from made_ages import make_ages

    return make_ages({"A": 40, "B": 16, "C": 16})


@pytest.fixture
def confounded() -> Dataset:
    """Site A aged 40 to 65, site B 55 to 80."""
    from made_ages import make_ages

    return make_ages({"A": 32, "B": 32}, {"A": (40, 65), "B": (55, 80)})


@pytest.fixture
def fit(tmp_path: Path) -> Callable[..., Run]:
    """Train an adapter in a fresh folder (or in ``folder``), with labels hidden as core hides them."""
    from made_ages import SMALL

    count = iter(range(1000))

    def train(
        kind: type[Adapter[Any]], data: Dataset, folder: Path | None = None, seed: int = 0, **settings: Any
    ) -> Run:
        torch.set_num_threads(1)
        config = next(CONFIGS[each] for each in kind.__mro__ if each in CONFIGS)
        small = {name: value for name, value in SMALL.items() if name in config.model_fields}
        adapter = kind(config.model_validate({**small, **settings}))
        where = folder or tmp_path / f"run{next(count)}"
        where.mkdir(exist_ok=True)
        torch.manual_seed(seed)
        run = Run(where, adapter, networks_of(adapter, data.task), seed=seed)
        run.journal.stream = open(os.devnull, "w")  # noqa: SIM115, PTH123 - lives as long as the run
        adapter.fit(hide(data, "never"), run.model, run)
        run.finish()
        return run

    return train
