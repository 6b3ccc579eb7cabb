"""Surface Dice against how much of the spectrum is swapped, and which amount it chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mdx import Run

ARTIFACT = "beta_curves"
"""The name under which a run keeps its curves."""

HOW = {
    "per_pair": "Each site has the best value of its own curve; other sites, the source's scans among them, have that "
    "of the mean curve.",
    "averaged": "All scans have the best value of the mean curve.",
}


@dataclass(frozen=True)
class Curves:
    """Surface Dice against the radius of the swap, for each target site.

    Attributes:
        setting: what the grid is in: ``beta``, a share of the shorter edge, or ``radius_px``.
        grid: the radii, ascending.
        sites: for each target site the mean score over its validation cases at each radius.
        cases: how many validation cases each site had.
        rule: ``per_pair`` or ``averaged``.
    """

    setting: str
    grid: tuple[float, ...]
    rule: str
    sites: Mapping[str, Sequence[float]] = field(default_factory=dict)
    cases: Mapping[str, int] = field(default_factory=dict)

    @property
    def mean(self) -> list[float]:
        """The mean curve; every site has the same weight."""
        return [sum(values) / len(values) for values in zip(*self.sites.values(), strict=True)]

    def chosen(self, site: str | None) -> float:
        """The radius for a scan of ``site``; that of the mean curve for sites that have none, as the source's own."""
        own = self.rule == "per_pair" and site in self.sites
        return best_of(self.grid, self.sites[site] if own and site else self.mean)

    def show(self, run: Run) -> None:
        """Have the report show the curves, with the radius that each chooses."""
        named: dict[str, tuple[str | None, Sequence[float]]] = {
            f"{site} (n = {self.cases[site]})": (site, values) for site, values in self.sites.items()
        }
        if len(named) > 1:
            named["mean of sites"] = (None, self.mean)
        run.curve(
            "How beta was chosen",
            self.grid,
            {name: values for name, (_, values) in named.items()},
            x_name=self.setting.replace("_", " "),
            y_name="surface Dice",
            chosen={name: self.chosen(site) for name, (site, _) in named.items()},
            text="Mean surface Dice of the labelled validation cases, of which none is a test case. "
            f"{HOW[self.rule]} 0 is shown and never chosen.",
        )

    def plain(self) -> dict[str, Any]:
        """Everything as JSON values; ``Curves.of`` is the reverse."""
        return {
            "setting": self.setting, "grid": list(self.grid), "rule": self.rule, "cases": dict(self.cases),
            "sites": {site: list(values) for site, values in self.sites.items()},
        }  # fmt: skip

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Curves:
        """The curves that ``plain`` describes."""
        return cls(plain["setting"], tuple(plain["grid"]), plain["rule"], plain["sites"], plain["cases"])


def best_of(grid: Sequence[float], scores: Sequence[float]) -> float:
    """The radius with the highest score, 0 excepted even if it is best; of equal ones the smallest."""
    return max(((score, -radius) for radius, score in zip(grid, scores, strict=True) if radius > 0))[1] * -1
