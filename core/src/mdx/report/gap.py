"""The drop from source to target, and the share of it that a method closes, each with its interval over subjects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mdx.evaluation.paired import case_scores, interval
from mdx.evaluation.statistics import goodness, resampled_weights


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval over subjects; NaN where there is none."""

    value: float
    low: float
    high: float

    @property
    def told(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def gap_closed(rows: Any, better: str) -> dict[str, Any]:
    """The reference's drop from source to target, and the share of it that the method closes.

    Subjects of the source and of the target are resampled apart, each with all their cases; a subject with scans on
    both sides is drawn with both.

    Args:
        rows: one a case: ``subject``, ``role``, and the scores ``own`` and ``reference``.
        better: ``max`` or ``min``.

    Returns:
        ``at_source`` and ``at_target`` of the reference (NaN where there is no case), ``drop`` and ``share`` with
        their intervals, or None.
    """
    sign, role = goodness(1.0, better), rows["role"].to_numpy()
    source, target = role == "source", role == "target"
    reference, difference = rows["reference"].to_numpy(float), (rows["own"] - rows["reference"]).to_numpy(float)
    parts = [
        case_scores(np.where(where, values, np.nan)).weighted
        for where, values in ((source, reference), (target, reference), (target, difference))
    ]
    whole = np.ones((1, len(rows)))
    at_source, at_target, gained = (float(mean(whole)[0]) for mean in parts)
    found: dict[str, Any] = {"at_source": at_source, "at_target": at_target, "drop": None, "share": None}
    drop = sign * (at_source - at_target)
    if drop != drop:
        return found
    weights = _resampled_by_side(rows["subject"], role)
    from_source, from_target, gains = (mean(weights) for mean in parts)
    if min(rows["subject"][side].nunique() for side in (source, target)) < 2:
        found["drop"] = Estimate(drop, np.nan, np.nan)
        return found
    drops = sign * (from_source - from_target)
    found["drop"] = Estimate(drop, *interval(drops))
    shares = np.divide(sign * gains, drops, out=np.full(len(drops), np.nan), where=drops > 0)
    if drop > 0 and gained == gained:
        found["share"] = Estimate(sign * gained / drop, *interval(shares))
    return found


def _resampled_by_side(subjects: Any, role: np.ndarray) -> np.ndarray:
    """(R, cases) weights; the subjects of the target are drawn as for every other interval of the page."""
    names = subjects.to_numpy()
    roles_of = pd.Series(role).groupby(names).agg(lambda found: "+".join(sorted(set(found), reverse=True)))
    side = roles_of.loc[names].to_numpy()
    columns = [np.flatnonzero(side == one) for one in sorted(set(side), reverse=True)]
    drawn = [resampled_weights(names[index], seed) for seed, index in enumerate(columns)]
    weights = np.empty((len(drawn[0]), len(names)))
    for index, part in zip(columns, drawn, strict=True):
        weights[:, index] = part
    return weights
