"""The runs of a cross-validation put together: a folder that is read as a run, with the out-of-fold scores of all."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mdx.config import RunSettings
from mdx.errors import DataError
from mdx.evaluation.cases import evaluators_for
from mdx.evaluation.statistics import COLUMNS
from mdx.files import write_atomically, write_json
from mdx.plugins.manager import installed_hooks
from mdx.report.text import Method, methods_of, metrics_shown
from mdx.runs import folders
from mdx.runs.linking import link, linked_tree
from mdx.runs.loading import task_from
from mdx.runs.seen import read_seen, write_seen
from mdx.runs.shown import write_shown
from mdx.spreadsheets import csv_text, read_frame
from mdx.sweeps.pooled_pictures import link_pictures

NOT_NEEDED = ("predictions", "evaluations", "last.safetensors", "best.safetensors")
"""What of a run is not linked into the folder of the folds: ``apply`` does without, and predictions lie there once."""


def pool(runs: Sequence[Path], directory: Path, identity: str, command: Sequence[str]) -> None:
    """Write everything but the page into ``directory``, which is laid out as a run is.

    ``folds/0``, ``folds/1``, ... hold the runs, by hard links, so that the folder can be moved alone. Of the method,
    and of each baseline in ``baselines/NAME``, there are ``folds.json``, ``scores.csv`` of all test cases with their
    fold, ``summary.json`` with intervals over all subjects, and the rest of what pages and comparisons read.
    """
    for fold, run in enumerate(runs):
        linked_tree(run, directory / "folds" / str(fold), NOT_NEEDED)
    baselines = folders.read_json(runs[0] / "provenance.json")["baselines"]
    names = [str(Path(os.path.relpath(run, directory))) for run in runs]
    for place in [Path(f"baselines/{name}") for name in baselines] + [Path()]:  # that of the method says all is there
        up = Path(*[".."] * len(place.parts))
        members = [(up / "folds" / str(fold) / place).as_posix() for fold in range(len(runs))]
        (directory / place).mkdir(parents=True, exist_ok=True)
        predictions = [run / place / "predictions" for run in runs]
        write_json(directory / place / folders.FOLDS, {"folds": len(runs), "members": members, "runs": names})
        _pool_method(directory / place, [directory / place / member for member in members], predictions)
        write_atomically(directory / place / "command.txt", shlex.join(["mdx", *command[1:]]) + "\n")
        _write_provenance(directory / place, directory / place / members[0], identity)


def _pool_method(directory: Path, members: Sequence[Path], predictions: Sequence[Path]) -> None:
    """Everything of one method but its provenance."""
    import pandas as pd

    first = members[0]
    tables = [folders.read_scores(member) for member in members]
    for fold, table in enumerate(tables):
        table.insert(table.columns.get_loc("site") + 1, "fold", fold)
    scores = pd.concat(tables, ignore_index=True)
    counted = scores["case"].value_counts()
    if counted.max() > 1:
        raise DataError(f"the case {counted.idxmax()} was tested twice", "run all folds on one table", directory)
    write_atomically(directory / "scores.csv", csv_text(scores))
    write_json(directory / "summary.json", _summary(first, scores, members))
    _write_splits(directory, members)
    _write_table(directory, first)
    seen = [read_seen(member) for member in members]
    write_seen(frozenset().union(*(s.digests for s in seen)), frozenset().union(*(s.subjects for s in seen)), directory)
    settings = folders.read_settings(first)
    settings["data"]["fold"] = {"value": None, "from": "each of its runs has its own"}
    folders.write_yaml(directory / "config.yaml", settings)
    if (first / "confounding.json").exists():
        link(first / "confounding.json", directory / "confounding.json")
    _write_timings(directory, members)
    _write_details(directory, members, predictions)
    _write_words(directory, members, tables)
    link_pictures(directory, members, scores)


def _summary(first: Path, scores: Any, members: Sequence[Path]) -> list[dict[str, Any]]:
    """The scores of all test cases, with intervals over their subjects, in the form of a run's.

    What only a whole run has, such as the accuracy of a site probe, is the mean over the folds, without an interval.
    """
    import pandas as pd

    facts = folders.read_json(first / "provenance.json")
    settings = {key: entry["value"] for key, entry in folders.read_settings(first)["run"].items()}
    run, task = RunSettings.model_validate(settings), task_from(facts["task"])
    hooks = installed_hooks(lambda sentence: None)
    evaluators = evaluators_for(task, run, hooks.call("mdx_evaluators", task=task))
    made = [found for e in evaluators if len(found := e.summarise(scores))]
    rows = pd.concat(made, ignore_index=True).to_dict(orient="records") if made else []
    known = {row["metric"] for row in rows}
    whole: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for member in members:
        for row in folders.read_json(member / "summary.json"):
            if row["metric"] not in known and row["group"] == "all":
                whole.setdefault((row["metric"], row["group"]), []).append(row)
    rows += [_mean_row(found) for found in whole.values() if len(found) == len(members)]
    return rows


def _mean_row(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    means = [row["mean"] for row in found if row["mean"] is not None]
    totals = {key: sum(row[key] for row in found) for key in ("n_cases", "n_subjects", "n_undefined")}
    row = dict.fromkeys(COLUMNS) | {key: found[0][key] for key in ("metric", "better", "group")} | totals
    return row | {"mean": sum(means) / len(means) if means else None}


def _write_splits(directory: Path, members: Sequence[Path]) -> None:
    """splits.csv: every case is a test case of one fold."""
    import pandas as pd

    found = [folders.read_splits(member) for member in members]
    tested = [table[table["split"] == "test"].assign(fold=fold) for fold, table in enumerate(found)]
    rows = pd.concat(tested).set_index("case").loc[found[0]["case"]].reset_index()
    columns = ["case", "subject", "site", "split", "role", "fold"]
    write_atomically(directory / "splits.csv", csv_text(rows[columns]))


def _write_table(directory: Path, first: Path) -> None:
    """data.csv of a run, with its cases' split as this folder has it."""
    if not (first / "data.csv").exists():
        return
    table = read_frame(first / "data.csv", dtype=str, na_values=[])
    write_atomically(directory / "data.csv", csv_text(table.assign(split="test")))


