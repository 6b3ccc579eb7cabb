"""How bright the test cases of each site are as the method reads them: recorded while they are scored, and drawn."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mdx.errors import DataError
from mdx.files import write_json
from mdx.report.drawing import FAINT, INK, SERIES, as_svg, panels_of, plain_axes, words
from mdx.runs.folders import AGAIN, read_json

FILE = "intensities.json"
BINS = 64
MOST_DRAWN, FEWEST_DRAWN, ALL_DRAWN = 8192, 256, 200_000
"""Voxels that are drawn of a case, and about how many of all cases together."""
SMOOTHING = np.array([1, 4, 6, 4, 1]) / 16
"""Of curves as they are drawn: grey levels that are whole numbers make combs."""
DASHES = ("-", "--", ":", "-.")


class Intensities:
    """Voxels drawn of each case, at the same places before and after a method changes the image.

    Voxels of an image's lowest value are left out: the background of most scans.
    """

    def __init__(self, cases: int) -> None:
        self._count = min(MOST_DRAWN, max(FEWEST_DRAWN, ALL_DRAWN // max(cases, 1)))
        self._before: dict[str, list[np.ndarray]] = {}
        self._after: dict[str, list[np.ndarray]] = {}
        self.name = ""

    def add(self, case: str, site: str, image: np.ndarray, changed: tuple[str, np.ndarray] | None) -> None:
        """Draw voxels of an image (C, *spatial): of its first channel, or of the mean of a picture's colours."""
        grey = _grey(image).ravel()
        places = np.random.default_rng(zlib.crc32(case.encode())).integers(0, grey.size, self._count)
        drawn = grey[places]
        inside = np.isfinite(drawn) & (drawn > grey.min())
        if not inside.any():
            return
        self._before.setdefault(site, []).append(drawn[inside].astype(np.float32))
        if changed is not None:
            self.name = changed[0]
            after = _grey(changed[1]).ravel()[places]
            self._after.setdefault(site, []).append(after[inside].astype(np.float32))

    def write(self, directory: Path) -> None:
        """``intensities.json``: the share of voxels in each bin of a common range, each case counting the same."""
        every = [part for of_site in (self._before, self._after) for parts in of_site.values() for part in parts]
        if not every:
            return
        low, high = (float(v) for v in np.percentile(np.concatenate(every), [0.5, 99.5]))
        high = high if high > low else low + 1.0
        write_json(directory / FILE, {
            "low": low, "high": high, "changed_to": self.name,
            "cases": {site: len(parts) for site, parts in sorted(self._before.items())},
            "before": {site: _shares(parts, low, high) for site, parts in sorted(self._before.items())},
            "after": {site: _shares(parts, low, high) for site, parts in sorted(self._after.items())},
        })  # fmt: skip


def _grey(image: np.ndarray) -> np.ndarray:
    return image.mean(axis=0) if image.ndim == 3 and len(image) == 3 else image[0]


def _shares(parts: Sequence[np.ndarray], low: float, high: float) -> list[float]:
    """(BINS,) mean over cases of the share of voxels in each bin."""
    each = [np.histogram(part, BINS, (low, high))[0] / len(part) for part in parts]
    return [round(float(share), 5) for share in np.mean(each, axis=0)]


def densities_drawn(directory: Path, roles: Mapping[str, str] | None = None) -> dict[str, Any]:
    """``picture`` (SVG) and ``cases`` by site of a method's intensities; empty where none were recorded.

    Raises DataError for a damaged file.
    """
    from markupsafe import Markup

    path = directory / FILE
    if not path.exists():
        return {}
    found = read_json(path)
    try:
        panels = {"as the method reads them": found["before"]}
        if found["after"]:
            panels[found["changed_to"] or "changed"] = found["after"]
        drawn = _draw(panels, (float(found["low"]), float(found["high"])), roles or {})
        return {"picture": Markup(drawn), "cases": dict(found["cases"]), "changed_to": str(found["changed_to"])}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"is damaged ({type(error).__name__}: {error})", AGAIN, path) from error


def _smooth(shares: Sequence[float]) -> np.ndarray:
    """(BINS,) mean over five neighbouring bins, weighted; beyond the ends the outermost bin goes on."""
    return np.convolve(np.pad(np.asarray(shares, dtype=float), 2, mode="edge"), SMOOTHING, mode="valid")


def _draw(panels: Mapping[str, Mapping[str, Any]], ends: tuple[float, float], roles: Mapping[str, str]) -> str:
    """A panel a state of the images, in it a curve a site."""
    figure, axes_of = panels_of(len(panels), width=4.3, height=2.5)
    middles = ends[0] + (np.arange(BINS) + 0.5) * (ends[1] - ends[0]) / BINS
    panels = {name: {site: _smooth(shares) for site, shares in of_site.items()} for name, of_site in panels.items()}
    most = max(max(shares) for of_site in panels.values() for shares in of_site.values())
    for axes, (name, of_site) in zip(axes_of, panels.items(), strict=True):
        for k, (site, shares) in enumerate(of_site.items()):
            role = f" ({roles[site]})" if roles.get(site) else ""
            dash = DASHES[k // len(SERIES) % len(DASHES)]
            colour = SERIES[k % len(SERIES)]
            axes.plot(middles, shares, color=colour, lw=1.6, ls=dash, label=words(site + role))
        axes.set_title(words(name), fontsize=9.5, color=INK, loc="left")
        axes.set_xlabel("intensity", fontsize=8, color=INK)
        axes.set(ylim=(0, 1.05 * most), yticks=[])
        plain_axes(axes)
        axes.spines["bottom"].set_color(FAINT)
    axes_of[0].set_ylabel("share of voxels", fontsize=8, color=INK)
    axes_of[0].legend(frameon=False, fontsize=8, labelcolor=INK, borderpad=0)
    return as_svg(figure, f"intensities of the test cases by site, {' and '.join(panels)}")
