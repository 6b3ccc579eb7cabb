"""What a cell says is what is read: words stay words, numbers are plain numbers, and what is neither is named."""

from __future__ import annotations

import csv
import os
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mdx.data.checks import check
from mdx.data.config import DataConfig
from mdx.data.open import open_table
from mdx.data.table import read_table, write_table
from mdx.errors import DataError, MdxError
from mdx.spreadsheets import csv_text, defused, read_frame


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve small pictures."""
    place = tmp_path_factory.mktemp("cells")
    for i in range(12):
        pixels = np.random.default_rng(i).integers(0, 255, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{i}.png")
    return place


def table(folder: Path, column: str, cells: Sequence[str], sites: Sequence[str] = "AB", name: str = "t.csv") -> Path:
    path = folder / name
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, delimiter="\t" if name.endswith("tsv") else ",")
        writer.writerow(["image", "subject", "site", column])
        for i, cell in enumerate(cells):
            writer.writerow([f"{i}.png", f"s{i}", sites[i % len(sites)], cell])
    return path


def classes_of(folder: Path, cells: Sequence[str]) -> tuple[str, ...]:
    return open_table(table(folder, "class", cells), DataConfig()).task.classes


@pytest.mark.parametrize("word", ["None", "none", "NA", "null", "nan", "1_1", "2019_01", "１", "0x1", "True", "007"])
def test_a_word_of_a_class_stays_that_word(folder: Path, word: str) -> None:
    assert set(classes_of(folder, [word, "Mass"] * 6)) == {word, "Mass"}


@pytest.mark.parametrize("pair", [("1_1", "2_1"), ("１", "２"), ("2019_01", "2019_02"), ("1e3x", "1e4x")])
def test_names_that_look_like_numbers_are_no_numbers(folder: Path, pair: tuple[str, str]) -> None:
    assert set(classes_of(folder, [*pair] * 6)) == set(pair)


def test_a_site_may_be_called_na(folder: Path) -> None:
    assert open_table(table(folder, "class", ["a", "b"] * 6, ["NA", "EU"]), DataConfig()).task.sites == ("EU", "NA")


@pytest.mark.parametrize("empty", ["", "n/a", "N/A", "NA", "NaN", "None"])
def test_among_numbers_these_mean_that_nothing_is_known(folder: Path, empty: str) -> None:
    data = open_table(table(folder, "age", [empty, *map(str, range(40, 51))]), DataConfig())
    assert data.task.kind == "regression"
    assert [c.columns["age"] for c in data.cases] == [None, *range(40, 51)]
    notes = [n.what for n in check(data, DataConfig()).notes]
    assert "1 of 12 cases have no age (s0)" in notes


def test_ages_of_dicom_decimal_commas_and_leading_zeros_are_numbers(folder: Path) -> None:
    cells = ["045Y", "006M", "026W", "010D", "045", "45,5", "4.5e1", *["50"] * 5]
    data = open_table(table(folder, "age", cells), DataConfig())
    ages = [float(c.columns["age"]) for c in data.cases]
    assert ages[:7] == pytest.approx([45, 0.5, 0.498, 0.0274, 45, 45.5, 45], abs=1e-3)


def test_a_cell_that_is_no_age_is_named_with_its_line(folder: Path) -> None:
    with pytest.raises(DataError, match=r"t\.csv: line 4: age '89\+' is no number; line 7: age 'old' is no number"):
        open_table(table(folder, "age", ["40", "41", "89+", "43", "44", "old", *["50"] * 6]), DataConfig())


def test_a_label_that_is_numbers_for_the_most_part_names_the_cells_that_are_none(folder: Path) -> None:
    config = DataConfig.model_validate({"label": "volume"})
    with pytest.raises(DataError, match="line 5: volume '~12' is no number"):
        open_table(table(folder, "volume", ["1.5", "2.5", "3.5", "~12", *[f"{i}.25" for i in range(8)]]), config)


def test_classes_some_of_which_are_numbers_stay_classes(folder: Path) -> None:
    assert classes_of(folder, ["1", "2", "unknown"] * 4) == ("1", "2", "unknown")


@pytest.mark.parametrize("column", ["age", "class"])
def test_a_label_column_without_a_value_is_an_error(folder: Path, column: str) -> None:
    with pytest.raises(DataError, match="no case has a value in the column"):
        open_table(table(folder, column, [""] * 12), DataConfig())


def test_numbers_that_stand_for_nothing_are_warned_of(folder: Path) -> None:
    data = open_table(table(folder, "age", ["-999", "-4", "300", *map(str, range(40, 49))]), DataConfig())
    (found,) = [w.what for w in check(data, DataConfig()).warnings if "codes" in w.what]
    assert found == "3 value(s) of age look like codes for missing ones: s0: -999, s1: -4, s2: 300"


def test_classes_that_differ_in_case_only_are_warned_of(folder: Path) -> None:
    data = open_table(table(folder, "class", ["Benign", "benign ", "malignant"] * 4), DataConfig())
    assert any("the classes Benign, benign differ" in w.what for w in check(data, DataConfig()).warnings)


def test_cases_without_a_class_are_counted(folder: Path) -> None:
    data = open_table(table(folder, "class", ["", "a", "b"] * 4), DataConfig())
    assert any(n.what.startswith("4 of 12 cases have no class (s0, s3") for n in check(data, DataConfig()).notes)


def test_lines_are_those_of_the_file_whatever_is_blank(folder: Path) -> None:
    path = folder / "blank.csv"
    path.write_text("image,subject,site\n\n,,\n0.png,a,A\n\n , ,\n1.png,,B\n")
    with pytest.raises(DataError, match="line 7: 'subject' is empty"):
        read_table(path, DataConfig())


def test_the_separator_that_excel_names_is_used(folder: Path) -> None:
    path = folder / "sep.csv"
    path.write_text("sep=;\nimage;subject;site\n0.png;a,b;A\n1.png;;B\n")
    with pytest.raises(DataError, match="line 4: 'subject' is empty"):
        read_table(path, DataConfig())
    path.write_text("sep=;\nimage;subject;site\n0.png;a,b;A\n")
    assert read_table(path, DataConfig())[0].subject == "a,b"


def test_a_table_that_never_ends_is_refused(folder: Path) -> None:
    os.mkfifo(folder / "pipe.csv")
    with pytest.raises(DataError, match="no regular file"):
        read_table(folder / "pipe.csv", DataConfig())


def test_a_cell_without_end_names_the_quote(folder: Path) -> None:
    (folder / "long.csv").write_text('image,subject,site\n0.png,"' + "x" * 1_000_000 + ",A\n")
    with pytest.raises(DataError, match="close every quote"):
        read_table(folder / "long.csv", DataConfig())


@pytest.mark.parametrize("cell", ["=cmd|' /C calc'!A0", "@SUM(1)", "+1+1", "-2-3", "\tx", "=1"])
def test_no_spreadsheet_executes_what_mdx_writes_and_mdx_reads_it_back(folder: Path, cell: str) -> None:
    assert defused(cell) == f"'{cell}"
    path = table(folder, "note", [cell, "plain", *["x"] * 10])
    cases = read_table(path, DataConfig())
    write_table(cases, folder / "again.csv")
    assert (
        f"'{cell}" in [row["note"] for row in csv.DictReader((folder / "again.csv").open(newline=""))] or "\t" in cell
    )
    assert [c.columns for c in read_table(folder / "again.csv", DataConfig())] == [c.columns for c in cases]


def test_a_frame_of_texts_comes_back_as_it_was(tmp_path: Path) -> None:
    frame = pd.DataFrame({"site": ["=A1", "NA", "-x"], "dice": [0.5, -1.0, float("nan")], "n": [1, 2, 3]})
    (tmp_path / "a.csv").write_text(csv_text(frame))
    pd.testing.assert_frame_equal(read_frame(tmp_path / "a.csv"), frame, check_dtype=False)
    assert "'=A1" in (tmp_path / "a.csv").read_text()


@pytest.mark.parametrize("number", ["-5", "+1.5", "-1e-3", "12"])
def test_numbers_are_written_as_they_are(number: str) -> None:
    assert defused(number) == number


ALPHABET = st.sampled_from(
    ["", "NA", "none", "n/a", "1", "2", "1.0", "1_1", "-999", "045Y", "89+", "45,5", "=1+1", "'", '"', "a,b", "a;b",
     "é", "１", "nan", "inf", "-inf", "1e400", "9" * 400, "0x10", "True", "\tb", "a\nb", "A" * 300, "x\u200b"]
) | st.text(string.ascii_letters + string.digits + " .,+-_=@'\"", max_size=6)  # fmt: skip


def outcome(path: Path) -> Any:
    try:
        data = open_table(path, DataConfig())
        return data.task.kind, data.task.classes, [(c.id, c.subject, c.site, dict(c.columns)) for c in data.cases]
    except MdxError as error:
        return str(error).replace(path.name, "TABLE")


@given(st.lists(ALPHABET, min_size=12, max_size=12), st.sampled_from(["class", "age", "note"]))
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_any_cells_are_read_or_refused_and_alike_from_csv_tsv_and_parquet(
    folder: Path, cells: list[str], column: str
) -> None:
    path = table(folder, column, cells)
    table(folder, column, cells, name="t.tsv")
    rows = list(csv.DictReader(path.open(newline="", encoding="utf-8")))
    pd.DataFrame(rows).to_parquet(folder / "t.parquet")
    first = outcome(path)
    assert outcome(folder / "t.tsv") == first
    if "\n" not in "".join(cells):  # a cell of two lines moves the lines of a text file
        assert outcome(folder / "t.parquet") == first
    if column == "class" and not isinstance(first, str) and first[0] == "classification":
        kept = {cell.strip() for cell in cells}
        assert all(name in kept or any(name in k for k in kept) for name in first[1])
