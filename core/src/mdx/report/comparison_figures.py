"""Drawings of a comparison: differences with intervals, methods by site, and each subject from method to method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mdx.report.comparison_text import score_words, told
from mdx.report.drawing import FAINT, GRID, INK, OWN, as_svg, panels_of, plain_axes, words
from mdx.report.figures import site_scores

MOST_LINES = 40
"""Pairs in the drawing of differences; the table has all."""
MOST_METHODS = 8


def forest(metric: Mapping[str, Any]) -> str:
    """Differences of the leading group with their intervals, one line a pair, as SVG."""
    pairs = [p for p in metric["groups"][0]["pairs"] if p["difference"] is not None][:MOST_LINES]
    if not pairs:
        return ""
    figure, (axes,) = panels_of(1, width=6.4, height=0.8 + 0.26 * len(pairs))
    axes.axvline(0, color=FAINT, lw=1)
    for y, p in enumerate(pairs):
        colour = OWN if told(p) else FAINT
        if p["low"] is not None:
            axes.plot([p["low"], p["high"]], [y, y], color=colour, lw=2.2 if told(p) else 1.6)
        axes.plot(p["difference"], y, "o", color=colour, ms=5.5, mfc=colour if told(p) else "none")
    axes.set_yticks(range(len(pairs)), [words(f"{p['a']} - {p['b']}") for p in pairs])
    axes.set_ylim(len(pairs) - 0.4, -0.6)
    axes.set_xlabel(f"difference of the {score_words(metric)}", fontsize=8, color=INK)
    axes.grid(axis="x", color=GRID, lw=0.7)
    plain_axes(axes)
    return as_svg(figure, "differences between methods, with intervals")


def by_site(metric: Mapping[str, Any]) -> str:
    """A panel a site: mean and interval of each method, as SVG."""
    sites = [g for g in metric["groups"] if g["group"].startswith("site=")]
    names = [m["method"] for m in metric["groups"][0]["methods"]]
    rows = [(n, [next(m for m in g["methods"] if m["method"] == n) for g in sites]) for n in names]
    return site_scores(score_words(metric), [g["group"].removeprefix("site=") for g in sites], rows)


def by_subject(metric: Mapping[str, Any]) -> str:
    """Each subject's score from method to method (thin), and the mean of all (thick), as SVG; best method first."""
    group = metric["groups"][0]
    sign = -1 if metric["better"] == "max" else 1
    order = sorted((m for m in group["methods"] if m["mean"] is not None), key=lambda m: sign * m["mean"])[
        :MOST_METHODS
    ]
    if len(order) < 2 or len(metric["subjects"]) < 2:
        return ""
    names = [m["method"] for m in order]
    thin = max(0.15, min(0.8, 12 / len(metric["subjects"])))
    figure, (axes,) = panels_of(1, width=max(3.0, 1.15 * len(names)), height=3.0)
    for one in metric["subjects"]:
        values = [one["scores"][n] for n in names]
        heights = [float("nan") if v is None else v for v in values]
        axes.plot(range(len(names)), heights, color=FAINT, lw=0.8, marker="o", ms=2.2, alpha=thin)
    axes.plot(range(len(names)), [m["mean"] for m in order], color=OWN, lw=2.4, marker="o", ms=5)
    axes.set_xticks(range(len(names)), [words(n) for n in names], rotation=20 if len(names) > 4 else 0)
    axes.set_xlim(-0.3, len(names) - 0.7)
    axes.set_ylabel(score_words(metric), fontsize=8, color=INK)
    axes.grid(axis="y", color=GRID, lw=0.7)
    plain_axes(axes)
    return as_svg(figure, f"{score_words(metric)} of each subject with each method")
