"""Run directories as finished runs leave them, with scores of our choice: what ``mdx compare`` reads."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from mdx.evaluation.classification import ClassificationEvaluator
from mdx.evaluation.statistics import summarise
from mdx.files import write_json
from mdx.interfaces.adapter import Prediction
from mdx.interfaces.dataset import Case, Sample, Task
from mdx.interfaces.geometry import Geometry

SEGMENTATION = {"surface_dice": "max", "dice": "max", "volume_error_percent": "zero"}

N = 24
BASE = np.random.default_rng(0).normal(0.8, 0.05, N)
BETTER = BASE + np.random.default_rng(1).normal(0.06, 0.02, N)
ALIKE = BASE + np.random.default_rng(2).normal(0.0, 0.03, N)
"""Scores of test cases: of a method, of a better one, and of one that cannot be told from it."""


def cohort(per_site: int = 8, sites: Sequence[str] = ("A", "B", "C"), source: str = "A") -> pd.DataFrame:
    """Test cases of some sites, the first one the source; one train case a site besides."""
    rows = [
        {"case": f"{site}{i}", "subject": f"{site}{i}", "site": site, "split": "test" if i else "train",
         "role": "source" if site == source else "target"}
        for site in sites for i in range(per_site + 1)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def write_run(
    folder: Path,
    variant: str,
    scores: np.ndarray | Mapping[str, np.ndarray],
    cases: pd.DataFrame | None = None,
    *,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    done: bool = True,
    **facts: Any,
) -> Path:
    """A segmentation run whose test cases have the given surface Dice (and other metrics, if a mapping)."""
    cases = cohort() if cases is None else cases
    tested = cases[cases["split"] == "test"].reset_index(drop=True)
    columns = scores if isinstance(scores, Mapping) else {"surface_dice": scores}
    rows = tested.assign(**{name: np.asarray(values) for name, values in columns.items()})
    metrics = {name: SEGMENTATION[name] for name in columns}
    return _write(
        folder, variant, rows, summarise(rows, metrics, 100), cases, "segmentation", seed, settings, done, facts
    )


def write_classification(
    folder: Path, variant: str, probabilities: np.ndarray, truth: np.ndarray, *, seed: int = 0, per_site: int = 8,
    tested: Sequence[str] | None = None,
) -> Path:  # fmt: skip
    """A classification run of two classes on the cases of ``cohort``, or on those ``tested`` of them."""
    cases = cohort(per_site)
    facts = {}
    if tested is not None:
        cases["split"] = ["test" if case in tested else "train" for case in cases["case"]]
        facts = {"split_hash": " ".join(tested)}
    tested = cases[cases["split"] == "test"]
    task = Task("classification", ("well", "ill"), ("image",), 2, ("A", "B", "C"), "class")
    evaluator = ClassificationEvaluator(task, 100)
    geometry = Geometry(np.eye(4), (1, 1))
    rows = []
    for row, p, t in zip(tested.to_dict(orient="records"), probabilities, truth, strict=True):
        case = Case(row["case"], row["subject"], row["site"], {}, split="test", role=row["role"])
        sample = Sample(case, None, geometry, {"class": int(t)})  # type: ignore[arg-type]
        rows.append(row | evaluator.per_case(Prediction(geometry, classes=np.array([1 - p, p])), sample))
    table = pd.DataFrame(rows)
    return _write(folder, variant, table, evaluator.summarise(table), cases, "classification", seed, None, True, facts)


def _write(
    folder: Path, variant: str, rows: pd.DataFrame, summary: pd.DataFrame, cases: pd.DataFrame, kind: str, seed: int,
    settings: Mapping[str, Any] | None, done: bool, facts: Mapping[str, Any],
) -> Path:  # fmt: skip
    folder.mkdir(parents=True)
    rows.to_csv(folder / "scores.csv", index=False)
    cases.to_csv(folder / "splits.csv", index=False)
    write_json(folder / "summary.json", summary.to_dict(orient="records"))
    classes = ["well", "ill"] if kind == "classification" else ["1"]
    write_json(folder / "provenance.json", {
        "plugin": "made", "variant": variant, "baselines": [], "preset": None, "seed": seed, "target_labels": "never",
        "mdx": "0.1.0", "data": "cohort.csv", "data_uri_kind": "csv", "split_hash": _hash(cases),
        "task": {
            "kind": kind, "classes": classes, "label": "class" if kind == "classification" else "mask",
            "channels": ["image"], "dims": 3, "sites": ["A", "B", "C"],
        },
        **facts,
    })  # fmt: skip
    values = {"method": {"beta": 0.1}, "data": {"split_seed": 0, "cache": True}, "run": {"tolerance_mm": 1.0}}
    for key, value in (settings or {}).items():
        space, _, name = key.partition(".")
        values[space] = {**values[space], name: value}
    config = {s: {k: {"value": v, "from": "default"} for k, v in found.items()} for s, found in values.items()}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    write_json(folder / "status.json", {"state": "done" if done else "stopped"})
    if done:
        (folder / "done").write_text("")
    return folder


def _hash(cases: pd.DataFrame) -> str:
    return hashlib.sha256(cases[["case", "split"]].to_csv().encode()).hexdigest()[:16]
