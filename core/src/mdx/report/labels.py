"""Parts of the page for predicted classes and numbers: confusion, calibration, scatter, features in the plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mdx.report import figures
from mdx.report.text import Method

MOST_CLASSES = 12
SIDE_BY_SIDE = 4
"""Methods drawn beside each other: the run's own and its first baselines."""


def label_parts(methods: Sequence[Method], tables: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, Any]:
    """What the page says of a classification or regression; empty parts for other tasks.

    Args:
        tables: the rows of scores.csv by method.
        task: the task as provenance.json holds it.

    Returns:
        ``confusions``, ``reliability``, ``scatter``, ``embeddings`` and ``probes``.
    """
    kind, label = task.get("kind"), task.get("label", "label")
    shown = {m.name: tables[m.name] for m in methods[:SIDE_BY_SIDE]}
    features = {m.name: _arrays(m) for m in methods[:2] if (m.directory / "embeddings.npz").exists()}
    classes = [str(c) for c in task.get("classes", ())]
    return {
        "confusions": _confusions(shown, classes) if kind == "classification" and len(classes) <= MOST_CLASSES else [],
        "reliability": figures.reliability({n: _confidence(t, classes) for n, t in shown.items()})
        if kind == "classification" else "",
        "scatter": figures.predicted_against_true(shown, label) if kind == "regression" else "",
        "embeddings": figures.embeddings(features, label) if features else "",
        "probes": _probes(methods),
    }  # fmt: skip


def _arrays(method: Method) -> dict[str, np.ndarray]:
    with np.load(method.directory / "embeddings.npz", allow_pickle=False) as stored:
        return dict(stored)


def _confidence(rows: Any, classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    probabilities = rows[[f"p_{c}" for c in classes]].to_numpy(dtype=float)
    return probabilities.max(axis=1), (rows["truth"].astype(str) == rows["predicted"].astype(str)).to_numpy()


def _confusions(tables: Mapping[str, Any], classes: Sequence[str]) -> list[dict[str, Any]]:
    """Counts of test cases, true by predicted class, of the target sites where there are some."""
    made = []
    for name, rows in tables.items():
        part = rows[rows["role"] == "target"]
        part = part if len(part) else rows
        truth, predicted = part["truth"].astype(str), part["predicted"].astype(str)
        counts = [[int(((truth == t) & (predicted == p)).sum()) for p in classes] for t in classes]
        made.append({"method": name, "rows": list(zip(classes, counts, strict=True)), "classes": classes})
    return made


def _probes(methods: Sequence[Method]) -> list[tuple[str, float, float]]:
    """Accuracy of a fresh site classifier on each method's frozen features, and chance."""
    made = []
    for m in methods:
        found, chance = m.row("site_probe_accuracy", "all"), m.row("site_probe_chance", "all")
        if found and chance and found["mean"] is not None:
            made.append((m.name, found["mean"], chance["mean"]))
    return made
