"""Scores that a method may choose its weights or settings by: the evaluators of the tasks, and what they count."""

from mdx.evaluation.classification import ClassificationEvaluator
from mdx.evaluation.detection import DetectionEvaluator
from mdx.evaluation.multilabel import MultilabelEvaluator
from mdx.evaluation.regression import RegressionEvaluator
from mdx.evaluation.segmentation import SegmentationEvaluator, dice, hard_masks

__all__ = [
    "ClassificationEvaluator", "DetectionEvaluator", "MultilabelEvaluator", "RegressionEvaluator",
    "SegmentationEvaluator", "dice", "hard_masks",
]  # fmt: skip
