"""Cases whose voxels say where they lie."""

from __future__ import annotations

import numpy as np
import torch

from mdx.interfaces.dataset import Batch, Case, Dataset, Sample, Task
from mdx.interfaces.geometry import Geometry

TASK = Task("segmentation", ("1",), ("image",), 3, ("A",), label_values=((1,),))


class Numbered:
    """Voxel values tell where they come from: 1000 case + 100 x + 10 y + z, so that a cut can be traced."""

    def __init__(self, shape: tuple[int, ...] = (6, 8, 5)) -> None:
        self.shape, self.loads = shape, 0

    def __call__(self, case: Case, visible: bool) -> Sample:
        self.loads += 1
        places = np.meshgrid(*(np.arange(n) for n in self.shape), indexing="ij")
        weights = (100, 10, 1)[: len(self.shape)]
        values = 1000 * (1 + int(case.id)) + sum(w * p for w, p in zip(weights, places, strict=True))
        image = torch.from_numpy(values[None].astype(np.float32))
        mask = (image % 2 == 0).float()
        geometry = Geometry(np.eye(4), self.shape)
        return Sample(case, image, geometry, {"mask": mask} if visible else {}, frozenset() if visible else {"mask"})


def cohort(n: int = 4, shape: tuple[int, ...] = (6, 8, 5)) -> Dataset:
    cases = [Case(str(i), f"s{i}", "A", {}, split="train", role="target" if i else "source") for i in range(n)]
    return Dataset(TASK, cases, Numbered(shape))


def same(a: list[Batch], b: list[Batch]) -> bool:
    return len(a) == len(b) and all(
        x.case_ids == y.case_ids and torch.equal(x.image, y.image) and torch.equal(x.labels["mask"], y.labels["mask"])
        for x, y in zip(a, b, strict=True)
    )
