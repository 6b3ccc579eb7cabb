from __future__ import annotations

import gc
import os
from pathlib import Path

import pandas as pd
import pytest

from mdx.data.config import DataConfig
from mdx.data.table import read_table, write_table
from mdx.errors import ConfigError, DataError

CONFIG = DataConfig()


def test_paths_are_relative_to_the_table(table: Path) -> None:
    first = read_table(table, CONFIG)[0]
    assert first.images["image"] == table.parent / "img0.nii.gz"
    assert first.mask == table.parent / "mask0.nii.gz"


def test_csv_tsv_semicolons_and_parquet_give_the_same_cases(table: Path) -> None:
    frame = pd.read_csv(table).assign(age=[40.5, 50, 60, 70, 80, None])
    frame.to_csv(table, index=False)
    frame.to_csv(table.with_suffix(".tsv"), index=False, sep="\t")
    frame.to_csv(table.with_name("other.csv"), index=False, sep=";")
    frame.to_parquet(table.with_suffix(".parquet"))
    expected = read_table(table, CONFIG)
    for name in ("cohort.tsv", "other.csv", "cohort.parquet"):
        assert read_table(table.with_name(name), CONFIG) == expected


def test_columns_keep_numbers_as_numbers_and_names_as_names(rows, write) -> None:
    for i, row in enumerate(rows):
        row |= {"age": 30 + i, "dose": "" if i == 0 else 0.5, "ward": f"00{i}"}
    columns = read_table(write(rows), CONFIG)[0].columns
    assert columns == {"age": 30, "dose": None, "ward": "000"}


def test_a_case_without_an_id_is_named_after_its_subject(rows, write) -> None:
    rows[1]["subject"] = "s0"
    assert [c.id for c in read_table(write(rows), CONFIG)][:3] == ["s0_1", "s0_2", "s2"]


def test_a_missing_column_names_the_nearest_one(rows, write) -> None:
    with pytest.raises(DataError, match="no column 'site': did you mean 'sites'") as found:
        read_table(write([{"sites" if k == "site" else k: v for k, v in row.items()} for row in rows]), CONFIG)
    assert found.value.exit_code == 4


def test_all_problems_of_a_table_are_reported_at_once(rows, write) -> None:
    for row in rows:
        row |= {"case": row["subject"], "split": "train"}
    rows[0]["site"] = ""
    rows[1]["split"] = "trian"
    rows[2]["case"] = "s3"
    rows[5] |= {"subject": "s4", "split": "test"}
    with pytest.raises(DataError) as found:
        read_table(write(rows), CONFIG)
    for part in ("line 2: 'site' is empty", "'trian' is not known: did you mean 'train'", "'s3' is there 2 times",
                 "subject s4 is in test and train", "4 problem(s)"):  # fmt: skip
        assert part in str(found.value)


def test_a_case_id_that_is_a_path_is_refused(rows, write) -> None:
    with pytest.raises(DataError, match="cannot name files"):
        read_table(write([{**row, "case": f"../{row['subject']}"} for row in rows]), CONFIG)


def test_a_table_that_is_missing_or_no_table_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such table"):
        read_table(tmp_path / "none.csv", CONFIG)
    with pytest.raises(DataError, match="is no table"):
        read_table(tmp_path / "none.xlsx", CONFIG)


def test_a_written_table_is_read_back_as_it_was(rows, write, tmp_path: Path) -> None:
    cases = read_table(write([{**row, "age": i, "split": "train"} for i, row in enumerate(rows)]), CONFIG)
    (tmp_path / "deep").mkdir()
    write_table(cases, tmp_path / "deep" / "again.csv")
    again = read_table(tmp_path / "deep" / "again.csv", CONFIG)
    assert [c.images["image"].resolve() for c in again] == [c.images["image"] for c in cases]
    assert [(c.id, c.subject, c.site, c.split, c.columns) for c in again] == [
        (c.id, c.subject, c.site, c.split, c.columns) for c in cases
    ]


def test_ten_thousand_rows_are_read(tmp_path: Path) -> None:
    lines = [f"img{i}.nii.gz,mask{i}.nii.gz,s{i},site{i % 9},{i % 80}" for i in range(10_000)]
    path = tmp_path / "large.csv"
    path.write_text("\n".join(["image,mask,subject,site,age", *lines]))
    assert len(read_table(path, CONFIG)) == 10_000


def test_settings_take_lists_with_commas() -> None:
    config = DataConfig.model_validate({"source": "B", "target": "A,C", "classes": "1,2", "spacing_mm": "1,1,2"})
    assert (config.source, config.target) == (("B",), ("A", "C"))
    assert (config.classes, config.spacing_mm) == (("1", "2"), (1.0, 1.0, 2.0))


@pytest.mark.parametrize(
    "wrong", [{"classes": "all"}, {"lower": 99, "upper": 1}, {"spacing_mm": "0"}, {"test_fraction": 1}]
)
def test_settings_that_make_no_sense_are_refused(wrong: dict) -> None:
    from mdx.config import Settings, resolve

    with pytest.raises(ConfigError):
        resolve([("--set", wrong)], Settings, DataConfig)


def test_many_problems_are_told_by_line_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "holed.csv"
    lines = ["image,subject,site,split,case", "a.nii,,A,train,c1", ",s2,,tset,c1", "", "b.nii,s3,B,val,c/3",
             "c.nii,s3,B,test,", "d.nii,s5"]  # fmt: skip
    path.write_text("\n".join(lines))
    with pytest.raises(DataError) as found:
        read_table(path, CONFIG)
    assert str(found.value).splitlines()[1:-1] == [
        "  line 2: 'subject' is empty",
        "  line 3: 'image' is empty",
        "  line 3: 'site' is empty",
        "  line 7: 'site' is empty",
        "  line 3: split 'tset' is not known: did you mean 'test'?",
        "  line 6: 'case' is empty",
        "  line 7: 'case' is empty",
        "  line 5: 'c/3' cannot name files",
        "  lines 2, 3: the case 'c1' is there 2 times",
        "  subject s3 is in test and val: keep all of a subject's cases in one split",
    ]


def test_paths_are_those_that_the_system_joins(rows, write) -> None:
    cells = ["/abs/a.nii", "~/b.nii", "../up/c.nii", "./d.nii", "deep//e.nii"]
    table = write([row | {"image": cell} for row, cell in zip(rows, cells, strict=False)])
    expected = [Path(os.path.join(table.parent, os.path.expanduser(cell))) for cell in cells]  # noqa: PTH111, PTH118
    assert [case.images["image"] for case in read_table(table, CONFIG)] == expected


def test_the_garbage_collector_is_on_again_after_a_table_and_after_a_problem(table: Path, tmp_path: Path) -> None:
    read_table(table, CONFIG)
    assert gc.isenabled()
    (tmp_path / "bad.csv").write_text("image,subject\n")
    with pytest.raises(DataError):
        read_table(tmp_path / "bad.csv", CONFIG)
    assert gc.isenabled()
