"""Is the label tied to the site? A method that removes the site then removes the label."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from mdx.interfaces.dataset import Dataset

STRONG_V = 0.3
STRONG_ETA2 = 0.14
"""Cramér's V of .3 is a medium to strong association, eta squared of .14 a large effect (Cohen 1988)."""
BINS = 4


def confounding_table(data: Dataset) -> dict[str, Any] | None:
    """Site against label: counts per cell, an association, and a warning where it is strong; ready for JSON.

    Classes: Cramér's V with Bergsma's bias correction (2013). Numbers, and for segmentation the foreground volume in ml
    (of plain images its share): eta squared, the part of the variance that lies between sites. None where there is
    nothing to tabulate.

    Returns:
        ``title``, ``table`` {site: {column: number}}, ``measure``, ``association`` and ``warning`` (may be empty).
    """
    from mdx.data.labels import label_of

    return label_of(data.task).by_site(data)


def classes_by_site(data: Dataset) -> dict[str, Any]:
    """Cases of each site and class, and Cramér's V."""
    label, sites = data.task.label, data.task.sites
    table = {site: dict.fromkeys(data.task.classes, 0) for site in sites}
    for case in data.cases:
        if case.columns.get(label) is not None:
            table[case.site][str(case.columns[label])] += 1
    strength = cramers_v(np.array([list(row.values()) for row in table.values()]))
    empty = sum(n == 0 for row in table.values() for n in row.values())
    warning = ""
    if strength is not None and strength >= STRONG_V:
        warning = (
            f"{label} and site go together (Cramér's V {strength:.2f}, {empty} empty cells): what removes the site may "
            f"remove {label}, and a network may read the site instead"
        )
    return {"title": f"cases by site and {label}", "table": table, "measure": "Cramér's V", "association": strength,
            "warning": warning}  # fmt: skip


def several_by_site(data: Dataset, found: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Cases of each site that have a class (by case id), and the strongest Cramér's V of one class and the site."""
    label = data.task.label
    table = {site: {**dict.fromkeys(data.task.classes, 0), "n": 0} for site in data.task.sites}
    for case in data.cases:
        if case.id in found:
            table[case.site]["n"] += 1
            for name in found[case.id]:
                table[case.site][name] += 1
    strengths = {
        name: cramers_v(np.array([[row[name], row["n"] - row[name]] for row in table.values()]))
        for name in data.task.classes
    }
    known = {name: strength for name, strength in strengths.items() if strength is not None}
    worst = max(known, key=lambda name: known[name], default="")
    warning = ""
    if worst and known[worst] >= STRONG_V:
        warning = (
            f"{worst} and site go together (Cramér's V {known[worst]:.2f}): what removes the site may remove {worst}, "
            "and a network may read the site instead"
        )
    return {"title": f"cases by site and {label}", "table": table, "measure": "strongest Cramér's V of a class",
            "association": known.get(worst), "warning": warning}  # fmt: skip


def cramers_v(counts: np.ndarray) -> float | None:
    """Bias-corrected Cramér's V of a table of counts, 0 to 1; None if one of its two variables does not vary."""
    counts = np.asarray(counts, dtype=float)
    counts = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    n, (rows, columns) = counts.sum(), counts.shape
    if min(rows, columns) < 2 or n < 2:
        return None
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0, keepdims=True) / n
    phi2 = ((counts - expected) ** 2 / expected).sum() / n
    phi2 = max(0.0, phi2 - (rows - 1) * (columns - 1) / (n - 1))
    r, c = rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)
    return float(min(1.0, np.sqrt(phi2 / min(r - 1, c - 1)))) if min(r, c) > 1 else None


def eta_squared(groups: Sequence[np.ndarray]) -> float | None:
    """The part of the variance that lies between groups, 0 to 1; None for one group or no variance."""
    groups = [np.asarray(g, dtype=float) for g in groups if len(g)]
    if len(groups) < 2:
        return None
    pooled = np.concatenate(groups)
    total = ((pooled - pooled.mean()) ** 2).sum()
    between = sum(len(g) * (g.mean() - pooled.mean()) ** 2 for g in groups)
    return float(between / total) if total > 0 else None


def numbers_by_site(data: Dataset, values: Mapping[str, float], name: str) -> dict[str, Any] | None:
    """Numbers by case id in quartiles of all, with n and mean of each site, and eta squared."""
    by_site: dict[str, list[float]] = defaultdict(list)
    for case in data.cases:
        if np.isfinite(values.get(case.id, np.nan)):
            by_site[case.site].append(values[case.id])
    if not by_site:
        return None
    arrays = {site: np.array(by_site[site]) for site in data.task.sites if by_site[site]}
    edges = np.unique(np.quantile(np.concatenate(list(arrays.values())), np.linspace(0, 1, BINS + 1)))
    names = [f"{low:.3g} to {high:.3g}" for low, high in pairwise(edges)]
    counts = {site: map(int, np.histogram(x, edges)[0]) for site, x in arrays.items()}
    table = {
        site: {**dict(zip(names, counts[site], strict=True)), "n": len(x), "mean": float(x.mean())}
        for site, x in arrays.items()
    }  # fmt: skip
    strength = eta_squared(list(arrays.values()))
    warning = ""
    if strength is not None and strength >= STRONG_ETA2:
        warning = (
            f"{name} differs between sites (eta squared {strength:.2f}): what removes the site may remove part of it, "
            "and scores of two sites are not of equally hard cases"
        )
    return {"title": f"cases by site and {name}", "table": table, "measure": "eta squared", "association": strength,
            "warning": warning}  # fmt: skip
