"""Feather-Light Fourier Domain Adaptation: restyle the target's slices, leave the source network as it is.

Zakazov, Shaposhnikov, Bespalov, Dylov. Feather-Light Fourier Domain Adaptation in Magnetic Resonance Imaging. DART 2022.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mdx.interfaces.adapter import Adapter, Prediction, Reference
from mdx.interfaces.dataset import Dataset, Sample
from mdx.interfaces.model import Model
from mdx.runs.run import Run
from mdx_fda.bank import DonorBank
from mdx_fda.config import FDAConfig
from mdx_fda.fourier import swap_amplitude, swap_mean_amplitude
from mdx_fda.ranking import random_donors, similar_donors_2_5d, similar_donors_2d, similar_donors_3d
from mdx_fda.source import build_network, fit_source
from mdx_segment.inference import predict_slices, slices_of, volume_of


class FDA(Adapter[FDAConfig]):
    """p(t) = 1/n sum_i network(swap(s_i, t)) over the n donors s_i of each target slice t."""

    def __init__(self, config: FDAConfig) -> None:
        super().__init__(config)
        self.needs_data = config.bank == "reference"
        self.case_ids: list[str] = []
        self.bank: DonorBank | None = None

    def build(self, data: Dataset) -> Model:
        """The source network."""
        return build_network(data, self.config)

    def fit(self, data: Dataset, model: Model, run: Run) -> None:
        """Train on the source, then keep its scans as donors; nothing of the target is used."""
        fit_source(data, model, run, self.config)
        donors = data.where(role="source", split="train")
        self.case_ids = [case.id for case in donors.cases]
        self.attach(donors)
        assert self.bank is not None  # attach made it
        self._tell(run)

    def attach(self, data: Dataset) -> None:
        """Load the donors' images."""
        by_id = {case.id: case for case in data.cases}
        self.bank = DonorBank([data.load(by_id[i]).image for i in self.case_ids], self.case_ids)

    def apply(self, sample: Sample, model: Model, reference: Reference | None = None) -> Prediction:
        """Restyle each slice with each of its donors, and average the network's probabilities."""
        assert self.bank is not None  # fit, restore or attach came before
        slices = slices_of(sample.image)
        donors = self.choose(slices)
        if self.config.mst == "amplitudes":
            probabilities = predict_slices(model.network, self.restyled(slices, donors), self.config.batch_size)
        else:
            each = [
                predict_slices(model.network, self.restyled(slices, donors[:, i : i + 1]), self.config.batch_size)
                for i in range(donors.shape[1])
            ]
            probabilities = torch.stack(each).mean(dim=0)
        segmentation = volume_of(probabilities, sample.image).numpy()
        return Prediction(sample.geometry, segmentation=segmentation, details={"donors": self._names(donors)})

    def choose(self, slices: Tensor) -> Tensor:
        """(S, n, 2) the scan and slice of each donor of each slice (S, C, H, W)."""
        assert self.bank is not None
        c = self.config
        if c.donors == "random":
            return random_donors(self.bank, len(slices), c.n_mst, c.donor_seed)
        if c.donors == "2.5d":
            return similar_donors_2_5d(self.bank, slices, c.n_mst, c.neighbours)
        return (similar_donors_3d if c.donors == "3d" else similar_donors_2d)(self.bank, slices, c.n_mst)

    def restyled(self, slices: Tensor, donors: Tensor) -> Tensor:
        """Slices (S, C, H, W) with the amplitudes of their donors (S, n, 2); of the mean amplitude, if n > 1."""
        assert self.bank is not None
        height, width = slices.shape[-2:]
        beta = self.config.beta_for(height, width)
        sources = torch.stack([self.bank.gather(d, height, width) for d in donors.unbind(dim=1)])
        if len(sources) == 1:
            return swap_amplitude(sources[0], slices, beta, self.config.postprocess)
        return swap_mean_amplitude(sources, slices, beta, self.config.postprocess)

    def _names(self, donors: Tensor) -> list[list[str]] | list[str]:
        """The donors' case ids: one list if they serve every slice, else a list a slice."""
        names = [[self.case_ids[s] for s in row] for row in donors[..., 0].tolist()]
        return names[0] if all(row == names[0] for row in names) else names

    def _tell(self, run: Run) -> None:
        assert self.bank is not None
        if self.config.bank == "embed":
            run.note(f"The run holds the images of {len(self.bank)} source scans as donors (bank=embed).")
        else:
            run.note("The donors are looked up in the run's own data at each use (bank=reference).")
        if not self.bank.corresponds:
            run.note(
                "The scans differ in shape, so they are not registered: slices are paired by relative position and donors "
                "are centred on the target's frame. The paper assumes registered scans."
            )
        if min(self.bank.slices[0].shape[-2:]) < 64 and self.config.donors != "random":
            run.note("Slices below 64 pixels are padded with their minimum before donors are compared (SR-SIM).")
        if self.config.n_mst > len(self.bank):
            run.note(f"{self.config.n_mst} donors were asked for, the bank has {len(self.bank)}.")

    def state(self) -> dict[str, Any]:
        """The donors' ids, and their images unless they are only referred to."""
        embedded = self.bank is not None and self.config.bank == "embed"
        return {"case_ids": self.case_ids, "images": self.bank.images if embedded and self.bank else []}

    def restore(self, state: Mapping[str, Any], model: Model) -> None:
        """Take back the bank."""
        self.case_ids = list(state["case_ids"])
        self.bank = DonorBank(state["images"], self.case_ids) if state["images"] else None
