"""Feather-Light Fourier Domain Adaptation: restyle the target slice, leave the source network alone."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from mdx import Adapter, Dataset, Model, Prediction, Reference, Run, Sample, Task
from mdx.errors import DataError, PluginError, UsageError
from mdx_fda.bank import Bank, require_unit_range
from mdx_fda.config import FDAConfig
from mdx_fda.curves import ARTIFACT, Curves
from mdx_fda.notes import notes
from mdx_fda.restyling import adapt_and_predict
from mdx_fda.selection import check_selection, measure
from mdx_fda.source import build_network, fit_source
from mdx_segment.inference import device_of, predict_slices, slices_of, volume_of


class FDA(Adapter[FDAConfig]):
    """Train on the source, keep source scans as donors, restyle every target scan when it is predicted."""

    def __init__(self, config: FDAConfig) -> None:
        super().__init__(config)
        self.needs_data = config.bank == "reference"
        self.donor_ids: list[str] = []
        self.bank: Bank | None = None  # made by fit, restore or attach
        self.curves: Curves | None = None  # made by fit where beta is selected

    def build(self, task: Task) -> Model:
        """The source network."""
        return build_network(task, self.config, self.own_network)

    def fit(self, data: Dataset, model: Model, run: Run) -> None:
        """Train the source network; nothing is trained on the target, whose val cases may choose beta."""
        selects = self.config.beta_selection != "none"
        if selects:  # what is missing is said before hours of training
            check_selection(data, self.config)
        fit_source(data, model, run, self.config, self.own_network)
        # filled after training: every checkpoint of an epoch would carry it
        source = data.where(role="source", split="train")
        self.bank = Bank.of(source, source.cases)
        self.donor_ids = self.bank.ids
        if selects:
            self.curves = measure(data, model.network, self.bank, run, self.config)
            run.artifact(ARTIFACT, self.curves.plain())
            self.curves.show(run)
        for sentence in notes(data, self.bank, self.config, self.curves):
            run.note(sentence)

    def apply(self, sample: Sample, model: Model, reference: Reference | None = None) -> Prediction:
        """Probabilities of the restyled scan; ``details`` names the donors, which come from the bank alone.

        Where each site has a beta of its own, ``reference`` may name the site of a file that has none.
        """
        if self.bank is None:
            raise PluginError("there is no donor bank", "fit the method, or load a finished run", sample.case.id)
        require_unit_range(sample.image, sample.case.id)
        config = self._config_for(sample, reference)
        target = slices_of(sample.image.to(device_of(model.network)))
        network = partial(predict_slices, model.network, batch_size=config.batch_size)
        probabilities, donors, restyled = adapt_and_predict(target, self.bank, config, network)
        chosen = {} if self.curves is None else {self.curves.setting: getattr(config, self.curves.setting)}
        return Prediction(
            geometry=sample.geometry,
            segmentation=volume_of(probabilities, sample.image).numpy(),
            shown={"restyled": volume_of(restyled, sample.image).cpu().numpy()},
            details=donors.described(self.bank) | chosen,
        )

    def _config_for(self, sample: Sample, reference: Reference | None) -> FDAConfig:
        """The settings for a scan, with the radius that was chosen for its site."""
        by_site = self.curves is not None and self.curves.rule == "per_pair"
        if reference is not None and reference.sample is not None:
            raise UsageError(
                "fda takes its donors from the bank of the run, not from an image", "leave the reference's sample out"
            )
        if self.curves is None:
            return self.config
        site = (reference.site if reference else None) or sample.case.site
        if by_site and not site:
            if len(self.curves.sites) > 1:
                known = " or ".join(self.curves.sites)
                raise DataError("each site of this run has its own beta", f"say which: --site {known}", sample.case.id)
            (site,) = self.curves.sites
        return self.config.with_radius(self.curves.setting, self.curves.chosen(site))

    def state(self) -> dict[str, Any]:
        """The donors: their images, or with ``bank=reference`` only their names."""
        embedded = self.bank is not None and self.config.bank == "embed"
        return {
            "donors": self.donor_ids,
            "scans": self.bank.scans if embedded and self.bank else [],
            "curves": self.curves.plain() if self.curves else None,
        }

    def restore(self, state: Mapping[str, Any], model: Model) -> None:
        """Take back the donors; with ``bank=reference`` they arrive by ``attach``."""
        self.donor_ids = list(state["donors"])
        self.bank = Bank(self.donor_ids, state["scans"]) if state["scans"] else None
        self.curves = Curves.of(state["curves"]) if state["curves"] else None

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
