"""Scores of boxes: by hand, and against MONAI's COCO metric."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from mdx.errors import DataError
from mdx.evaluation.detection import OVERLAPS, DetectionEvaluator
from mdx.interfaces.adapter import Prediction
from mdx.interfaces.dataset import Case, Sample, Task
from mdx.interfaces.geometry import Geometry

TASK = Task("detection", ("a", "b"), ("image",), 2, ("A", "B"), "boxes")
NOWHERE = Geometry(np.eye(4), (100, 100))


def row(said: Any, truth: Any, name: str = "c", site: str = "A") -> dict[str, Any]:
    boxes = torch.tensor(truth, dtype=torch.float32).reshape(-1, 5)
    sample = Sample(Case(name, name, site, {}), torch.zeros(1, 100, 100), NOWHERE, {"boxes": boxes})
    made = DetectionEvaluator(TASK).per_case(Prediction(NOWHERE, boxes=np.array(said, float).reshape(-1, 6)), sample)
    return {"case": name, "subject": name, "site": site, **made}


def test_an_image_worked_out_by_hand() -> None:
    truth = [[0, 0, 10, 10, 0], [20, 20, 30, 30, 0], [50, 50, 60, 60, 1]]
    said = [
        [0, 0, 10, 9, 0.9, 0],  # a hit: IoU .9
        [0, 1, 10, 10, 0.8, 0],  # the same object again
        [50, 50, 60, 60, 0.7, 0],  # of another class
        [20, 20, 30, 26, 0.4, 0],  # a hit, but not sure
    ]
    found = row(said, truth)
    assert found["f1"] == pytest.approx(2 * 1 / (3 + 3))
    assert (found["sensitivity"], found["false_positives"], found["count_error"]) == (1 / 3, 2.0, 0.0)


def test_images_without_objects() -> None:
    assert row([], [])["f1"] == 1.0
    assert math.isnan(row([], [])["sensitivity"])
    assert row([[0, 0, 1, 1, 0.9, 0]], [])["f1"] == 0.0
    assert row([], [[0, 0, 1, 1, 0]])["sensitivity"] == 0.0


def test_average_precision_worked_out_by_hand() -> None:
    rows = [row([[0, 0, 10, 10, 0.9, 0], [50, 50, 60, 60, 0.8, 0]], [[0, 0, 10, 10, 0]], "c0"),
            row([[0, 0, 10, 10, 0.7, 0]], [[0, 0, 10, 10, 0], [30, 30, 40, 40, 0]], "c1")]  # fmt: skip
    table = DetectionEvaluator(TASK, 50).summarise(pd.DataFrame(rows)).set_index(["metric", "group"])
    # found in the order hit, miss, hit, of three true ones: precision 1, then 2/3
    assert table.loc[("ap50_a", "all"), "mean"] == pytest.approx((1 + 2 / 3) / 3)
    assert math.isnan(table.loc[("ap50_b", "all"), "mean"])  # no box of it
    assert table.loc[("ap50", "all"), "mean"] == table.loc[("ap50_a", "all"), "mean"]


def test_average_precision_is_monais_but_for_its_101_points() -> None:
    from monai.apps.detection.metrics.coco import COCOMetric
    from monai.apps.detection.metrics.matching import matching_batch
    from monai.data.box_utils import box_iou

    rng = np.random.default_rng(4)
    rows, said_all, truth_all = [], [], []
    for i in range(40):
        corner = rng.uniform(0, 80, (6, 2))
        truth = np.concatenate([corner, corner + rng.uniform(8, 18, (6, 2)), rng.integers(2, size=(6, 1))], axis=1)
        kept = truth[rng.random(6) < 0.8]
        moved = kept[:, :4] + rng.normal(0, 1, (len(kept), 4))
        false = rng.uniform(0, 80, (2, 2))
        boxes = np.concatenate([moved, np.concatenate([false, false + 12], axis=1)])
        classes = np.concatenate([kept[:, 4:], rng.integers(2, size=(2, 1))])
        said = np.concatenate([boxes, rng.random((len(boxes), 1)), classes], axis=1)
        rows.append(row(said, truth, f"c{i}"))
        said_all.append(said)
        truth_all.append(np.float32(truth))
    metric = COCOMetric(TASK.classes, iou_list=[0.5], iou_range=(0.5, 0.95, 0.05), max_detection=[100])
    iou: Any = box_iou
    matches = matching_batch(
        iou, metric.get_iou_thresholds(), [s[:, :4] for s in said_all], [s[:, 5].astype(int) for s in said_all],
        [s[:, 4] for s in said_all], [t[:, :4] for t in truth_all], [t[:, 4].astype(int) for t in truth_all],
    )  # fmt: skip
    theirs = metric(matches)[0]
    ours = DetectionEvaluator(TASK, 50).summarise(pd.DataFrame(rows)).set_index(["metric", "group"])["mean"]
    assert len(OVERLAPS) == 10
    for mine, other in (
        ("ap", "mAP_IoU_0.50_0.95_0.05_MaxDet_100"), ("ap50", "AP_IoU_0.50_MaxDet_100"),
        ("ap50_a", "a_AP_IoU_0.50_MaxDet_100"), ("ap50_b", "b_AP_IoU_0.50_MaxDet_100"),
    ):  # fmt: skip
        assert ours[(mine, "all")] == pytest.approx(theirs[other], abs=0.01)
        assert 0.1 < ours[(mine, "all")] < 0.95


def test_every_resampling_is_the_score_of_the_repeated_images() -> None:
    rows = pd.DataFrame([
        row([[0, 0, 10, 10, 0.9, 0]], [[0, 0, 10, 10, 0]], "c0"),
        row([[0, 0, 10, 10, 0.8, 0]], [[50, 50, 60, 60, 0], [0, 0, 5, 5, 1]], "c1"),
        row([[50, 50, 60, 60, 0.7, 0], [0, 0, 5, 5, 0.6, 1]], [[50, 50, 60, 60, 0]], "c2"),
    ])  # fmt: skip
    evaluator = DetectionEvaluator(TASK)
    weights = np.array([[1.0, 2.0, 0.0], [0.0, 1.0, 2.0]])
    drawn = evaluator.set_scores(rows, weights)
    for i, times in enumerate(weights):
        repeated = rows.loc[rows.index.repeat(times.astype(int))]
        whole = evaluator.set_scores(repeated, np.ones((1, len(repeated))))
        for name, values in drawn.items():
            assert values[i] == pytest.approx(whole[name][0], nan_ok=True), name


def test_a_method_without_boxes_is_told_so() -> None:
    sample = Sample(Case("c", "s", "A", {}), torch.zeros(1, 9, 9), NOWHERE, {"boxes": torch.zeros(0, 5)})
    with pytest.raises(DataError, match="predicted no boxes"):
        DetectionEvaluator(TASK).per_case(Prediction(NOWHERE), sample)
