"""Parts of the page that depend on what was predicted, and features in the plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mdx.report import figures
from mdx.report.text import Method
from mdx.report.truths import page_of

SIDE_BY_SIDE = 4
"""Methods drawn beside each other: the run's own and its first baselines."""


def label_parts(methods: Sequence[Method], tables: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, Any]:
    """What the page says of predictions and truths.

    Args:
        tables: the rows of scores.csv by method.
        task: the task as provenance.json holds it.

    Returns:
        the parts of the task's ``Page``, ``embeddings`` and ``probes``.
    """
    label = task.get("label", "label")
    features = {m.name: _arrays(m) for m in methods[:2] if (m.directory / "embeddings.npz").exists()}
    return {
        "confusions": [], "reliability": "", "scatter": "",
        **page_of(task).parts({m.name: tables[m.name] for m in methods[:SIDE_BY_SIDE]}, task),
        "embeddings": figures.embeddings(features, label) if features else "",
        "probes": _probes(methods),
    }  # fmt: skip


def _arrays(method: Method) -> dict[str, np.ndarray]:
    with np.load(method.directory / "embeddings.npz", allow_pickle=False) as stored:
        return dict(stored)


def _probes(methods: Sequence[Method]) -> list[tuple[str, float, float]]:
    """Accuracy of a fresh site classifier on each method's frozen features, and chance."""
    made = []
    for m in methods:
        found, chance = m.row("site_probe_accuracy", "all"), m.row("site_probe_chance", "all")
        if found and chance and found["mean"] is not None:
            made.append((m.name, found["mean"], chance["mean"]))
    return made
