"""What the reader of a report should know of a run's donors, and of how much of a slice they replace."""

from __future__ import annotations

from collections.abc import Iterator

from mdx import Dataset
from mdx_fda.bank import Bank
from mdx_fda.config import FDAConfig
from mdx_fda.curves import Curves
from mdx_fda.restyling import region_for
from mdx_segment.inference import slices_of


def notes(data: Dataset, bank: Bank, config: FDAConfig, curves: Curves | None) -> Iterator[str]:
    """What the reader of the report should know of this run's donors."""
    if config.bank == "embed":
        yield (
            f"The run holds the images of {len(bank)} source scans as donors (bank=embed): treat it as patient "
            "data. With bank=reference it holds their names, and needs the source data to be applied."
        )
    if len(bank) <= config.n_mst and config.donors != "2.5d":
        yield (
            f"The bank has {len(bank)} scans, no more than the {config.n_mst} donors that were asked for: all "
            "of them serve every slice, and how donors are chosen makes no difference."
        )
    targets = data.where(role="target", split=["train", "val"])
    shapes = {tuple(s.shape) for s in bank.scans} | {
        tuple(slices_of(data.load(case).image).shape) for case in targets.cases
    }
    if len({(s[0], *s[2:]) for s in shapes}) > 1:
        yield (
            "The scans differ in shape, so they are not registered to one template as the paper asks: slices are "
            "paired by their relative position, and donor slices resized to the target's."
        )
    size = f"{bank.scans[0].shape[-2]} x {bank.scans[0].shape[-1]} pixels"
    if curves is None:
        yield f"On slices of {size} the swap replaces {_swapped(bank, config)} amplitudes."
        return
    for sites in [[site] for site in curves.sites] if curves.rule == "per_pair" else [list(curves.sites)]:
        value = curves.chosen(sites[0])
        count = _swapped(bank, config.with_radius(curves.setting, value))
        largest = " It is the largest that was tried." if value == curves.grid[-1] else ""
        yield (
            f"For {', '.join(sites)} the labels of {sum(curves.cases[site] for site in sites)} validation cases "
            f"chose {curves.setting} = {value:g} ({curves.rule}), which on slices of {size} replaces {count} "
            f"amplitudes.{largest}"
        )


def _swapped(bank: Bank, config: FDAConfig) -> str:
    """How many amplitudes of a donor's slice are taken, of how many."""
    region = region_for(bank.scans[0], config)
    return f"{int(region.sum())} of {region.numel()}"
