from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mdx.config import RunSettings
from mdx.interfaces.adapter import Adapter, MethodConfig, Prediction
from mdx.interfaces.dataset import Case, Dataset, Sample, Task
from mdx.interfaces.geometry import Geometry
from mdx.interfaces.model import Model
from mdx.training.run import Run

sys.path.insert(0, str(Path(__file__).parent))


class Nothing(Adapter[MethodConfig]):
    """A method that does nothing: its run is what tests need."""

    def build(self, task: Task) -> Model:
        return Model()

    def fit(self, data: Dataset, model: Model, run: Run) -> None: ...

    def apply(self, sample: Sample, model: Model, reference: object = None) -> Prediction:
        return Prediction(sample.geometry)


@pytest.fixture
def run_of(tmp_path: Path) -> Callable[..., Run]:
    """Make a run of the given networks."""

    def make(**networks: nn.Module) -> Run:
        torch.manual_seed(0)
        run = Run(tmp_path, Nothing(MethodConfig()), Model(networks), settings=RunSettings.model_validate({}))
        run.journal.stream = open(os.devnull, "w")  # noqa: SIM115, PTH123 - lives as long as the run
        return run

    return make


def cases_of(sizes: dict[str, int], classes: tuple[str, ...] = ("a", "b")) -> list[Case]:
    """So many cases of each site, with classes in turn and a numeric column."""
    return [
        Case(f"{site}{i}", f"{site}{i}", site, {"image": Path(f"{site}{i}.png")}, split="train", role="source",
             columns={"class": classes[i % len(classes)], "dose": 0.5 * i, "vendor": "X" if site < "B" else "Y"})
        for site, n in sizes.items() for i in range(n)
    ]  # fmt: skip


def dataset_of(sizes: dict[str, int], classes: tuple[str, ...] = ("a", "b")) -> Dataset:
    """A classification dataset of random 2-D images (1, 4, 4)."""
    task = Task("classification", classes, ("image",), 2, tuple(sorted(sizes)), label="class")

    def load(case: Case, visible: bool) -> Sample:
        rng = np.random.default_rng([ord(case.site[0]), int(case.id[1:])])
        image = torch.from_numpy(rng.normal(size=(1, 4, 4)).astype(np.float32))
        labels = {"class": classes.index(case.columns["class"])} if visible else {}
        hidden = frozenset[str]() if visible else frozenset({"class"})
        return Sample(case, image, Geometry(np.eye(4), (4, 4)), labels, hidden)

    return Dataset(task, cases_of(sizes, classes), load)


@pytest.fixture
def three_sites() -> Dataset:
    """Sites A, B and C with 60, 15 and 6 cases of classes a and b."""
    return dataset_of({"A": 60, "B": 15, "C": 6})
