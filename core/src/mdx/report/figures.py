"""Drawings of a run: training curves, scores by site, the change of each case, predictions and features.

Figures are made with matplotlib's object interface, so that nothing is shown or kept globally.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mdx.evaluation.statistics import goodness
from mdx.report.curve_names import PARTS, curve_words
from mdx.report.drawing import ACROSS, FAINT, GRID, INK, OWN, SERIES, as_svg, panels_of, plain_axes, words

MOST_SHAPES = 500
"""Lines or dots of a drawing; more of them are drawn as pixels, or the page of a large cohort grows by megabytes."""
UP, DOWN = "#009e73", "#d55e00"


def curves(rows: Sequence[Mapping[str, Any]], own: Mapping[str, str] | None = None) -> str:
    """One panel a stage and metric of metrics.jsonl (train and val together), as SVG; empty if there is nothing.

    Args:
        own: the plugin's words for what it logs.
    """
    from matplotlib.ticker import MaxNLocator

    series: dict[tuple[str, str], dict[str, list[tuple[int, float]]]] = {}
    for row in rows:
        if "epoch" not in row or row.get("stage") is None:
            continue
        for key, value in row.items():
            if "/" in key and isinstance(value, int | float):
                part, _, metric = key.partition("/")
                series.setdefault((row["stage"], metric), {}).setdefault(part, []).append((row["epoch"] + 1, value))
    if not series:
        return ""
    figure, panels = panels_of(len(series), width=2.7, height=2.2)
    for axes, ((stage, metric), parts) in zip(panels, series.items(), strict=True):
        for j, (part, points) in enumerate(parts.items()):
            x, y = zip(*points, strict=True)
            colour = {"train": FAINT, "val": OWN}.get(part, SERIES[j % len(SERIES)])
            axes.plot(x, y, color=colour, marker="o" if len(x) < 20 else None, markersize=3, lw=1.4,
                      label=words(PARTS.get(part, part)))  # fmt: skip
        axes.set_title(words(f"{stage}: {curve_words(metric, own or {})}"), fontsize=9, color=INK, loc="left")
        axes.set_xlabel("epoch", fontsize=8, color=INK)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        if len({epoch for points in parts.values() for epoch, _ in points}) == 1:
            axes.margins(x=20)  # one epoch: whole numbers around it, not fractions of an epoch
        axes.grid(axis="y", color=GRID, lw=0.7)
        axes.legend(frameon=False, fontsize=8, labelcolor=INK)
        plain_axes(axes)
    return as_svg(figure, "training curves")


def site_scores(
    metric: str, sites: Sequence[str], methods: Sequence[tuple[str, Sequence[Mapping[str, Any] | None]]]
) -> str:
    """A panel a site: mean (dot) and interval (line) of each method, the run's own method in colour, as SVG."""
    shown = [v for _, rows in methods for r in rows if r for v in (r["mean"], r["low"], r["high"]) if v is not None]
    if not shown:
        return ""
    margin = 0.06 * (max(shown) - min(shown)) + 0.005
    figure, panels = panels_of(len(sites), width=2.3, height=0.75 + 0.22 * len(methods))
    for s, (axes, site) in enumerate(zip(panels, sites, strict=True)):
        for y, (_, rows) in enumerate(methods):
            row, colour = rows[s], INK if y else OWN
            if row is None or row["mean"] is None:
                continue
            if row["low"] is not None:
                axes.plot([row["low"], row["high"]], [y, y], color=colour, lw=1.6 if y else 2.4)
            axes.plot(row["mean"], y, "o", color=colour, ms=4.5 if y else 6.5)
        axes.set_title(words(site), fontsize=9.5, color=INK, loc="left")
        axes.set_xlim(min(shown) - margin, max(shown) + margin)
        axes.set_ylim(len(methods) - 0.4, -0.6)
        axes.set_yticks(range(len(methods)), [words(name) for name, _ in methods] if s % ACROSS == 0 else [])
        axes.set_xlabel(metric.replace("_", " "), fontsize=8, color=INK)
        axes.grid(axis="x", color=GRID, lw=0.7)
        plain_axes(axes)
    return as_svg(figure, f"{metric} by site and method")


