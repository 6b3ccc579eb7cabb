"""What the curves of a training are called on a page: the words of the field in place of the names in the code."""

from __future__ import annotations

from collections.abc import Mapping

from mdx.report.text import metric_words

COMMON = {
    "loss": "loss", "total": "total loss", "main": "loss of the task", "cls": "classification loss",
    "seg": "segmentation loss", "rec": "reconstruction loss", "domain": "loss of the site classifier",
    "confusion": "confusion loss", "monitored": "score that was watched", "lr": "learning rate",
}  # fmt: skip
PARTS = {"train": "training", "val": "validation"}


def curve_words(name: str, own: Mapping[str, str]) -> str:
    """``loss`` of metrics.jsonl in words; a sum of losses (``a+b``) in those of its parts.

    Args:
        own: the plugin's words for its names (``[curves]`` of its manifest), which come first.
    """
    known = {**COMMON, **own}
    if name in known or "+" not in name:
        return known.get(name, metric_words(name))
    return " + ".join(known.get(part, metric_words(part)) for part in name.split("+"))
