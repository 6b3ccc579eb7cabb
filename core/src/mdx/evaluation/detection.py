"""How well objects are found: F1 and counts of each image, average precision of a set of images."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mdx.config import RunSettings
from mdx.errors import DataError
from mdx.evaluation.of_sets import CasesAndSets
from mdx.evaluation.statistics import RESAMPLINGS
from mdx.interfaces.adapter import Prediction
from mdx.interfaces.dataset import Sample, Task

PER_CASE = {"f1": "max", "sensitivity": "max", "false_positives": "min", "count_error": "zero"}
OF_SETS = {"ap50": "max", "ap": "max"}
SURE = 0.5
"""Boxes with a lower score are no part of the scores of an image; average precision takes all."""
OVERLAPS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
"""Intersection over union that makes a box a hit: .5 for all but ``ap``, which is the mean over these (COCO)."""
MOST_BOXES = 1000
BLOCK = 64


class DetectionEvaluator(CasesAndSets):
    """F1, sensitivity, false positives and the error of the count of an image; AP at an overlap of .5, and COCO's.

    A box is a hit if it is the most certain one, of its class, that overlaps a true box which no other has taken. A
    prediction or truth without boxes has an F1 of 1 with its like and 0 otherwise; sensitivity is undefined there.
    """

    def __init__(self, task: Task, resamplings: int = RESAMPLINGS) -> None:
        self.task = task
        own = [f"ap50_{c}" for c in task.classes] if len(task.classes) > 1 else []
        super().__init__(PER_CASE, OF_SETS | dict.fromkeys(own, "max"), resamplings)

    def per_case(self, prediction: Prediction, sample: Sample) -> dict[str, Any]:
        """The scores of an image, and in ``matches`` what average precision needs of it (JSON)."""
        if prediction.boxes is None:
            raise DataError("the method predicted no boxes", "its apply() must fill them", sample.case.id)
        said = np.asarray(prediction.boxes, dtype=float).reshape(-1, 6)
        if not np.isfinite(said).all():
            raise DataError("the method predicted boxes that are not finite", "mend its apply()", sample.case.id)
        truth = np.asarray(sample.label(self.task.label), dtype=float).reshape(-1, 5)
        matches = _matches(said, truth, len(self.task.classes))
        n, sure = len(truth), [hits for m in matches for score, hits in m["found"] if score >= SURE]
        hits = sum(bits[0] == "1" for bits in sure)
        return {
            "f1": 2 * hits / (n + len(sure)) if n + len(sure) else 1.0,
            "sensitivity": hits / n if n else float("nan"),
            "false_positives": float(len(sure) - hits),
            "count_error": float(len(sure) - n),
            "matches": json.dumps(matches),
        }

    def set_scores(self, part: pd.DataFrame, weights: np.ndarray) -> dict[str, np.ndarray]:
        """(R,) average precision of each class that occurs, and the means over them, for (R, n) weights of rows."""
        images = [json.loads(text) for text in part["matches"]]
        each = np.stack([_precision_of_class([image[k] for image in images], weights)
                         for k in range(len(self.task.classes))])  # fmt: skip
        with np.errstate(invalid="ignore"):
            defined = np.isfinite(each).any(axis=0)  # (R, T)
            mean = np.where(defined, np.nansum(each, axis=0) / np.maximum(np.isfinite(each).sum(axis=0), 1), np.nan)
        own = {f"ap50_{c}": each[k, :, 0] for k, c in enumerate(self.task.classes)}
        return {"ap50": mean[:, 0], "ap": mean.mean(axis=1), **own}


def _matches(said: np.ndarray, truth: np.ndarray, classes: int) -> list[dict[str, Any]]:
    """For each class the number of true boxes, and the score of every found one with a bit for each of ``OVERLAPS``."""
    from monai.apps.detection.metrics.matching import matching_batch
    from monai.data.box_utils import box_iou

    iou: Any = box_iou
    found = matching_batch(
        iou, OVERLAPS, [said[:, :4]], [said[:, 5].astype(int)], [said[:, 4]], [truth[:, :4]],
        [truth[:, 4].astype(int)], max_detections=MOST_BOXES,
    )[0]  # fmt: skip
    made = []
    for k in range(classes):
        n = int((truth[:, 4] == k).sum())
        bits = found[k]["dtMatches"].astype(int) if k in found else np.zeros((len(OVERLAPS), 0), int)
        scores = found[k]["dtScores"] if k in found else []
        pairs = [[round(float(s), 6), "".join(map(str, bits[:, i]))] for i, s in enumerate(scores)]
        made.append({"n": n, "found": pairs})
    return made


def _precision_of_class(images: Sequence[Mapping[str, Any]], weights: np.ndarray) -> np.ndarray:
    """(R, T) average precision of one class at each overlap, over (R, n) weighted images; NaN without a true box.

    The area under precision against sensitivity, where a precision counts as the highest at that sensitivity or more
    (all points, as PASCAL VOC since 2010).
    """
    total = weights @ np.array([image["n"] for image in images], dtype=float)
    rows = [(score, bits, i) for i, image in enumerate(images) for score, bits in image["found"]]
    made = np.where(total > 0, 0.0, np.nan)[:, None].repeat(len(OVERLAPS), axis=1)
    if not rows:
        return made
    order = np.argsort([-score for score, _, _ in rows], kind="stable")
    hits = np.array([[bit == "1" for bit in bits] for _, bits, _ in rows], dtype=float)[order]
    image_of = np.array([i for _, _, i in rows])[order]
    for start in range(0, len(weights), BLOCK):
        block = slice(start, start + BLOCK)
        weight = weights[block][:, image_of]
        seen = np.cumsum(weight, axis=1)
        for t in range(len(OVERLAPS)):
            right = weight * hits[:, t]
            with np.errstate(invalid="ignore", divide="ignore"):
                precision = np.nan_to_num(np.cumsum(right, axis=1) / seen)
                best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
                made[block, t] = np.where(total[block] > 0, (right * best).sum(axis=1) / total[block], np.nan)
    return made


def for_run(task: Task, settings: RunSettings) -> DetectionEvaluator:
    """The evaluator of a run."""
    return DetectionEvaluator(task, settings.bootstrap)
