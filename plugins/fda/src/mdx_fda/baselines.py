"""What fda is compared with: nothing, histogram matching, and a network that has seen the target's labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from mdx import Adapter, Dataset, Model, Prediction, Reference, Run, Sample, Task
from mdx.errors import DataError
from mdx_fda.config import SourceConfig
from mdx_fda.source import build_network, fit_source, unet
from mdx_segment.inference import predict_volume
from mdx_segment.training import train_slices

QUANTILES = 2048


class NoAdaptation(Adapter[SourceConfig]):
    """The source network on target images as they are (row ``no_da``)."""

    def build(self, task: Task) -> Model:
        """The source network."""
        return build_network(task, self.config, self.own_network)

    def fit(self, data: Dataset, model: Model, run: Run) -> None:
        """Train on the source."""
        fit_source(data, model, run, self.config, self.own_network)

    def apply(self, sample: Sample, model: Model, reference: Reference | None = None) -> Prediction:
        """The network's probabilities."""
        made = predict_volume(model.network, sample.image, self.config.batch_size)
        return Prediction(sample.geometry, segmentation=made.numpy())


class HistogramMatching(Adapter[SourceConfig]):
    """The source network on target scans that are given the histogram of all source train scans.

    Each volume and channel is matched as a whole, over the voxels above its minimum, so that background stays
    background. What the run keeps are quantiles, no image.
    """

    def __init__(self, config: SourceConfig) -> None:
        super().__init__(config)
        self.quantiles = np.zeros((0, QUANTILES), np.float32)

    def build(self, task: Task) -> Model:
        """The source network."""
        return build_network(task, self.config, self.own_network)

    def fit(self, data: Dataset, model: Model, run: Run) -> None:
        """Train on the source, and remember its intensities."""
        fit_source(data, model, run, self.config, self.own_network)
        scans = data.where(role="source", split="train")
        self.quantiles = foreground_quantiles([scans.load(case).image.numpy() for case in scans.cases])

    def apply(self, sample: Sample, model: Model, reference: Reference | None = None) -> Prediction:
        """The network's probabilities of the matched volume."""
        matched = torch.from_numpy(match_foreground(sample.image.numpy(), self.quantiles))
        made = predict_volume(model.network, matched, self.config.batch_size)
        return Prediction(sample.geometry, segmentation=made.numpy(), shown={"matched": matched.numpy()})

    def state(self) -> dict[str, Any]:
        """The source's quantiles."""
        return {"quantiles": self.quantiles}

    def restore(self, state: Mapping[str, Any], model: Model) -> None:
        """Take them back."""
        self.quantiles = state["quantiles"]


class Oracle(Adapter[SourceConfig]):
    """What labels of the target would give: one network for each target site, trained on its train cases.

    Source scans are given to the source network, so that a run shows the diagonal of the paper's table 1.
    """

    def __init__(self, config: SourceConfig) -> None:
        super().__init__(config)
        self.sites: list[str] = []  # of the targets, in the order of their networks
        self.sources: list[str] = []

    def build(self, task: Task) -> Model:
        """The source network; those of the targets are made in ``fit`` and ``restore``, when the roles are known."""
        return Model(network=unet(task, self.config))

    def fit(self, data: Dataset, model: Model, run: Run) -> None:
        """Train on the source, then on each target site, with equal budgets."""
        targets = data.where(role="target")
        self.sources = sorted({case.site for case in data.where(role="source").cases})
        self._add(sorted({case.site for case in targets.cases}), model)
        fit_source(data, model, run, self.config, self.own_network)
        for i, site in enumerate(self.sites):
            train_slices(model[f"target{i}"], targets.where(site=site), run, self.config.training, stage=f"target{i}")

    def apply(self, sample: Sample, model: Model, reference: Reference | None = None) -> Prediction:
        """The probabilities of the network of the sample's site; of the only target's for a file without a site.

        Raises DataError for a site that no network was trained on, and where several targets leave the choice open.
        """
        site = reference.site if reference and reference.site else sample.case.site
        if not site and len(self.sites) == 1:
            site = self.sites[0]
        if site in self.sites:
            network = model[f"target{self.sites.index(site)}"]
        elif site in self.sources:
            network = model.network
        else:
            known = " or ".join([*self.sites, *self.sources])
            what = f"the oracle has no network for site '{site}'" if site else "the oracle has a network for each site"
            raise DataError(what, f"say which: --site {known}", sample.case.id)
        made = predict_volume(network, sample.image, self.config.batch_size)
        return Prediction(sample.geometry, segmentation=made.numpy())

    def _add(self, sites: list[str], model: Model) -> None:
        self.sites = sites
        for i in range(len(sites)):
            if f"target{i}" not in model:
                model[f"target{i}"] = unet(self.task, self.config)

    def state(self) -> dict[str, Any]:
        """The sites that there are networks for."""
        return {"sites": self.sites, "sources": self.sources}

    def restore(self, state: Mapping[str, Any], model: Model) -> None:
        """Make the targets' networks, so that their weights can be loaded."""
        self.sources = list(state["sources"])
        self._add(list(state["sites"]), model)


def foreground_quantiles(images: Sequence[np.ndarray]) -> np.ndarray:
    """(C, 2048) quantiles, 0 to 1, of the voxels above the minimum of images (C, *spatial), each of equal weight."""
    grid = np.linspace(0, 1, QUANTILES)
    each = [[np.quantile(channel[_above_minimum(channel)], grid) for channel in image] for image in images]
    return np.quantile(np.concatenate(each, axis=1), grid, axis=1).T.astype(np.float32)


def match_foreground(image: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """``image`` (C, *spatial) with the voxels above each channel's minimum matched to quantiles (C, n)."""
    from skimage.exposure import match_histograms

    matched = image.copy()
    for channel, wanted in zip(matched, quantiles, strict=True):
        inside = _above_minimum(channel)
        channel[inside] = match_histograms(channel[inside], wanted)
    return matched


def _above_minimum(channel: np.ndarray) -> np.ndarray:
    """The voxels that are not background; all of them where the channel has one value only."""
    inside = channel > channel.min()
    return inside if inside.any() else np.ones_like(inside)
