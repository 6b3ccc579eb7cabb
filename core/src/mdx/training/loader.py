"""The loader that a method holds: every pass is seeded by the run, the stage and the epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from mdx import progress
from mdx.data.batches.sampling import make_loader
from mdx.interfaces.dataset import Batch, Dataset


class Loader:
    """Batches of ``data`` on the run's device.

    Args:
        seed: gives the seed of the pass that begins; asked at each ``iter``.
        options: see ``mdx.data.batches.sampling.make_loader``.
    """

    def __init__(self, data: Dataset, device: torch.device, seed: Callable[[], int], options: dict[str, Any]) -> None:
        self.data, self.device, self.seed, self.options = data, device, seed, options
        self._length: int | None = options.get("steps")  # of a pass, as far as it is known

    def __iter__(self) -> Iterator[Batch]:
        batches = make_loader(self.data, seed=self.seed(), **self.options)
        if self.options.get("endless"):
            yield from (batch.to(self.device) for batch in batches)
            return
        count = 0
        for batch in progress.within(batches, "batch", self._length):
            count += 1
            yield batch.to(self.device)
        self._length = count
