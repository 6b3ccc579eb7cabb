"""Predict and score cases with a saved run: predictions, scores.csv, summary.json, embeddings and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mdx import progress
from mdx.errors import DataError
from mdx.evaluation.cases import evaluators_for, score_cases
from mdx.evaluation.embeddings import save_embeddings
from mdx.evaluation.kept import without_images
from mdx.evaluation.statistics import COLUMNS
from mdx.files import write_atomically, write_json
from mdx.interfaces.adapter import Prediction
from mdx.interfaces.dataset import Dataset, Sample, has_label
from mdx.interfaces.evaluator import Evaluator
from mdx.plugins.manager import HookCaller
from mdx.runs import folders
from mdx.runs.loading import LoadedRun
from mdx.spreadsheets import csv_text
from mdx.training.memory import peaks
from mdx.workflow.pictures import Pictures


def score(loaded: LoadedRun, cases: Dataset, directory: Path, hooks: HookCaller, others: Dataset | None = None) -> None:
    """Predict and score the labelled ones of ``cases``; write predictions, scores.csv, summary.json, timings,
    embeddings and pictures.

    Args:
        others: cases that are not scored, such as the train cases; predicted only where a method gives embeddings, for
            a site probe is trained on one part of them and scored on another.
    """
    import pandas as pd

    settings = loaded.settings
    evaluators = evaluators_for(loaded.task, settings.run, hooks.call("mdx_evaluators", task=loaded.task))
    if not len(cases):
        raise DataError("there is no test case", "raise data.test_fraction, or give the table a split column")
    cases = _labelled(cases, hooks)
    folder = directory / "predictions"
    folder.mkdir(exist_ok=True)
    details: dict[str, Any] = {}
    light: list[Prediction] = []
    pictures = Pictures(loaded, cases)

    def keep(sample: Sample, prediction: Prediction) -> None:
        case = sample.case
        if settings.run.predictions:
            loaded.write(prediction, folder, case.id)
        if prediction.details:
            details[case.id] = dict(prediction.details)
        light.append(without_images(prediction))
        pictures.add(sample, prediction)
        hooks.tell("mdx_case_predicted", case=case, prediction=prediction)

    rows, seconds = score_cases(cases, evaluators, loaded.predict, keep, settings.data)
    table = pd.DataFrame(rows)
    write_atomically(directory / "scores.csv", csv_text(table))
    if details:
        write_json(directory / "details.json", details)
    path = directory / "timings.json"
    timings = folders.read_json(path) if path.exists() else {}
    write_json(path, {**timings, "apply": sum(seconds.values()), "cases": seconds, **peaks(timings)})
    progress.phase("statistics and pictures")
    pictures.write(table, directory)
    made = [found for e in evaluators if len(found := e.summarise(table))]
    made.append(_population(evaluators, *_with_embeddings(loaded, cases, light, others), cases, directory))
    made = [part for part in made if len(part)]
    if not made:
        raise DataError(f"nothing scores the task '{loaded.task.kind}'", "install a plugin with an evaluator for it")
    summary = pd.concat(made, ignore_index=True)
    write_json(directory / "summary.json", summary.to_dict(orient="records"))  # last: it says that scoring is complete


def _labelled(cases: Dataset, hooks: HookCaller) -> Dataset:
    """The cases that can be scored; says how many cannot. Raises DataError if none can."""
    label = cases.task.label
    scored = [case.id for case in cases.cases if not label or has_label(case, label)]
    if not scored:
        raise DataError(f"no test case has a '{label}'", "label some, or use 'mdx apply' to predict without scores")
    if len(scored) < len(cases):
        hooks.report(f"{len(cases) - len(scored)} of {len(cases)} test cases have no '{label}' and are not scored")
    return cases.where(id=scored)


def _with_embeddings(
    loaded: LoadedRun, cases: Dataset, predictions: list[Prediction], others: Dataset | None
) -> tuple[list[Prediction], Dataset]:
    """The predictions and their cases; those of ``others`` too where there are embeddings."""
    if others is None or predictions[0].embedding is None:
        return predictions, cases
    cases_of_probe = progress.each(others.cases, "embedding the train cases")
    more = [without_images(loaded.predict(others.load(c))) for c in cases_of_probe]
    return [*predictions, *more], Dataset(cases.task, [*cases.cases, *others.cases], cases.loader, hidden=cases.hidden)


def _population(
    evaluators: Sequence[Evaluator], predictions: list[Prediction], data: Dataset, scored: Dataset, directory: Path
) -> Any:
    """What no single case shows, as rows of the summary; the embeddings are written beside it.

    Args:
        predictions, data: of the scored cases, and of those that a probe is only trained on.
    """
    import pandas as pd

    if predictions[0].embedding is not None:
        progress.phase("site probe")
        save_embeddings(directory / "embeddings.npz", predictions, data)
    subjects = len({case.subject for case in scored.cases})
    made = [
        {"metric": name, "better": evaluator.metrics.get(name, "zero"), "group": "all", "n_cases": len(scored),
         "n_subjects": subjects, "n_undefined": 0, "mean": value}
        for evaluator in evaluators
        for name, value in evaluator.population(predictions, data).items()
    ]  # fmt: skip
    return pd.DataFrame(made, columns=list(COLUMNS))
