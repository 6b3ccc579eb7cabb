"""``mdx apply`` on folders, patterns and tables, with a file that fails among them."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mdx.data.config import DataConfig
from mdx.errors import UsageError
from mdx.interfaces.dataset import Case
from mdx.workflow.inputs import by_column

Cli = Callable[..., tuple[int, str]]


@pytest.fixture
def tree(finished: tuple[Path, Path], tmp_path: Path) -> Path:
    """Three scans in two folders, a mask by its name, and a file that is no image."""
    scan = finished[0].parent / "images" / "A0.nii.gz"
    folder = tmp_path / "tree"
    for place in ("p1/t0.nii.gz", "p1/t1.nii.gz", "p2/t0.nii.gz", "p2/t0_mask.nii.gz"):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(scan, folder / place)
    (folder / "p2" / "torn.nii.gz").write_bytes(b"no image")
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_a_folder_makes_the_same_tree_and_one_torn_file_stops_no_other(
    finished: tuple[Path, Path], tree: Path, tmp_path: Path, mdx: Cli
) -> None:
    code, printed = mdx("apply", finished[1], tree, "--out", tmp_path / "out")
    assert code == 4
    assert "1 of 4 could not be predicted" in printed
    assert "torn.nii.gz" in printed
    written = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.nii.gz"))
    assert written == ["p1/t0.nii.gz", "p1/t1.nii.gz", "p2/t0.nii.gz"]
    rows = rows_of(tmp_path / "out" / "predictions.csv")
    assert [row["file"] for row in rows] == ["p1/t0", "p1/t1", "p2/t0"]


def test_the_volume_that_is_printed_is_that_of_the_mask(
    finished: tuple[Path, Path], tree: Path, tmp_path: Path, mdx: Cli
) -> None:
    code, printed = mdx("apply", finished[1], tree / "p1" / "t0.nii.gz", "--out", tmp_path / "out")
    assert code == 0
    mask = nib.load(tmp_path / "out" / "t0.nii.gz")
    values = np.asarray(mask.dataobj)  # type: ignore[attr-defined]
    (row,) = rows_of(tmp_path / "out" / "predictions.csv")
    for column in row.keys() - {"file", *[k for k in row if not k.startswith("ml_")]}:
        number = 1 + [k for k in row if k.startswith("ml_")].index(column)
        ml = (values == number).sum() * np.prod(mask.header.get_zooms()[:3]) / 1000  # type: ignore[attr-defined]
        assert float(row[column]) == pytest.approx(float(ml), abs=1e-3)
        assert column in printed


def test_probabilities_lie_beside_the_mask_that_they_make(
    finished: tuple[Path, Path], tree: Path, tmp_path: Path, mdx: Cli
) -> None:
    scan = tree / "p1" / "t0.nii.gz"
    assert mdx("apply", finished[1], scan, "--out", tmp_path / "out", "--probabilities")[0] == 0
    mask = np.asarray(nib.load(tmp_path / "out" / "t0.nii.gz").dataobj)  # type: ignore[attr-defined]
    parts = sorted((tmp_path / "out").glob("t0_p_*.nii.gz"))
    classes = json.loads((finished[1] / "provenance.json").read_text())["task"]["classes"]
    assert [p.name for p in parts] == sorted(f"t0_p_{name}.nii.gz" for name in classes)
    found = np.stack([np.asarray(nib.load(p).dataobj) for p in parts])  # type: ignore[attr-defined]
    assert found.dtype == np.float32
    assert np.array_equal(found.max(axis=0) > 0.5, mask > 0)


def test_a_pattern_is_its_files_and_a_table_its_rows(
    finished: tuple[Path, Path], tree: Path, tmp_path: Path, mdx: Cli
) -> None:
    code, printed = mdx("apply", finished[1], f"{tree}/p1/*.nii.gz", "--out", tmp_path / "a", "--json")
    assert code == 0
    assert [Path(name).name for name in json.loads(printed)] == ["t0.nii.gz", "t1.nii.gz"]
    code, printed = mdx("apply", finished[1], finished[0], "--out", tmp_path / "b")
    assert code == 0, printed
    cases = rows_of(finished[0])
    assert len(rows_of(tmp_path / "b" / "predictions.csv")) == len(cases)
    code, printed = mdx("apply", finished[1], f"{tree}/none*.nii.gz", "--out", tmp_path / "c")
    assert (code, "no file has such a name" in printed) == (4, True)


def test_the_table_of_predictions_grows_and_says_nothing_twice(
    finished: tuple[Path, Path], tree: Path, tmp_path: Path, mdx: Cli
) -> None:
    first, second = tree / "p1" / "t0.nii.gz", tree / "p1" / "t1.nii.gz"
    for scan in (first, second):
        assert mdx("apply", finished[1], scan, "--out", tmp_path / "out")[0] == 0
    assert [row["file"] for row in rows_of(tmp_path / "out" / "predictions.csv")] == ["t0", "t1"]
    assert mdx("apply", finished[1], first, "--out", tmp_path / "out")[0] == 2
    assert mdx("apply", finished[1], first, "--out", tmp_path / "out", "--force")[0] == 0
    assert [row["file"] for row in rows_of(tmp_path / "out" / "predictions.csv")] == ["t1", "t0"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "predictions.csv").write_text("mine\n1\n")
    assert mdx("apply", finished[1], first, "--out", tmp_path / "other")[0] == 2
    assert (tmp_path / "other" / "predictions.csv").read_text() == "mine\n1\n"


def test_what_was_predicted_before_is_no_input_of_the_same_folder(
    finished: tuple[Path, Path], tree: Path, mdx: Cli
) -> None:
    (tree / "p2" / "torn.nii.gz").unlink()
    for more in ((), ("--force",)):
        code, printed = mdx("apply", finished[1], tree, "--out", tree / "predictions", *more)
        assert code == 0, printed
        assert "3 predicted" in printed


def test_a_header_that_cannot_be_read_stops_no_other_file(
    finished: tuple[Path, Path], tree: Path, tmp_path: Path, mdx: Cli
) -> None:
    (tree / "p1" / "torn.tif").write_bytes(b"no image")
    code, printed = mdx("apply", finished[1], tree / "p1", "--out", tmp_path / "out")
    assert code == 4
    assert "1 of 3 could not be predicted" in printed
    assert [row["file"] for row in rows_of(tmp_path / "out" / "predictions.csv")] == ["t0", "t1"]


def test_contrasts_of_a_folder_go_by_their_names() -> None:
    case = Case("p", "p", "A", {f"image_{i}": Path(f"p_{i}.png") for i in ("0000", "0002")})
    swapped = DataConfig.model_validate({"image": "image_0002,image_0000"})
    assert by_column(case, swapped) == {"image_0002": Path("p_0002.png"), "image_0000": Path("p_0000.png")}
    for columns in ("image_0000,image_0001", "t1,flair"):
        with pytest.raises(UsageError, match="the run needs"):
            by_column(case, DataConfig.model_validate({"image": columns}))
    whole = Case("p", "p", "A", {f"image_000{i}": Path(f"p_{i}.png") for i in (0, 1)})
    assert by_column(whole, DataConfig.model_validate({"image": "t1,flair"})) == {
        "t1": Path("p_0.png"), "flair": Path("p_1.png"),
    }  # fmt: skip
