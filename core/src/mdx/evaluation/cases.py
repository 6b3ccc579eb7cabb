"""Predict cases and score them: one code path for the end of a run, ``run.evaluate`` and ``mdx evaluate``."""

from __future__ import annotations

import copy
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from pkgutil import resolve_name
from typing import Any

from mdx import progress
from mdx.config import RunSettings
from mdx.data.config import DataConfig
from mdx.data.labels import label_of
from mdx.errors import DataError
from mdx.evaluation.statistics import GROUP
from mdx.interfaces.adapter import Adapter, Prediction
from mdx.interfaces.dataset import Dataset, Sample, Task
from mdx.interfaces.evaluator import Evaluator
from mdx.interfaces.model import Model

FACTS = ("case", "subject", "site", "split", "role")


def evaluators_for(task: Task, settings: RunSettings, more: Iterable[Sequence[Evaluator]] = ()) -> list[Evaluator]:
    """The evaluators of a task: core's own and those that plugins add. Raises DataError for a task nobody scores."""
    made_by = label_of(task).evaluator
    own: list[Evaluator] = [resolve_name(made_by)(task, settings)] if made_by else []
    chosen = own + [evaluator for group in more for evaluator in group]
    if not chosen:
        raise DataError(f"nothing scores the task '{task.kind}'", "install a plugin with an evaluator for it")
    return chosen


def predict(adapter: Adapter[Any], model: Model, sample: Sample, reference: Any = None) -> Prediction:
    """``adapter.apply`` as it is always called: networks in eval mode; gradients only where the method ``adapts``."""
    import torch

    model.eval()
    if not adapter.adapts:
        with torch.inference_mode():
            return adapter.apply(sample, model, reference)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    seed = zlib.crc32(sample.image.numpy().tobytes())
    with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.enable_grad():
        torch.manual_seed(seed)
        return adapter.apply(sample, copy.deepcopy(model), reference)


def score_cases(
    data: Dataset,
    evaluators: Sequence[Evaluator],
    predict_sample: Callable[[Sample], Prediction],
    keep: Callable[[Sample, Prediction], None] | None = None,
    config: DataConfig | None = None,
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Predict and score every case of ``data``.

    Args:
        config: how the data were read; names the reference site, and the columns that group the cases.
        keep: called with each sample and its prediction (written to disk, shown to observers) before both are dropped.

    Returns:
        one row a case (``FACTS``, the columns of ``data.groups`` as ``group:NAME``, and the metrics), and the seconds
        that each prediction took.
    """
    config = config or DataConfig()
    rows: list[dict[str, Any]] = []
    seconds: dict[str, float] = {}
    for case in progress.each(data.cases, "predicting and scoring"):
        sample = data.load(case)
        started = time.perf_counter()
        prediction = predict_sample(sample)
        seconds[case.id] = time.perf_counter() - started
        row: dict[str, Any] = {
            "case": case.id, "subject": case.subject, "site": case.site, "split": case.split, "role": case.role,
        }  # fmt: skip
        for name in config.groups:
            value = case.columns.get(name)
            row[f"{GROUP}{name}"] = None if value is None else str(value)
        known = label_of(data.task).with_truth(sample, data, config)
        for evaluator in evaluators:
            row.update(evaluator.per_case(prediction, known))
        rows.append(row)
        if keep is not None:
            keep(known, prediction)
    return rows, seconds