def changes(
    metric: str, better: str, pairs: Mapping[str, Sequence[tuple[float, float]]], before: str, after: str
) -> str:
    """A panel a site: a line for each case from its score before to that after, as SVG."""
    figure, panels = panels_of(len(pairs), width=2.1, height=2.5)
    values = [v for pair in pairs.values() for both in pair for v in both]
    margin = 0.06 * (max(values) - min(values)) + 0.005
    many = sum(map(len, pairs.values())) > MOST_SHAPES
    for axes, (site, scores) in zip(panels, pairs.items(), strict=True):
        gains = [goodness(b, better) - goodness(a, better) for a, b in scores]
        for colour, sign in ((FAINT, 0), (UP, 1), (DOWN, -1)):
            lines = [pair for pair, gain in zip(scores, gains, strict=True) if np.sign(gain) == sign]
            _draw_lines(axes, lines, colour, pixels=many and sign != 0)  # pixels have no colour of the page
        axes.set_xticks([0, 1], [words(before), words(after)])
        axes.set_xlim(-0.3, 1.3)
        axes.set_ylim(min(values) - margin, max(values) + margin)
        axes.set_title(words(site), fontsize=9.5, color=INK, loc="left")
        axes.grid(axis="y", color=GRID, lw=0.7)
        axes.set_ylabel(metric.replace("_", " "), fontsize=8, color=INK)
        plain_axes(axes)
    return as_svg(figure, f"{metric} of each case with {before} and with {after}")


def _draw_lines(axes: Any, pairs: Sequence[tuple[float, float]], colour: str, pixels: bool) -> None:
    """A line for each pair from 0 to 1 on the x axis, as shapes with dots at their ends, or as pixels."""
    from matplotlib.collections import LineCollection

    if not pairs:
        return
    segments = [[(0, a), (1, b)] for a, b in pairs]
    axes.add_collection(LineCollection(segments, colors=colour, linewidths=0.5 if pixels else 1.2, rasterized=pixels))
    if not pixels:
        ends = np.array(segments).reshape(-1, 2)
        axes.scatter(*ends.T, s=12, color=colour, lw=0, zorder=2)


def reliability(methods: Mapping[str, tuple[np.ndarray, np.ndarray]], bins: int = 10) -> str:
    """A panel a method: share of cases classified rightly against confidence, as SVG; dots grow with their cases.

    Args:
        methods: name -> (n,) confidence of the predicted class, and (n,) whether it was right.
    """
    figure, axes_of = panels_of(len(methods), width=2.1, height=2.3)
    for axes, (name, (confidence, right)) in zip(axes_of, methods.items(), strict=True):
        index = np.minimum((confidence * bins).astype(int), bins - 1)
        filled = np.unique(index)
        x = [confidence[index == b].mean() for b in filled]
        y = [right[index == b].mean() for b in filled]
        share = np.array([(index == b).mean() for b in filled])
        axes.plot([0, 1], [0, 1], color=GRID, lw=1)
        axes.scatter(x, y, s=12 + 150 * share, color=INK if name != next(iter(methods)) else OWN, lw=0)
        axes.set(xlim=(0, 1.03), ylim=(-0.03, 1.03))
        axes.set_title(words(name), fontsize=9.5, color=INK, loc="left")
        axes.set_xlabel("confidence", fontsize=8, color=INK)
        axes.set_ylabel("share right", fontsize=8, color=INK)
        plain_axes(axes)
    return as_svg(figure, "share of cases classified rightly against confidence")


