"""Histogram matching (Nyul and Udupa 1999): a monotone curve of brightness takes one site's quantiles to another's."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mdx import Adapter, Dataset, MethodConfig, Model, Prediction, Reference, Run, Sample, Task
from mdx.errors import DataError

POINTS = torch.linspace(0, 1, 33)


class LooksConfig(MethodConfig):
    curve: bool = True


class Looks(Adapter[LooksConfig]):
    def build(self, task: Task) -> Model:
        self.quantiles: dict[str, Tensor] = {}
        return Model(nothing=nn.Identity())

    def fit(self, data: Dataset, model: Model, run: Run) -> None:
        for site in data.task.sites:
            cases = data.where(split="train", site=site)
            found = [quantiles(data.load(case).image) for case in run.progress(cases.cases, f"quantiles of {site}")]
            if found:
                self.quantiles[site] = torch.stack(found).mean(dim=0)

    def apply(self, sample: Sample, model: Model, reference: Reference | None = None) -> Prediction:
        if not self.config.curve:
            return Prediction(sample.geometry, image=sample.image.numpy())
        if reference is None or (reference.sample is None and reference.site not in self.quantiles):
            raise DataError("no look is asked for that was seen", "name one with --site, --reference or data.reference")
        wanted = quantiles(example(reference)) if reference.sample else self.quantiles[str(reference.site)]
        own = quantiles(sample.image)
        made = [np.interp(c, o, w) for c, o, w in zip(sample.image.numpy(), own.numpy(), wanted.numpy(), strict=True)]
        return Prediction(sample.geometry, image=np.stack(made).astype(np.float32))

    def state(self) -> dict[str, Any]:
        return {"quantiles": self.quantiles}

    def restore(self, state: Any, model: Model) -> None:
        self.quantiles = dict(state["quantiles"])


def example(reference: Reference) -> Tensor:
    """The image that was given, or the slice of it."""
    assert reference.sample is not None
    image = reference.sample.image
    return image if reference.slice_index is None else image[..., reference.slice_index]


def quantiles(image: Tensor) -> Tensor:
    """(C, 33) of every channel's values above 0."""
    return torch.stack([torch.quantile(channel[channel > 0][:1_000_000], POINTS) for channel in image.flatten(1)])
