from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mdx.interfaces.dataset import Case, Dataset, Sample, Task
from mdx.interfaces.geometry import Geometry

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def scans() -> list[Tensor]:
    """Five different scans."""
    from fda_phantoms import phantom

    return [phantom(seed) for seed in range(5)]


@pytest.fixture
def two_sites() -> Dataset:
    """Site A (source) and B (target), each 4 train, 1 val and 1 test volume (1, 24, 20, 3) with a disc as mask."""
    task = Task("segmentation", ("disc",), ("image",), 3, ("A", "B"), label_values=((1,),))
    splits = ["train"] * 4 + ["val", "test"]
    cases = [
        Case(f"{site}{i}", f"{site}{i}", site, {"image": Path(f"{site}{i}.nii")}, mask=Path(f"m{site}{i}.nii"),
             split=split, role="source" if site == "A" else "target")
        for site in "AB" for i, split in enumerate(splits)
    ]  # fmt: skip

    def load(case: Case, visible: bool) -> Sample:
        rng = np.random.default_rng([ord(case.site), int(case.id[1:])])
        y, x = np.mgrid[:24, :20] - rng.integers(8, 12, 2)[:, None, None]
        mask = np.repeat((y**2 + x**2 < 25)[None, ..., None], 3, axis=-1).astype(np.float32)
        image = (0.6 * mask + rng.uniform(0, 0.4, mask.shape)).astype(np.float32)
        image = image if case.site == "A" else image**2
        labels = {"mask": torch.from_numpy(mask)} if visible else {}
        hidden = frozenset[str]() if visible else frozenset({"mask"})
        return Sample(case, torch.from_numpy(image), Geometry(np.eye(4), (24, 20, 3)), labels, hidden)

    return Dataset(task, cases, load).without_labels(role="target", split=["train", "val"])
