"""A small cohort whose label can be seen, and settings of a method that takes a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mdx.interfaces.dataset import Case, Dataset, Sample, Task
from mdx.interfaces.geometry import Geometry
from mdx.training.run import Run

Fit = Callable[..., Run]

SMALL: dict[str, Any] = {
    "width": 0.125, "stages": 3, "stem_stride": 2, "feature_size": 12, "batch_size": 6, "steps": 3, "epochs": 3,
    "pretrain_epochs": 1, "lr": 1e-3, "lr_unlearn": 1e-3, "label_scale": "standardise", "probe_every": 2, "patience": 5,
}  # fmt: skip
"""A method that takes a second."""
SHAPES = {3: (14, 12, 6), 2: (18, 14)}


def make_ages(sizes: dict[str, int], ages: dict[str, tuple[float, float]] | None = None, dims: int = 3) -> Dataset:
    """Images whose middle is the brighter the older the subject, and whose noise depends on the site.

    Of every four cases of a site one validates, and one of the next four is a test case.
    """
    task = Task("regression", (), ("image",), dims, tuple(sorted(sizes)), label="age")
    cases: list[Case] = []
    for site, n in sizes.items():
        low, high = (ages or {}).get(site, (40.0, 80.0))
        for i in range(n):
            age = low + (high - low) * i / max(n - 1, 1)
            split = {3: "val", 7: "test"}.get(i % 8, "train")
            cases.append(Case(f"{site}{i}", f"{site}{i}", site, {"image": Path(f"{site}{i}.nii")}, split=split,
                              role="source", columns={"age": age, "coil": "x" if i % 2 else "y"}))  # fmt: skip

    def load(case: Case, visible: bool) -> Sample:
        rng = np.random.default_rng([ord(case.site[0]), int(case.id[1:])])
        image = rng.normal(size=(1, *SHAPES[dims])) * (0.3 + 0.3 * (ord(case.site[0]) - ord("A")))
        image[:, 4:10, 3:9] += (case.columns["age"] - 60) / 10
        labels = {"age": case.columns["age"]} if visible else {}
        hidden = frozenset[str]() if visible else frozenset({"age"})
        geometry = Geometry(np.eye(4), SHAPES[dims])
        return Sample(case, torch.from_numpy(image.astype(np.float32)), geometry, labels, hidden)

    return Dataset(task, cases, load)
