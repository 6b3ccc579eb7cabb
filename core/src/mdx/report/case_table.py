"""The table of all test cases below the scores of a run's page, and what is shown of each case."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mdx.evaluation.statistics import goodness
from mdx.report.case_pictures import PicturesOfCases, pictures_of_cases
from mdx.report.intensities import densities_drawn
from mdx.report.text import Method, metric_words, metrics_shown, site_roles
from mdx.runs.folders import read_json, read_scores

MOST_ROWS = 300
"""Rows on the page; the others stand in scores.csv."""
MOST_SCORES = 2
"""Scores that have columns of the method, of the baseline and of their difference."""
EXAMPLES = {
    "classification": "Right and wrong: the surest of each true class in turn. Most uncertain: lowest probabilities.",
    "multilabel": "Right and wrong: the surest of each truth in turn. Most uncertain: a class near one half.",
    "regression": "Nearest to the truth, and furthest from it on either side.",
}
"""How the pictures of the gallery were chosen."""
WRITTEN = re.compile(r"(?P<stem>[^.].*?)(\.nii\.gz|\.[A-Za-z0-9]+)")
KINDS = ("_image", "_boxes")
"""The file of a prediction, as ``write_prediction`` names it: the case, what the file holds, a suffix."""


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes:
        name: what it holds.
        below: a smaller second line: whose score it is.
        values: one a row; texts, or numbers of which NaN is drawn as a dash.
        form: how numbers are written; empty for texts.
        wrong: for texts, which rows are wrong.
    """

    name: str
    below: str
    values: Sequence[Any]
    form: str = ""
    wrong: Sequence[bool] = ()

    def cell(self, row: int) -> tuple[str, str]:
        """The text of a row, and the class of its cell: ``n`` for numbers, ``wrong``, or none."""
        value = self.values[row]
        if not self.form:
            return str(value), "wrong" if self.wrong and self.wrong[row] else ""
        return (self.form % value if value == value else "-"), "n"


def cases_of(directory: Path, methods: list[Method]) -> dict[str, Any]:
    """What ``cases.html.j2`` draws of a run's test cases: the table, pictures and intensities; empty before scoring."""
    if not methods:
        return {}
    table = read_scores(methods[0].directory)
    other = (methods[1].name, read_scores(methods[1].directory)) if len(methods) > 1 else None
    pictures = pictures_of_cases(methods[0].directory, table)
    return {
        "table": case_table(
            table, other, methods, predictions_in(directory / "predictions", table["case"].tolist()), pictures
        ),
        "pictures": pictures,
        "examples": EXAMPLES.get(read_json(directory / "provenance.json").get("task", {}).get("kind", ""), ""),
        "densities": densities_drawn(methods[0].directory, site_roles(directory)),
    }


def case_table(
    table: Any,
    other: tuple[str, Any] | None,
    methods: Sequence[Method],
    files: Mapping[str, str],
    pictures: PicturesOfCases,
) -> dict[str, Any]:
    """Heads and rows of the worst ``MOST_ROWS`` cases, worst first.

    Args:
        table: scores.csv of the run's own method.
        other: name and scores.csv of the first baseline.
        files: case -> the file of its prediction, relative to the page.
    """
    better = {row["metric"]: row.get("better", "max") for row in methods[0].summary}
    shown = [m for m in metrics_shown(list(methods)) if m in table]
    worth, ranked_by = _worth(table, shown, better)
    if worth is not None:
        table = table.assign(_worth=worth).sort_values(["_worth", "case"], kind="stable", na_position="last")
    whole, table = len(table), table.head(MOST_ROWS).reset_index(drop=True)
    before = other[1].drop_duplicates("case").set_index("case").reindex(table["case"]) if other else None
    names = (methods[0].name, other[0] if other else "")
    columns = [*_said(table), *_compared(table, before, names, shown)]
    facts = [name for name in ("subject", "site") if name == "site" or (table[name] != table["case"]).any()]
    return {
        "facts": facts,
        "heads": [(c.name, c.below, "n" if c.form else "") for c in columns],
        "rows": [
            {
                "case": case, "facts": [table[name][i] for name in facts], "file": files.get(case, ""),
                "picture": pictures.anchors.get(case, ""), "cells": [c.cell(i) for c in columns],
            }
            for i, case in enumerate(table["case"])
        ],
        "whole": whole,
        "links": any(case in files for case in table["case"]),
        "ranked_by": ranked_by,
    }  # fmt: skip


