"""How well each of several classes that do not exclude each other is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mdx.config import RunSettings
from mdx.data.labels.several import UNCERTAIN, classes_of, text_of, uncertain_of
from mdx.errors import DataError
from mdx.evaluation.classification import weighted_auroc
from mdx.evaluation.of_sets import CasesAndSets
from mdx.evaluation.statistics import RESAMPLINGS
from mdx.interfaces.adapter import Prediction
from mdx.interfaces.dataset import Sample, Task

PER_CASE = {"f1": "max", "hamming": "max", "brier": "min"}
"""Of a case: F1 of the classes said (above one half), the share of classes told rightly, the mean squared error."""


class MultilabelEvaluator(CasesAndSets):
    """AUROC of each class and its mean over the classes; F1, Hamming score and Brier score of each case.

    A class that all or none of the cases have has no AUROC and is left out of the mean. A class that is not known of a
    case (NaN in its truth) is left out of the scores of the case, and the case out of those of the class.
    """

    def __init__(self, task: Task, resamplings: int = RESAMPLINGS) -> None:
        self.task = task
        of_sets = dict.fromkeys(("auroc", *(f"auroc_{c}" for c in task.classes)), "max")
        super().__init__(PER_CASE, of_sets, resamplings)

    def per_case(self, prediction: Prediction, sample: Sample) -> dict[str, Any]:
        """Truth and prediction as ``A|B``, the probability of each class, and the scores of the case."""
        if prediction.classes is None:
            raise DataError("the method predicted no class", "its apply() must fill it", sample.case.id)
        p = np.asarray(prediction.classes, dtype=float)
        if p.shape != (len(self.task.classes),) or not ((p >= 0) & (p <= 1)).all():
            raise DataError(
                f"predicted probabilities {p.tolist()} for {len(self.task.classes)} classes",
                "a method gives a probability for each class of the task", sample.case.id,
            )  # fmt: skip
        given = np.asarray(sample.label(self.task.label), dtype=float)
        known, truth, said = np.isfinite(given), given > 0.5, p > 0.5
        sure = [c for c, there in zip(self.task.classes, truth, strict=True) if there]
        unsure = [f"{UNCERTAIN}{c}" for c, is_known in zip(self.task.classes, known, strict=True) if not is_known]
        total = int(truth.sum()) + int((said & known).sum())
        some = bool(known.any())
        return {
            "truth": text_of([*sure, *unsure]),
            "predicted": text_of([c for c, there in zip(self.task.classes, said, strict=True) if there]),
            **{f"p_{c}": v for c, v in zip(self.task.classes, p.tolist(), strict=True)},
            "f1": 2 * int((truth & said).sum()) / total if total else 1.0 if some else float("nan"),
            "hamming": float((truth == said)[known].mean()) if some else float("nan"),
            "brier": float(((p - truth) ** 2)[known].mean()) if some else float("nan"),
        }

    def set_scores(self, part: pd.DataFrame, weights: np.ndarray) -> dict[str, np.ndarray]:
        """(R,) AUROC of each class, and the mean over those that vary, for (R, n) weights of rows."""
        there = [set(classes_of(cell)) for cell in part["truth"]]
        unsure = [set(uncertain_of(cell)) for cell in part["truth"]]
        each = {}
        for name in self.task.classes:
            p = part[f"p_{name}"].to_numpy(dtype=float)
            truth = np.array([int(name in found) for found in there])
            known = np.array([name not in found for found in unsure])
            each[f"auroc_{name}"] = weighted_auroc(truth[known], np.stack([1 - p, p], axis=1)[known], weights[:, known])
        table = np.stack(list(each.values()))
        defined = np.isfinite(table)
        mean = np.where(defined.any(axis=0), np.nansum(table, axis=0) / np.maximum(defined.sum(axis=0), 1), np.nan)
        return {"auroc": mean, **each}


def for_run(task: Task, settings: RunSettings) -> MultilabelEvaluator:
    """The evaluator of a run."""
    return MultilabelEvaluator(task, settings.bootstrap)
