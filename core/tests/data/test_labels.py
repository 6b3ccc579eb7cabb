"""Kinds of truth: which column of a table is one, and what is read of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image

from mdx.data.batches.loading import boxes_csv
from mdx.data.batches.sampling import Batches, RandomPatches, make_loader
from mdx.data.checks import check
from mdx.data.config import DataConfig
from mdx.data.files.box_files import boxes_of, boxes_text, read_boxes
from mdx.data.labels import LABELS
from mdx.data.labels.several import classes_of, text_of
from mdx.data.open import open_table
from mdx.errors import DataError
from mdx.interfaces.dataset import TaskKind
from mdx.plugins.manifest import TASKS

VOC = """<annotation><size><width>40</width></size>
<object><name>cell</name><bndbox><xmin>11</xmin><ymin>6</ymin><xmax>20</xmax><ymax>10</ymax></bndbox></object>
</annotation>"""
PLAIN = DataConfig(intensity="none")


def table(folder: Path, columns: dict[str, list[str]], size: tuple[int, int] = (40, 30), marked: bool = True) -> Path:
    """A table of black pictures of ``size`` (width, height) with a white rectangle, x 10 to 20 and y 5 to 10."""
    n = len(next(iter(columns.values())))
    values = np.zeros((size[1], size[0]), np.uint8)
    values[5:10, 10:20] = 255 if marked else 0
    lines = [",".join(["image", "subject", "site", *columns])]
    for i in range(n):
        Image.fromarray(values).save(folder / f"{i}.png")
        cells = ['"' + column[i].replace('"', '""') + '"' for column in columns.values()]
        lines.append(",".join([f"{i}.png", f"s{i}", "AB"[i % 2], *cells]))
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    return folder / "t.csv"


def test_manifests_know_every_kind() -> None:
    assert set(TASKS) == set(get_args(TaskKind)) == set(LABELS)


@pytest.mark.parametrize(
    ("columns", "tasks", "kind", "label"),
    [
        ({"boxes": ["[[1,2,3,4]]", "[]"]}, (), "detection", "boxes"),
        ({"class": ["a|b", "a"]}, (), "multilabel", "class"),
        ({"class": ["a|b", "a"]}, ("classification",), "classification", "class"),
        ({"class": ["a", "b"], "age": ["30", "40"]}, (), "classification", "class"),
        ({"class": ["a", "b"], "age": ["30", "40"]}, ("regression",), "regression", "age"),
        ({"class": ["a", "b"]}, ("nothing",), "nothing", ""),
        ({"class": ["a", "b"]}, ("detection",), "classification", "class"),  # the run then says what it wants
        ({"note": ["a", "b"]}, (), "harmonisation", ""),
    ],
)
def test_the_tasks_of_a_plugin_choose_among_the_columns(
    tmp_path: Path, columns: dict[str, list[str]], tasks: tuple[str, ...], kind: str, label: str
) -> None:
    task = open_table(table(tmp_path, columns), PLAIN, tasks).task
    assert (task.kind, task.label) == (kind, label)


def test_data_label_decides_where_several_fit(tmp_path: Path) -> None:
    path = table(tmp_path, {"class": ["a", "b"], "stage": ["x|y", "x"], "score": ["1.5", "2.5"]})
    kinds = {name: open_table(path, DataConfig(label=name)).task.kind for name in ("class", "stage", "score")}
    assert kinds == {"class": "classification", "stage": "multilabel", "score": "regression"}


@pytest.mark.parametrize("stored", ["cell", "voc", "csv", "tsv"])
def test_boxes_of_every_form_are_the_same(tmp_path: Path, stored: str) -> None:
    (tmp_path / "b.xml").write_text(VOC)
    (tmp_path / "b.csv").write_text("class,x1,y1,x2,y2\ncell,10,5,20,10\n")
    (tmp_path / "b.tsv").write_text("x1\ty1\tx2\ty2\tclass\n10\t5\t20\t10\tcell\n")
    cell = {"cell": '[[10, 5, 20, 10, "cell"]]', "voc": "b.xml", "csv": "b.csv", "tsv": "b.tsv"}[stored]
    data = open_table(table(tmp_path, {"boxes": [cell, "[]"]}), PLAIN)
    assert data.task.classes == ("cell",)
    assert [data.load(case).label("boxes").tolist() for case in data.cases] == [[[10, 5, 20, 10, 0]], []]
    assert check(data, PLAIN).errors == []


@pytest.mark.parametrize("how", ["crop", "resize"])
@pytest.mark.parametrize("size", [(60, 60), (20, 24), (15, 80)])
def test_boxes_go_with_their_image_and_come_back(tmp_path: Path, how: str, size: tuple[int, int]) -> None:
    config = DataConfig(intensity="none", size=size, fit=how)  # type: ignore[arg-type]
    data = open_table(table(tmp_path, {"boxes": ["[[10,5,20,10]]", "[]"]}), config)
    sample = data.load(data.cases[0])
    x1, y1, x2, y2 = sample.label("boxes")[0, :4].tolist()
    rows, columns = np.nonzero(sample.image[0].numpy() > 128)
    found = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    assert np.abs(found - [x1, y1, x2, y2]).max() <= 0.75  # of a pixel, whose edges resampling blurs
    said = np.array([[x1, y1, x2, y2, 0.9, 0]])
    (tmp_path / "p.csv").write_text(boxes_csv(said, sample.geometry, data.task))
    if how == "resize" or size == (60, 60):
        assert read_boxes(tmp_path / "p.csv")[0][:4] == pytest.approx((10, 5, 20, 10), abs=0.02)


def test_a_box_that_a_crop_cuts_away_is_left_out(tmp_path: Path) -> None:
    config = DataConfig(intensity="none", size=(10, 10), fit="crop")  # rows 10 to 20, columns 15 to 25
    data = open_table(table(tmp_path, {"boxes": ["[[1,1,4,4],[10,5,20,12]]", "[]"]}), config)
    assert data.load(data.cases[0]).label("boxes").tolist() == [[0, 0, 5, 2, 0]]


def test_batches_hold_a_list_of_boxes(tmp_path: Path) -> None:
    data = open_table(table(tmp_path, {"boxes": ["[[10,5,20,10]]", "[]", "[[1,1,2,2],[3,3,5,5]]"]}), PLAIN)
    loader: Batches = make_loader(data, 3, seed=0, shuffle=False)
    (batch,) = loader
    assert [len(boxes) for boxes in batch.label("boxes")] == [1, 0, 2]
    assert [len(part.label("boxes")) for part in batch.parts(2)] == [2, 1]
    assert len(batch.to(torch.device("cpu")).label("boxes")) == 3
    with pytest.raises(DataError, match="'boxes' cannot be cut into pieces"):
        next(iter(make_loader(data, 2, seed=0, view=RandomPatches(8))))


@pytest.mark.parametrize(
    "cell",
    ["[[1,2,3]]", "[[1,2,3,4,5,6]]", "[[5,2,1,4]]", "[[1,2,1,4]]", "[1,2,3,4]", "[[1,2,NaN,4]]", '[["a",2,3,4]]',
     "[", "[" * 5000, '{"a": 1}', "[[1,2,1e400,4]]"],
)  # fmt: skip
def test_cells_that_hold_no_boxes_are_named_by_line(tmp_path: Path, cell: str) -> None:
    with pytest.raises(DataError) as raised:
        boxes_of(cell)
    assert raised.value.remedy
    if cell.startswith("["):
        with pytest.raises(DataError, match="line 3"):
            open_table(table(tmp_path, {"boxes": ["[]", cell]}), PLAIN)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("b.xml", "<annotation><object><name>c</name></object></annotation>"),
        ("b.xml", "<annotation><object>"),
        ("b.xml", '<!DOCTYPE a [<!ENTITY x "y">]><annotation>&x;</annotation>'),
        ("b.csv", "x,y,w,h\n1,2,3,4\n"),
        ("b.csv", "x1,y1,x2,y2\n1,2,three,4\n"),
        ("b.csv", "\0\1\2"),
        ("b.csv", ""),
        ("absent.xml", None),
    ],
)
def test_files_that_hold_no_boxes_are_named(tmp_path: Path, name: str, text: str | None) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=name.replace(".", r"\.")) as raised:
        open_table(table(tmp_path, {"boxes": [name, "[]"]}), PLAIN)
    assert "line 2" in str(raised.value)


def test_boxes_outside_their_image_are_an_error_of_the_check(tmp_path: Path) -> None:
    data = open_table(table(tmp_path, {"boxes": ["[[100,5,120,10]]", "[[1,1,5,5]]"]}), PLAIN)
    (problem,) = check(data, PLAIN).errors
    assert "outside the image of 40 x 30 pixels" in problem.what


def test_boxes_are_hidden_like_any_label(tmp_path: Path) -> None:
    data = open_table(table(tmp_path, {"boxes": ["[[10,5,20,10]]", "[[1,1,5,5]]"]}), PLAIN)
    hidden = data.without_labels(id=data.cases[0].id)
    assert hidden.cases[0].value("boxes") is None
    assert hidden.load(hidden.cases[0]).labels == {}


def test_several_classes_are_a_vector_of_zeros_and_ones(tmp_path: Path) -> None:
    data = open_table(table(tmp_path, {"class": ["b|a", "No Finding", "c", ""]}), PLAIN)
    assert data.task.classes == ("a", "b", "c")
    assert [data.load(c).label("class").tolist() for c in data.cases[:3]] == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert len(data.labelled) == 3
    assert text_of([]) == "No Finding"
    assert classes_of("a | b|a|") == ["a", "b"]


def test_lists_of_boxes_survive_being_written(tmp_path: Path) -> None:
    boxes = [(1.5, 2.0, 3.25, 4.0, 'the "round" one'), (0.0, 0.0, 1.0, 1.0, "é,|")]
    assert boxes_of(boxes_text(boxes)) == boxes
    assert json.loads(boxes_text([])) == []


def test_rows_without_labels_hold_no_label_of_another_task(tmp_path: Path) -> None:
    path = table(tmp_path, {"class": ["a", "b"], "age": ["30", "40"], "stage": ["1", "2"], "tone": ["x", "y"]})
    data = open_table(path, DataConfig(label="stage"), ("nothing",))
    assert [set(case.columns) for case in data.cases] == [{"tone"}] * 2
    Image.new("L", (40, 30)).save(tmp_path / "m.png")
    path.write_text("image,mask,subject,site\n0.png,m.png,s0,A\n1.png,m.png,s1,B\n")
    assert [case.mask for case in open_table(path, PLAIN, ("nothing",)).cases] == [None, None]
