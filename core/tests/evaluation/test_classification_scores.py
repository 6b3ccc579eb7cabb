from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference

from mdx.errors import DataError
from mdx.evaluation.classification import (
    ClassificationEvaluator,
    weighted_auroc,
    weighted_balanced_accuracy,
    weighted_ece,
    weighted_kappa,
)
from mdx.interfaces.adapter import Prediction
from mdx.interfaces.dataset import Case, Sample, Task
from mdx.interfaces.geometry import Geometry

CLASSES = ("ill", "well", "unsure")


def cases(n: int, k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    probabilities = np.round(rng.dirichlet(np.ones(k), n), 2)  # rounding makes ties
    return rng.integers(k, size=n), probabilities / probabilities.sum(axis=1, keepdims=True)


def drawn(n: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, size=(3, n)).astype(float)


@pytest.mark.parametrize("k", [2, 3])
def test_weighted_scores_are_scikit_learns(k: int) -> None:
    truth, p = cases(60, k)
    for weights in drawn(60):
        w = weights[None]
        kept = np.repeat(np.arange(60), weights.astype(int))
        guess = p.argmax(axis=1)
        assert weighted_kappa(truth, p, w)[0] == pytest.approx(reference.cohen_kappa_score(truth[kept], guess[kept]))
        assert weighted_balanced_accuracy(truth, p, w)[0] == pytest.approx(
            reference.balanced_accuracy_score(truth[kept], guess[kept])
        )
        scores = p[kept, 1] if k == 2 else p[kept]
        expected = reference.roc_auc_score(truth[kept], scores, multi_class="ovr")
        assert weighted_auroc(truth, p, w)[0] == pytest.approx(expected)


@pytest.mark.parametrize("decimals", [1, 15])  # with many ties, and without
@pytest.mark.parametrize("k", [2, 7])
def test_every_resampling_of_auroc_is_scikit_learns_with_these_weights(k: int, decimals: int) -> None:
    truth = np.random.default_rng(3).integers(k, size=200)
    p = np.round(np.random.default_rng(4).dirichlet(np.ones(k), 200), decimals)
    weights = np.random.default_rng(5).integers(0, 3, size=(150, 200)).astype(float)  # more than two blocks
    classes = [1] if k == 2 else range(k)
    expected = [
        np.mean([reference.roc_auc_score(truth == c, p[:, c], sample_weight=w) for c in classes]) for w in weights
    ]
    np.testing.assert_allclose(weighted_auroc(truth, p, weights), expected, rtol=1e-12)


def test_kappa_of_a_constant_prediction_is_zero() -> None:
    p = np.tile([0.9, 0.1], (10, 1))
    assert weighted_kappa(np.array([0, 1] * 5), p, np.ones((1, 10)))[0] == 0


def test_a_set_with_one_class_has_no_kappa_and_no_auroc() -> None:
    _, p = cases(10, 2)
    alone = np.zeros(10, dtype=int)
    assert np.isnan(weighted_kappa(alone, p, np.ones((1, 10)))[0])
    assert np.isnan(weighted_auroc(alone, p, np.ones((1, 10)))[0])


def test_calibration_error_is_the_gap_between_confidence_and_success() -> None:
    p = np.tile([0.8, 0.2], (10, 1))
    truth = np.array([0] * 6 + [1] * 4)  # sure to 80 %, right in 60 %
    assert weighted_ece(truth, p, np.ones((1, 10)))[0] == pytest.approx(0.2)


def rows(n: int = 40) -> pd.DataFrame:
    truth, p = cases(n, 3, seed=2)
    evaluator = ClassificationEvaluator(Task("classification", CLASSES, ("image",), 2, ("a", "b"), "class"))
    made = []
    for i in range(n):
        case = Case(f"c{i}", f"s{i // 2}", "ab"[i % 2], {})
        sample = Sample(case, None, None, {"class": int(truth[i])})  # type: ignore[arg-type]
        scores = evaluator.per_case(Prediction(Geometry(np.eye(4), (1, 1)), classes=p[i]), sample)
        made.append({"case": case.id, "subject": case.subject, "site": case.site, "role": "source", **scores})
    return pd.DataFrame(made)


@pytest.fixture(scope="module")
def evaluator() -> ClassificationEvaluator:
    return ClassificationEvaluator(Task("classification", CLASSES, ("image",), 2, ("a", "b"), "class"), 2000)


@pytest.fixture(scope="module")
def summary(evaluator: ClassificationEvaluator) -> pd.DataFrame:
    return evaluator.summarise(rows())


def test_every_metric_has_every_group(evaluator: ClassificationEvaluator, summary: pd.DataFrame) -> None:
    assert set(summary["metric"]) == set(evaluator.metrics)
    for metric in evaluator.metrics:
        groups = summary[summary["metric"] == metric]["group"].tolist()
        assert groups[:4] == ["all", "role=source", "site=a", "site=b"]
        assert groups[4].startswith("worst site (")


def test_the_summary_is_that_of_the_rows(summary: pd.DataFrame) -> None:
    table = rows()
    found = summary[(summary["group"] == "all")].set_index("metric")["mean"]
    assert found["accuracy"] == pytest.approx((table["truth"] == table["predicted"]).mean())
    assert found["kappa"] == pytest.approx(reference.cohen_kappa_score(table["truth"], table["predicted"]))


def test_intervals_hold_the_value(summary: pd.DataFrame) -> None:
    inside = (summary["low"] <= summary["mean"]) & (summary["mean"] <= summary["high"])
    assert inside[summary["metric"] != "ece"].all()  # resampling biases a sum of absolute gaps upwards


def test_the_interval_of_auroc_is_a_bootstrap_over_subjects(summary: pd.DataFrame) -> None:
    table = rows()
    codes = {c: k for k, c in enumerate(CLASSES)}
    rng, values = np.random.default_rng(5), []
    subjects = table["subject"].unique()
    by_subject = {s: np.flatnonzero(table["subject"] == s) for s in subjects}
    p = table[[f"p_{c}" for c in CLASSES]].to_numpy()
    truth = table["truth"].map(codes).to_numpy()
    for _ in range(2000):
        kept = np.concatenate([by_subject[s] for s in rng.choice(subjects, len(subjects))])
        values.append(weighted_auroc(truth[kept], p[kept], np.ones((1, len(kept))))[0])
    row = summary[(summary["metric"] == "auroc") & (summary["group"] == "all")].iloc[0]
    assert (row["low"], row["high"]) == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=0.03)


def test_a_prediction_without_classes_names_its_case(evaluator: ClassificationEvaluator) -> None:
    sample = Sample(Case("case7", "s", "a", {}), None, None, {"class": 0})  # type: ignore[arg-type]
    with pytest.raises(DataError, match="case7"):
        evaluator.per_case(Prediction(Geometry(np.eye(4), (1, 1))), sample)
    with pytest.raises(DataError, match="3 classes"):
        evaluator.per_case(Prediction(Geometry(np.eye(4), (1, 1)), classes=np.array([0.5, 0.5])), sample)
