"""Feather-Light Fourier Domain Adaptation: restyle the target slice, leave the source network alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mdx.errors import DataError, PluginError, UsageError
from mdx.interfaces.adapter import Adapter, Prediction, Reference
from mdx.interfaces.dataset import Dataset, Sample
from mdx.interfaces.model import Model
from mdx.runs.run import Run
from mdx_fda.bank import Bank, require_unit_range
from mdx_fda.config import FDAConfig
from mdx_fda.fourier import disc, square, swap_region
from mdx_fda.ranking import Donors, draw, rank_2_5d, rank_2d, rank_3d
from mdx_fda.source import build_network, fit_source
from mdx_segment.inference import predict_slices, slices_of, volume_of

Predict = Callable[[Tensor], Tensor]
WINDOWS = {"disc": disc, "square": square}


def adapt_and_predict(target: Tensor, bank: Bank, config: FDAConfig, predict: Predict) -> tuple[Tensor, Donors]:
    """The method, for any slice model: p(t) = mean over donors s of net(F^-1(mask A(s) + (1 - mask) A(t), P(t))).

    Args:
        target: (S, C, H, W) slices of one scan, in [0, 1].
        predict: the source model, slices (S, C, H, W) to probabilities (S, K, H, W).

    Returns:
        probabilities (S, K, H, W), and the donors.

    Raises DataError if the donors have other channels. Source: Zakazov et al. 2022, Sect. 3.
    """
    if target.shape[1] != bank.channels:
        raise DataError(f"has {target.shape[1]} channel(s), the donors have {bank.channels}", "give the same contrasts")
    donors = choose_donors(target, bank, config)
    height, width = target.shape[-2:]
    low = WINDOWS[config.window]((height, width), config.radius_for(height, width))
    sources = [
        bank.take(scans, slices, (height, width)).to(target.device)
        for scans, slices in zip(donors.scans.T, donors.slices.T, strict=True)
    ]
    if config.mst == "amplitudes":
        restyled = [swap_region(torch.stack(sources), target, low, config.postprocess)]
    else:
        restyled = [swap_region(source[None], target, low, config.postprocess) for source in sources]
    predictions = [predict(slices) for slices in restyled]
    return torch.stack(predictions).mean(dim=0), donors


def choose_donors(target: Tensor, bank: Bank, config: FDAConfig) -> Donors:
    """The donors of slices (S, C, H, W), ``n_mst`` each, fewer if the bank is smaller."""
    on_cpu = target.cpu()
    match config.donors:
        case "3d":
            return rank_3d(on_cpu, bank, config.n_mst)
        case "2d":
            return rank_2d(on_cpu, bank, config.n_mst)
        case "2.5d":
            return rank_2_5d(on_cpu, bank, config.n_mst, config.half_range)
        case "random":
            return draw(on_cpu, bank, config.n_mst, config.donor_seed)


class FDA(Adapter[FDAConfig]):
    """Train on the source, keep source scans as donors, restyle every target scan when it is predicted."""

    def __init__(self, config: FDAConfig) -> None:
        super().__init__(config)
        self.needs_data = config.bank == "reference"
        self.donor_ids: list[str] = []
        self.bank: Bank | None = None  # made by fit, restore or attach

    def build(self, data: Dataset) -> Model:
        """The source network."""
        return build_network(data, self.config)

    def fit(self, data: Dataset, model: Model, run: Run) -> None:
        """Train the source network; nothing is trained on the target."""
        fit_source(data, model, run, self.config)
        # filled after training: every checkpoint of an epoch would carry it
        source = data.where(role="source", split="train")
        self.bank = Bank.of(source, source.cases)
        self.donor_ids = self.bank.ids
        for sentence in self._facts(data, self.bank):
            run.note(sentence)

    def apply(self, sample: Sample, model: Model, reference: Reference | None = None) -> Prediction:
        """Probabilities of the restyled scan; ``details`` names the donors. Donors come from the bank alone."""
        if reference is not None:
            raise UsageError("fda takes its donors from the bank of the run", "leave the reference out")
        if self.bank is None:
            raise PluginError("there is no donor bank", "fit the method, or load a finished run", sample.case.id)
        require_unit_range(sample.image, sample.case.id)
        device = next(model.network.parameters()).device
        target = slices_of(sample.image.to(device))
        network = partial(predict_slices, model.network, batch_size=self.config.batch_size)
        probabilities, donors = adapt_and_predict(target, self.bank, self.config, network)
        return Prediction(
            geometry=sample.geometry,
            segmentation=volume_of(probabilities, sample.image).numpy(),
            details=donors.described(self.bank),
        )

    def state(self) -> dict[str, Any]:
        """The donors: their images, or with ``bank=reference`` only their names."""
        embedded = self.bank is not None and self.config.bank == "embed"
        return {"donors": self.donor_ids, "scans": self.bank.scans if embedded and self.bank else []}

    def restore(self, state: Mapping[str, Any], model: Model) -> None:
        """Take back the donors; with ``bank=reference`` they arrive by ``attach``."""
        self.donor_ids = list(state["donors"])
        self.bank = Bank(self.donor_ids, state["scans"]) if state["scans"] else None

    def attach(self, data: Dataset) -> None:
        """Read the donors again. Raises DataError if one of them is not in ``data`` any more."""
        by_id = {case.id: case for case in data.cases}
        missing = [name for name in self.donor_ids if name not in by_id]
        if missing:
            raise DataError(
                f"{len(missing)} donor(s) of the run are not in its table any more: {', '.join(missing[:3])}",
                "restore the source data, or train with --set bank=embed",
            )
        self.bank = Bank.of(data, [by_id[name] for name in self.donor_ids])

    def _facts(self, data: Dataset, bank: Bank) -> Iterator[str]:
        """What the reader of the report should know of this run's donors."""
        if self.config.bank == "embed":
            yield (
                f"The run holds the images of {len(bank)} source scans as donors (bank=embed): treat it as patient "
                "data. With bank=reference it holds their names, and needs the source data to be applied."
            )
        if len(bank) < self.config.n_mst:
            yield f"The bank has {len(bank)} scans, fewer than the {self.config.n_mst} donors that were asked for."
        targets = data.where(role="target", split=["train", "val"])
        shapes = {tuple(s.shape) for s in bank.scans} | {
            tuple(slices_of(data.load(case).image).shape) for case in targets.cases
        }
        if len({(s[0], *s[2:]) for s in shapes}) > 1:
            yield (
                "The scans differ in shape, so they are not registered to one template as the paper asks: slices are "
                "paired by their relative position, and donor slices resized to the target's."
            )
        height, width = bank.scans[0].shape[-2:]
        count = int(WINDOWS[self.config.window]((height, width), self.config.radius_for(height, width)).sum())
        yield f"On slices of {height} x {width} pixels the swap replaces {count} of {height * width} amplitudes."