def _worth(table: Any, shown: Sequence[str], better: Mapping[str, str]) -> tuple[Any, str]:
    """A number a row that grows as the case is better, and what it is called; None where no case has a score."""
    truth = _of_truth(table)
    if truth is not None:
        return truth, "the probability of its true class"
    for metric in shown:
        if table[metric].notna().any():
            direction = better.get(metric, "max")
            return [goodness(value, direction) for value in table[metric]], metric_words(metric)
    return None, ""


def _said(table: Any) -> list[Column]:
    """Truth and prediction, and what belongs to them: the probability, or the error."""
    if not {"truth", "predicted"} <= set(table):
        return []
    if "error" in table:
        numbers = [Column(name, "", list(table[name]), "%.4g") for name in ("truth", "predicted")]
        return [*numbers, Column("error", "", list(table["error"]), "%+.3g")]
    wrong = list(table["hamming"] < 1 if "hamming" in table else table["truth"] != table["predicted"])
    said = [Column("truth", "", list(table["truth"])), Column("predicted", "", list(table["predicted"]), wrong=wrong)]
    if "accuracy" not in table:  # findings: each has a probability of its own
        return said
    return [*said, Column("probability", "of predicted", _probability(table, "predicted"), "%.3f")]


def _compared(table: Any, before: Any, names: tuple[str, str], shown: Sequence[str]) -> list[Column]:
    """The main scores of the method and of the first baseline, and their difference."""
    if (truth := _of_truth(table)) is not None:
        was = None if before is None else _of_truth(before)
        return _triple("probability of truth", truth, was, names)
    made: list[Column] = []
    for metric in shown[:MOST_SCORES]:
        was = before[metric].to_numpy() if before is not None and metric in before else None
        made += _triple(metric_words(metric), list(table[metric]), was, names)
    return made


def _triple(name: str, after: Sequence[float], before: Iterable[float] | None, names: tuple[str, str]) -> list[Column]:
    own = Column(name, names[0], after, "%.3f")
    if before is None:
        return [own]
    before = list(before)
    change = [a - b for a, b in zip(after, before, strict=True)]
    return [own, Column(name, names[1], before, "%.3f"), Column("difference", name, change, "%+.3f")]


def _of_truth(table: Any) -> list[float] | None:
    """The probability of the true class of each case; None for other tasks than classification."""
    return _probability(table, "truth") if {"accuracy", "truth"} <= set(table) else None


def _probability(table: Any, column: str) -> list[float]:
    """The probability of the class that stands in ``column``; NaN where there is none."""
    known = {name.removeprefix("p_"): table[name].to_numpy(dtype=float) for name in table if name.startswith("p_")}
    nothing = float("nan")
    return [float(known[name][i]) if name in known else nothing for i, name in enumerate(table[column].astype(str))]


def predictions_in(folder: Path, cases: Sequence[str]) -> dict[str, str]:
    """Case -> its prediction's file as a link from the page; of several the mask, or the image, or the boxes."""
    there = [path.name for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
    files = {match["stem"]: match[0] for name in sorted(there) if (match := WRITTEN.fullmatch(name))}
    others = set(cases)
    found = {}
    for case in cases:
        stems = [case, *(case + kind for kind in KINDS if case + kind not in others)]
        stem = next((stem for stem in stems if stem in files), None)
        if stem:
            found[case] = quote(f"{folder.name}/{files[stem]}")
    return found
