from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mdx.data.checks import CheckReport, check
from mdx.data.config import DataConfig
from mdx.data.open import open_table
from mdx.errors import DataError

CONFIG = DataConfig()
AFFINE = np.diag([-1.0, 1, 2, 1])


def report_of(table: Path, config: DataConfig = CONFIG) -> CheckReport:
    return check(open_table(table, config), config)


def shift(folder: Path, name: str, millimetres: float) -> None:
    stored = nib.load(folder / name)
    affine = stored.affine.copy()
    affine[0, 3] += millimetres
    nib.save(nib.Nifti1Image(np.asarray(stored.dataobj), affine), folder / name)


def truncate(folder: Path) -> None:
    content = (folder / "img1.nii.gz").read_bytes()
    (folder / "img1.nii.gz").write_bytes(content[: len(content) // 2])


def with_nan(folder: Path) -> None:
    values = np.asarray(nib.load(folder / "img1.nii.gz").dataobj).copy()
    values[0, 0, 0] = np.nan
    nib.save(nib.Nifti1Image(values, AFFINE), folder / "img1.nii.gz")


def save_mask(folder: Path, values: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    nib.save(nib.Nifti1Image(values, affine), folder / "mask1.nii.gz")


OFFENCES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "missing": (lambda f: (f / "img1.nii.gz").unlink(), "there is no such file", "correct the path"),
    "truncated": (truncate, "is truncated or damaged", "copy or export it again"),
    "nan": (with_nan, "1 values are NaN", "replace them"),
    "moved": (lambda f: shift(f, "mask1.nii.gz", 5), "lies 5 mm away by its affine", "one of the two headers"),
    "other grid": (
        lambda f: save_mask(f, np.ones((5, 6, 6), np.uint8), np.diag([-2.0, 2, 2, 1])),
        "covers the same space on another grid", "resample the mask",
    ),
    "other place": (
        lambda f: save_mask(f, np.ones((5, 6, 6), np.uint8), np.eye(4) + 500 * np.eye(4, k=3)),
        "lies at another place", "check that it belongs to this image",
    ),
    "empty mask": (lambda f: save_mask(f, np.zeros((10, 12, 6), np.uint8)), "the mask is empty", "empty_masks=allow"),
    "fractions": (lambda f: save_mask(f, np.full((10, 12, 6), 0.4, np.float32)), "no whole number", "threshold"),
    "mask missing": (lambda f: (f / "mask1.nii.gz").unlink(), "there is no such file", "correct the path"),
}  # fmt: skip


@pytest.mark.parametrize(("offend", "what", "remedy"), OFFENCES.values(), ids=OFFENCES.keys())
def test_an_offender_is_named_with_its_remedy(table: Path, offend, what: str, remedy: str) -> None:
    offend(table.parent)
    report = report_of(table)
    assert [p.case for p in report.errors] == ["s1"]
    assert what in report.errors[0].what
    assert remedy in report.errors[0].remedy
    with pytest.raises(DataError) as found:
        report.raise_if_bad()
    assert found.value.exit_code == 4
    assert what in str(found.value)


def test_a_good_table_passes(table: Path) -> None:
    report = report_of(table)
    assert (report.errors, report.cases, report.files) == ([], 6, 12)
    report.raise_if_bad()


def test_all_offenders_are_listed(table: Path) -> None:
    for i in (0, 2, 4):
        (table.parent / f"img{i}.nii.gz").unlink()
    report = report_of(table)
    assert [p.case for p in report.errors] == ["s0", "s2", "s4"]
    with pytest.raises(DataError, match="3 problems in the data"):
        report.raise_if_bad()


def test_empty_masks_can_be_allowed(table: Path) -> None:
    save_mask(table.parent, np.zeros((10, 12, 6), np.uint8))
    assert report_of(table, DataConfig(empty_masks="allow")).errors == []


def test_a_mask_stored_in_another_orientation_is_no_mismatch(table: Path) -> None:
    """RAS against the image's LAS: the same voxels in the same place."""
    stored = nib.load(table.parent / "mask1.nii.gz")
    nib.save(nib.as_closest_canonical(stored), table.parent / "mask1.nii.gz")
    assert nib.aff2axcodes(nib.load(table.parent / "mask1.nii.gz").affine) == ("R", "A", "S")
    assert report_of(table).errors == []


def test_a_one_site_table_is_a_warning_and_an_error_once_adaptation_is_asked_for(rows, write) -> None:
    table = write([{**row, "site": "A"} for row in rows])
    assert any("only one site" in p.what for p in report_of(table).warnings)
    report = report_of(table, DataConfig(source=("A",)))
    assert any("only one site" in p.what for p in report.errors)


def test_a_site_with_few_subjects_is_a_warning(table: Path) -> None:
    assert {p.case for p in report_of(table).warnings} == {"site A", "site B", "site C"}


def test_mixed_spacings_and_orientations_are_notes(table: Path) -> None:
    for name in ("img1.nii.gz", "mask1.nii.gz"):
        nib.save(nib.Nifti1Image(np.asarray(nib.load(table.parent / name).dataobj), np.eye(4)), table.parent / name)
    notes = report_of(table).notes
    assert [p.what for p in notes] == [
        "2 voxel sizes (mm): 1 x 1 x 2 (5), 1 x 1 x 1 (1)",
        "2 orientations: LAS (5), RAS (1)",
    ]


def test_one_scan_under_two_names_is_an_error_across_splits_only(rows, write, tmp_path: Path) -> None:
    (tmp_path / "img1.nii.gz").write_bytes((tmp_path / "img0.nii.gz").read_bytes())
    split = [{**row, "split": "train" if i else "test"} for i, row in enumerate(rows)]
    assert (
        "the same image is there 2 times (s0, s1) in the splits test, train" in report_of(write(split)).errors[0].what
    )
    together = [{**row, "split": "train"} for row in rows]
    report = report_of(write(together))
    assert report.errors == []
    assert any("the same image is there 2 times" in p.what for p in report.warnings)


def test_an_infinite_label_is_an_error(rows, write) -> None:
    without_masks = [{k: v for k, v in row.items() if k != "mask"} for row in rows]
    table = write([{**row, "age": "inf" if i == 2 else 50.5 + i} for i, row in enumerate(without_masks)])
    report = report_of(table, DataConfig(label="age"))
    assert [(p.case, p.what) for p in report.errors] == [("s2", "its age is infinite")]


def test_a_class_that_a_site_has_in_training_only_is_a_warning(rows, write) -> None:
    of_class = dict(zip(range(6), ("ill", "well") * 3, strict=True))
    split = dict(zip(range(6), ("train", "train", "val", "val", "test", "train"), strict=True))
    plain = [{k: v for k, v in row.items() if k != "mask"} for row in rows]
    table = write([{**r, "site": "A", "class": of_class[i], "split": split[i]} for i, r in enumerate(plain)])
    said = [p.what for p in report_of(table, DataConfig(label="class")).warnings]
    assert "its test cases have no class well" in said
    assert not any("its val cases" in text for text in said)


def test_a_class_that_no_mask_holds_is_an_error(table: Path) -> None:
    report = report_of(table, DataConfig(classes=("1", "7")))
    assert [p.what for p in report.errors] == ["no mask holds the class 7"]


def test_images_with_other_channels_are_errors(table: Path) -> None:
    values = np.asarray(nib.load(table.parent / "img1.nii.gz").dataobj)
    nib.save(nib.Nifti1Image(np.stack([values, values], -1), AFFINE), table.parent / "img1.nii.gz")
    assert [p.what for p in report_of(table).errors] == ["has 2 channel(s), the first case has 1"]


def test_scans_that_are_blank_in_the_window_of_intensities_are_a_warning(table: Path) -> None:
    window = {"intensity": "window", "lower": -1000}
    for upper, outside in ((40, 6), (400, 0)):
        config = DataConfig.model_validate({**window, "upper": upper})
        found = [p.what for p in check(open_table(table, config), config).warnings if "outside the window" in p.what]
        assert [what.partition(":")[0] for what in found] == (
            [f"{outside} image(s) lie outside the window of -1000 to 40"] if outside else []
        )


def test_only_the_first_twenty_are_shown_and_the_rest_counted(rows, write) -> None:
    many = [{**rows[i % 6], "subject": f"p{i}", "image": f"none{i}.nii.gz"} for i in range(30)]
    many[0]["image"] = rows[0]["image"]
    with pytest.raises(DataError, match="29 problems") as found:
        report_of(write(many)).raise_if_bad()
    assert "and 9 more" in str(found.value)


def test_the_report_is_plain_json(table: Path) -> None:
    (table.parent / "img1.nii.gz").unlink()
    again = json.loads(json.dumps(report_of(table).as_dict()))
    assert again["errors"][0]["case"] == "s1"


def test_a_file_that_has_not_changed_is_not_read_again(table: Path) -> None:
    """Other bytes under the same size and time of change go unnoticed, so the file was not opened."""
    report_of(table)
    path = table.parent / "img1.nii.gz"
    state = path.stat()
    path.write_bytes(b"x" * state.st_size)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert report_of(table).errors == []
    os.utime(path, ns=(1, 1))
    assert [p.case for p in report_of(table).errors] == ["s1"]
