from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from mdx.data.config import DataConfig
from mdx.data.open import open_table
from mdx.data.table import write_table
from mdx.errors import DataError
from mdx.evaluation.multilabel import MultilabelEvaluator
from mdx.interfaces.adapter import Prediction
from mdx.interfaces.dataset import Task

ROWS = ["1,0", "-1.0,1.0", ",1", ",", "0,0"]


def table(folder: Path, rows: list[str]) -> Path:
    """Chest films with a column for each of two findings, as CheXpert has them."""
    lines = ["image,subject,site,Edema,Fracture"]
    for i, cells in enumerate(rows):
        Image.fromarray(np.full((8, 8), i, np.uint8)).save(folder / f"{i}.png")
        lines.append(f"{i}.png,s{i},A,{cells}")
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    return folder / "t.csv"


def config(**more: object) -> DataConfig:
    return DataConfig.model_validate({"label": "Edema,Fracture", **more})


@pytest.mark.parametrize(("uncertain", "value"), [("negative", 0.0), ("positive", 1.0), ("ignore", float("nan"))])
def test_columns_of_findings_are_one_label_and_the_settings_say_what_uncertain_counts(
    tmp_path: Path, uncertain: str, value: float
) -> None:
    data = open_table(table(tmp_path, ROWS), config(uncertain=uncertain)).revealed()
    assert (data.task.kind, data.task.classes) == ("multilabel", ("Edema", "Fracture"))
    read = {c.subject: data.load(c).label(data.task.label) for c in data.labelled.cases}
    wanted = {"s0": [1, 0], "s1": [value, 1], "s2": [0, 1], "s4": [0, 0]}  # s3 has no label
    assert read.keys() == wanted.keys()
    for name, values in wanted.items():
        torch.testing.assert_close(read[name], torch.tensor(values, dtype=torch.float32), equal_nan=True)


def test_no_column_of_a_finding_stays_beside_the_label_that_is_hidden(tmp_path: Path) -> None:
    data = open_table(table(tmp_path, ROWS), config()).without_labels()
    assert all(not {"Edema", "Fracture"} & set(case.columns) for case in data.cases)
    assert all(case.columns.get(data.task.label) is None for case in data.cases)


def test_cells_that_are_no_findings_and_columns_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 3: Fracture 'maybe'"):
        open_table(table(tmp_path, ["1,0", "0,maybe"]), config())
    with pytest.raises(DataError, match=r"no column 'Edma'.*Edema"):
        open_table(table(tmp_path, ROWS), config(label="Edma,Fracture"))


def test_a_table_that_is_written_again_has_the_same_findings(tmp_path: Path) -> None:
    data = open_table(table(tmp_path, ROWS), config(uncertain="ignore"))
    write_table(data.cases, tmp_path / "again.csv")
    again = open_table(tmp_path / "again.csv", config(uncertain="ignore"))
    assert [c.columns[data.task.label] for c in again.cases] == [c.columns[data.task.label] for c in data.cases]
    assert again.task.classes == data.task.classes


def test_what_is_not_known_of_a_case_counts_in_no_score_of_it(tmp_path: Path) -> None:
    data = open_table(table(tmp_path, ROWS), config(uncertain="ignore")).revealed()
    (case,) = data.where(id="s1").cases
    sample = data.load(case)
    evaluator = MultilabelEvaluator(data.task)
    scores = [evaluator.per_case(Prediction(sample.geometry, classes=np.array([p, 0.9])), sample) for p in (0.1, 0.8)]
    assert [(s["f1"], s["hamming"]) for s in scores] == [(1.0, 1.0), (1.0, 1.0)]
    assert scores[0]["brier"] == scores[1]["brier"] == pytest.approx(0.01)
    assert scores[0]["truth"] == "Fracture|?Edema"


def test_the_auroc_of_a_finding_leaves_out_cases_of_which_it_is_not_known() -> None:
    evaluator = MultilabelEvaluator(
        Task("multilabel", channels=("c",), dims=2, sites=("A",), label="x", classes=("A", "B"))
    )
    rows = pd.DataFrame(
        {"truth": ["A", "No Finding", "?A", "B"], "p_A": [0.6, 0.4, 0.99, 0.5], "p_B": [0.1, 0.2, 0.1, 0.9]}
    )
    found = evaluator.set_scores(rows, np.ones((1, 4)))
    assert found["auroc_A"][0] == 1.0
    assert found["auroc_B"][0] == 1.0


@pytest.mark.parametrize("label", ["Edema,No Finding", "Edema,Edema", "Edema,?Fracture", "Edema,"])
def test_names_that_are_no_findings_of_their_own_are_refused(tmp_path: Path, label: str) -> None:
    with pytest.raises(DataError, match="finding"):
        open_table(table(tmp_path, ROWS), config(label=label))