def predicted_against_true(methods: Mapping[str, Any], label: str) -> str:
    """A panel a method: predicted against true number of each test case, coloured by site, as SVG.

    Args:
        methods: name -> rows of scores.csv, with ``truth``, ``predicted`` and ``site``.
    """
    figure, axes_of = panels_of(len(methods), width=2.4, height=2.5)
    every = np.concatenate([rows[["truth", "predicted"]].to_numpy().ravel() for rows in methods.values()])
    ends, many = (every.min(), every.max()), len(every) > MOST_SHAPES
    for axes, (name, rows) in zip(axes_of, methods.items(), strict=True):
        axes.plot(ends, ends, color=GRID, lw=1)
        for k, (site, part) in enumerate(rows.groupby("site", sort=True)):
            axes.scatter(
                part["truth"], part["predicted"], s=10, lw=0, color=SERIES[k % len(SERIES)], label=words(site),
                rasterized=many,
            )  # fmt: skip
        axes.set_title(words(name), fontsize=9.5, color=INK, loc="left")
        axes.set_xlabel(f"true {label}", fontsize=8, color=INK)
        axes.set_ylabel("predicted", fontsize=8, color=INK)
        plain_axes(axes)
    axes_of[0].legend(frameon=False, fontsize=8, labelcolor=INK, handletextpad=0.1, borderpad=0)
    return as_svg(figure, f"predicted against true {label}")


def embeddings(methods: Mapping[str, Mapping[str, np.ndarray]], label: str) -> str:
    """Two panels a method: the plane of its features (t-SNE), coloured by label and by site, as SVG.

    Args:
        methods: name -> the arrays of embeddings.npz.
    """
    figure, axes_of = panels_of(2 * len(methods), width=2.3, height=2.5)
    for m, (name, found) in enumerate(methods.items()):
        shown = np.isfinite(found["plane"]).all(axis=1)
        plane = found["plane"][shown]
        many = len(plane) > MOST_SHAPES
        for axes, what, key in zip(axes_of[2 * m :], (label, "site"), ("label", "site"), strict=False):
            values = found[key][shown]
            names = np.unique(values)
            if len(names) > len(SERIES) + 4 and key == "label":  # a number
                axes.scatter(*plane.T, s=9, lw=0, c=values.astype(float), cmap="viridis", rasterized=many)
            else:
                for k, one in enumerate(names):
                    chosen = plane[values == one]
                    marker = "osD^"[k // len(SERIES) % 4]
                    axes.scatter(
                        *chosen.T, s=9, lw=0, color=SERIES[k % len(SERIES)], marker=marker, label=words(one),
                        rasterized=many,
                    )  # fmt: skip
                axes.legend(frameon=False, fontsize=7.5, labelcolor=INK, handletextpad=0, borderpad=0)
            axes.set_title(words(f"{name}: {what}"), fontsize=9.5, color=INK, loc="left")
            axes.set(xticks=[], yticks=[])
            plain_axes(axes)
    return as_svg(figure, f"features in the plane, by {label} and by site")


def panels(
    x: Sequence[float], series: Mapping[str, Sequence[float | None]], chosen: Mapping[str, float], x_name: str,
    y_name: str, label: str,
) -> str:  # fmt: skip
    """A panel a series: its values over ``x``, the chosen one of them in colour, as SVG."""
    figure, axes_of = panels_of(len(series), width=2.5, height=2.2)
    for axes, (name, values) in zip(axes_of, series.items(), strict=True):
        found = [(at, value) for at, value in zip(x, values, strict=True) if value is not None]
        axes.plot([at for at, _ in found], [value for _, value in found], color=FAINT, lw=1.4)
        for at, value in found if len(found) < 20 or name in chosen else ():
            own = at == chosen.get(name)
            axes.plot(at, value, "o", color=OWN if own else FAINT, ms=7 if own else 3.5)
        axes.set_title(words(name), fontsize=9.5, color=INK, loc="left")
        axes.set_xlabel(words(x_name), fontsize=8, color=INK)
        axes.set_ylabel(words(y_name), fontsize=8, color=INK)
        axes.grid(axis="y", color=GRID, lw=0.7)
        plain_axes(axes)
    return as_svg(figure, label)