def _write_timings(directory: Path, members: Sequence[Path]) -> None:
    """The seconds of all folds together."""
    total: dict[str, Any] = {"fit": 0.0, "apply": 0.0, "stages": {}, "cases": {}}
    for member in members:
        found = folders.read_json(member / "timings.json") if (member / "timings.json").exists() else {}
        total["cases"] |= found.get("cases", {})
        for key in ("fit", "apply"):
            total[key] += found.get(key, 0.0)
        for stage, seconds in found.get("stages", {}).items():
            total["stages"][stage] = total["stages"].get(stage, 0.0) + seconds
    write_json(directory / "timings.json", total)


def _write_details(directory: Path, members: Sequence[Path], predictions: Sequence[Path]) -> None:
    """What was said of each case besides its scores, and its prediction, by the run that had not seen it."""
    details: dict[str, Any] = {}
    for member in members:
        if (member / "details.json").exists():
            details |= folders.read_json(member / "details.json")
    if details:
        write_json(directory / "details.json", details)
    for folder in predictions:
        if folder.is_dir():
            linked_tree(folder, directory / "predictions")


def _write_words(directory: Path, members: Sequence[Path], tables: Sequence[Any]) -> None:
    """notes.json, and the scores of each fold as a table of the page."""
    found = [folders.read_json(m / "notes.json") if (m / "notes.json").exists() else [] for m in members]
    common = [note for note in found[0] if all(note in other for other in found)]
    n = len(members)
    how = (
        f"The scores of {n} folds are pooled: each subject is tested once, by a training that has not seen it. "
        f"Intervals are over subjects. The {n} trainings share most of their subjects, so the intervals hold no more "
        "of the variance of training than shows between these folds."
    )
    write_json(directory / "notes.json", [how, *common])
    methods = [methods_of(member)[:1] for member in members]
    rows = _rows_of_folds([found[0] for found in methods if found], tables)
    write_shown(directory, [{"kind": "table", "title": "The folds", "text": _spread_words(rows), "rows": rows}])


def _rows_of_folds(methods: Sequence[Method], tables: Sequence[Any]) -> list[dict[str, Any]]:
    """The mean of the leading score of each fold by site, and over the folds their mean and SD."""
    import numpy as np

    metric = (metrics_shown([methods[0]]) or [""])[0]
    sites = sorted({site for table in tables for site in table["site"]})
    rows: list[dict[str, Any]] = []
    for fold, (method, table) in enumerate(zip(methods, tables, strict=True)):
        subjects = table.groupby("site")["subject"].nunique()
        row: dict[str, Any] = {"fold": fold}
        for site in sites:
            found = method.row(metric, f"site={site}")
            row |= {f"{site}: n": int(subjects.get(site, 0)), f"{site}: {metric}": found["mean"] if found else None}
        rows.append(row)
    scores = {f"{site}: {metric}": [row[f"{site}: {metric}"] for row in rows] for site in sites}
    known = {name: [v for v in values if v is not None] for name, values in scores.items()}
    mean = {"fold": "mean of folds"} | {name: float(np.mean(v)) for name, v in known.items() if v}
    spread = {"fold": "SD between folds"} | {name: float(np.std(v, ddof=1)) for name, v in known.items() if len(v) > 1}
    return [*rows, mean, spread]


def _spread_words(rows: Sequence[Mapping[str, Any]]) -> str:
    return (
        f"The mean of the test cases of each of the {len(rows) - 2} folds, and its spread, which holds other subjects "
        "as well as another training. The mean of folds need not be the pooled mean, where folds are of different size."
    )


def _write_provenance(directory: Path, first: Path, identity: str) -> None:
    """That of the first fold, with what is not that fold's own."""
    facts = dict(folders.read_json(first / "provenance.json"))
    splits = folders.read_splits(directory)
    pairs = sorted(zip(splits["case"], splits["fold"], strict=True))
    layers = [[name, {k: v for k, v in values.items() if k != "data.fold"}] for name, values in facts["layers"]]
    facts |= {
        "identity": identity, "layers": layers, "started": folders.now(),
        "split_hash": hashlib.sha256(json.dumps(pairs).encode()).hexdigest()[:16],
    }  # fmt: skip
    write_json(directory / "provenance.json", facts)
