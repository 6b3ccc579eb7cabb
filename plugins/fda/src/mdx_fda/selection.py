"""Choosing how much of the spectrum is swapped, on labelled validation cases of the target (Zakazov et al. 2022).

A curve is the mean surface Dice of a target site's validation cases against the radius of the swap. ``per_pair`` takes
the best radius of each site's own curve, ``averaged`` that of the mean curve of all target sites of the run. A radius
of 0, a hidden "no adaptation", is measured and shown, but never chosen. Test cases take no part.
"""

from __future__ import annotations

import torch
from torch import nn

from mdx import Dataset, Prediction, Run
from mdx.errors import ConfigError, DataError, HiddenLabelError
from mdx.metrics import SegmentationEvaluator
from mdx_fda.bank import Bank, require_unit_range
from mdx_fda.config import FDAConfig
from mdx_fda.curves import Curves
from mdx_fda.restyling import choose_donors, predict_restyled, region_for
from mdx_segment.inference import device_of, predict_slices, slices_of, volume_of

METRIC = "surface_dice"


def check_selection(data: Dataset, config: FDAConfig) -> None:
    """Raises what ``validation_cases`` raises, and ConfigError where all of the grid would swap the same amplitudes."""
    labelled = validation_cases(data, config.beta_selection)
    setting, grid = config.grid
    slices = slices_of(data.load(labelled.cases[0]).image)
    regions = {region_for(slices, config.with_radius(setting, value)).numpy().tobytes() for value in grid if value > 0}
    if len(regions) == 1:
        height, width = slices.shape[-2:]
        raise ConfigError(
            f"all of {', '.join(f'{v:g}' for v in grid if v > 0)} swap the same amplitudes on slices of {height} x "
            f"{width} pixels, so there is nothing to choose",
            "give radii in pixels of the spectrum, such as --set radius_grid=0,0.9,1.8,2.7,3.6",
            f"{setting} grid",
        )


def validation_cases(data: Dataset, rule: str) -> Dataset:
    """The labelled validation cases of the target sites of ``data``, as ``fit`` sees it.

    Raises DataError naming every target site without one, HiddenLabelError where the variant may not read them.
    """
    targets = data.where(role="target")
    sites = sorted({case.site for case in targets.cases})
    val = targets.where(split="val")
    labelled, withheld = val.labelled, val.withheld
    lacking = [site for site in sites if site not in {case.site for case in (*labelled.cases, *withheld.cases)}]
    if lacking or not sites:
        raise DataError(
            f"beta_selection={rule} needs labelled validation cases of each target site, "
            + (f"{', '.join(lacking)} has none" if lacking else "there is no target site"),
            "give the table masks and a 'val' split there, raise data.val_fraction, or set beta yourself with "
            "--set beta_selection=none beta=...",
        )
    if len(withheld):
        raise HiddenLabelError(
            f"beta_selection={rule} reads labels of the target's validation cases, which this variant does not declare",
            "use a variant that does, such as --variant srsim_mst_pair, or --set beta_selection=none",
        )
    return labelled


@torch.no_grad()
def measure(data: Dataset, network: nn.Module, bank: Bank, run: Run, config: FDAConfig) -> Curves:
    """The curves of every target site of ``data`` over the grid of ``config``.

    The donors of a scan do not depend on the radius and are ranked once; radii that select the same amplitudes of a
    slice are predicted once.
    """
    labelled = validation_cases(data, config.beta_selection)
    setting, grid = config.grid
    evaluator = SegmentationEvaluator(data.task, run.settings.tolerance_mm)
    network.eval()
    found: dict[str, list[list[float]]] = {}

    def predict(slices: torch.Tensor) -> torch.Tensor:
        return predict_slices(network, slices, config.batch_size)

    full = torch.autocast(device_of(network).type, enabled=False)  # a run is applied in full precision, too
    for case in run.progress(labelled.cases, "choosing beta: validation case"):
        with full:
            sample = data.load(case)
            require_unit_range(sample.image, case.id)
            target = slices_of(sample.image.to(device_of(network)))
            donors = choose_donors(target, bank, config)
            known: dict[bytes, float] = {}
            scores = []
            for value in grid:
                region = region_for(target, config.with_radius(setting, value))
                key = region.numpy().tobytes()
                if key not in known:
                    made = predict_restyled(target, bank, donors, region, config, predict)
                    prediction = Prediction(sample.geometry, segmentation=volume_of(made, sample.image).numpy())
                    known[key] = float(evaluator.per_case(prediction, sample)[METRIC])
                scores.append(known[key])
            found.setdefault(case.site, []).append(scores)
    return Curves(
        setting,
        grid,
        config.beta_selection,
        {site: [sum(v) / len(v) for v in zip(*rows, strict=True)] for site, rows in sorted(found.items())},
        {site: len(rows) for site, rows in sorted(found.items())},
    )
