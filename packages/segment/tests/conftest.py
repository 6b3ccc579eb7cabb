from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mdx.interfaces.dataset import Case, Dataset, Sample, Task
from mdx.interfaces.geometry import Geometry


@pytest.fixture
def discs() -> Dataset:
    """Six volumes (1, 24, 20, 4) of a bright disc in noise with its mask; two of them for validation. Seed 0."""
    task = Task("segmentation", ("disc",), ("image",), 3, ("A",), label_values=((1,),))
    cases = [
        Case(f"c{i}", f"s{i}", "A", {"image": Path(f"c{i}.nii")}, mask=Path(f"m{i}.nii"), role="source",
             split="train" if i < 4 else "val")
        for i in range(6)
    ]  # fmt: skip

    def load(case: Case, visible: bool) -> Sample:
        rng = np.random.default_rng(int(case.id[1:]))
        y, x = np.mgrid[:24, :20] - rng.integers(8, 12, 2)[:, None, None]
        mask = np.repeat((y**2 + x**2 < 25)[None, ..., None], 4, axis=-1).astype(np.float32)
        image = (0.6 * mask + rng.uniform(0, 0.4, mask.shape)).astype(np.float32)
        labels = {"mask": torch.from_numpy(mask)} if visible else {}
        hidden = frozenset[str]() if visible else frozenset({"mask"})
        return Sample(case, torch.from_numpy(image), Geometry(np.eye(4), (24, 20, 4)), labels, hidden)

    return Dataset(task, cases, load)
