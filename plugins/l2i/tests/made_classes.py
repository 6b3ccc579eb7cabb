"""A small cohort in which colour (or brightness, in 3-D) goes with the class everywhere but at the target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mdx.interfaces.dataset import Case, Dataset, Sample, Task
from mdx.interfaces.geometry import Geometry
from mdx.training.run import Run

Fit = Callable[..., Run]

SMALL: dict[str, Any] = {
    "backbone": "small_cnn", "width": 4, "latent": 8, "standardise_pooled": True, "augmentation": False,
    "epochs": 2, "steps": 3, "patience": None, "lr": 1e-3, "lr_centers": 1e-3,
}  # fmt: skip
"""A method that takes a second."""
COLOURS: Mapping[str, tuple[float, float, float]] = {
    "blue": (0.1, 0.1, 1.0), "green": (0.1, 1.0, 0.1), "red": (1.0, 0.1, 0.1), "grey": (0.6, 0.6, 0.6),
}  # fmt: skip
SHAPES = {2: (24, 20), 3: (18, 20, 17)}
SPLITS = ("train", "val", "test")
Counts = Mapping[str, Mapping[str, Sequence[int]]]

CONFOUNDED: Counts = {
    "blue": {"across": (8, 4, 4), "down": (8, 4, 4)},
    "green": {"across": (12, 2, 2)},
    "red": {"down": (12, 2, 2)},
}
"""Site -> class -> cases in train, val and test; ``blue`` is the target."""


def make_classes(
    counts: Counts = CONFOUNDED, dims: int = 2, classes: Sequence[str] = ("across", "down"), target: str = "blue",
    noise: float = 0.6, source_waves: float = 1.0,
) -> Dataset:  # fmt: skip
    """Noisy grey waves across or down the image, of any phase, tinted in the colour of the site.

    A third class has no waves. ``source_waves`` is their height at other sites than the target.
    """
    channels = ("r", "g", "b") if dims == 2 else ("image",)
    task = Task("classification", tuple(classes), channels, dims, tuple(sorted(counts)), label="class")
    cases: list[Case] = []
    for site, of_class in counts.items():
        role = "target" if site == target else "source"
        for name, numbers in of_class.items():
            for split, n in zip(SPLITS, numbers, strict=True):
                for i in range(n):
                    key = f"{site}-{name}-{split}-{i}"
                    cases.append(Case(key, key, site, {"image": Path(f"{key}.png")}, split=split, role=role,
                                      columns={"class": name, "camera": f"cam{i % 2}"}))  # fmt: skip

    def load(case: Case, visible: bool) -> Sample:
        rng = np.random.default_rng([ord(letter) for letter in case.id])
        name = case.columns["class"]
        at = np.indices(SHAPES[dims])[{"across": 0, "down": 1}.get(name, 0)]
        height = (1.0 if case.role == "target" else source_waves) * (name in ("across", "down"))
        waves = height * np.sin(at * 1.2 + rng.uniform(0, 6.28))
        tint = np.array(COLOURS[case.site])[:, None, None] if dims == 2 else COLOURS[case.site][0]
        image = waves + tint + noise * rng.normal(size=(len(channels), *SHAPES[dims]))
        index = list(classes).index(name)
        labels = {"class": index} if visible else {}
        hidden = frozenset[str]() if visible else frozenset({"class"})
        geometry = Geometry(np.eye(4), SHAPES[dims])
        return Sample(case, torch.from_numpy(image.astype(np.float32)), geometry, labels, hidden)

    return Dataset(task, cases, load)
