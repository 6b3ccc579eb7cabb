"""``mdx data prepare`` as a user gives it, on a head whose truth is known and on small scans that need no template."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from known_head import Head
from PIL import Image

SIMPLE = ("--steps", "intensity", "--spacing", "own")
Table = Callable[[Sequence[Mapping[str, object]]], Path]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    def write(rows: Sequence[Mapping[str, object]]) -> Path:
        path = tmp_path / "cohort.csv"
        with path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return path

    return write


def record_of(out: Path, name: str) -> dict:
    return json.loads((out / "prepared.json").read_text())["cases"][name]


def test_results_lie_on_the_grid_of_the_template_in_its_space(prepared: Path) -> None:
    image = nib.load(prepared / "images" / "s1.nii.gz")
    assert image.shape == (66, 78, 63)
    assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
    assert np.allclose(image.header.get_zooms(), 3)
    assert (int(image.header["qform_code"]), int(image.header["sform_code"])) == (4, 4)
    assert np.allclose(image.header.get_qform(), image.header.get_sform(), atol=1e-4)
    assert image.get_data_dtype() == np.float32


def test_a_mask_moves_with_its_image(prepared: Path) -> None:
    moved = np.asarray(nib.load(prepared / "masks" / "s1.nii.gz").dataobj)
    found = np.asarray(nib.load(prepared / "brain" / "s1.nii.gz").dataobj)
    assert set(np.unique(moved)) == {0, 1}
    assert 2 * (moved & found).sum() / (moved.sum() + found.sum()) > 0.94


def test_white_matter_is_one_and_the_outside_zero(prepared: Path) -> None:
    values = np.asarray(nib.load(prepared / "images" / "s1.nii.gz").dataobj)
    brain = np.asarray(nib.load(prepared / "brain" / "s1.nii.gz").dataobj) > 0
    assert (values[~brain] == 0).all()
    assert np.percentile(values[brain], 85) == pytest.approx(1, abs=0.06)


def test_the_volume_of_the_brain_is_that_of_the_scan(prepared: Path, head: Head) -> None:
    truth_ml = np.asarray(nib.load(head.brain_path).dataobj).sum() * 27 / 1000
    assert record_of(prepared, "s1")["brain"]["ml"] == pytest.approx(truth_ml, rel=0.08)


def test_the_transform_takes_the_result_to_the_scan(prepared: Path, head: Head) -> None:
    move = sitk.ReadTransform(str(prepared / "transforms" / "s1.tfm"))
    centre = head.move.GetCenter()
    assert np.linalg.norm(np.subtract(move.TransformPoint(centre), head.move.TransformPoint(centre))) < 3


def test_a_case_that_fails_is_named_and_the_rest_is_in_the_table(prepared: Path) -> None:
    with (prepared / "table.csv").open() as stream:
        (row,) = csv.DictReader(stream)
    assert (row["subject"], row["age"], row["image"]) == ("s1", "40", "images/s1.nii.gz")
    failed = json.loads((prepared / "prepared.json").read_text())["failed"]
    assert "2-D picture" in failed["s2"]["what"]
    page = (prepared / "qc.html").read_text()
    assert "2-D picture" in page
    assert "data:image/jpeg;base64," in page
    assert str(prepared.parent) not in page


def test_the_prepared_table_passes_the_check(prepared: Path, mdx: Callable[..., tuple[int, str]]) -> None:
    code, printed = mdx("data", "check", prepared / "table.csv")
    assert code == 0, printed


@pytest.mark.slow
def test_preparing_again_changes_little(prepared: Path, mdx: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    code, printed = mdx("data", "prepare", prepared / "table.csv", "--out", tmp_path / "again", "--spacing", "3")
    assert code == 0, printed
    first, again = (np.asarray(nib.load(d / "brain" / "s1.nii.gz").dataobj) > 0 for d in (prepared, tmp_path / "again"))
    assert 2 * (first & again).sum() / (first.sum() + again.sum()) > 0.97
    assert record_of(tmp_path / "again", "s1")["bias_field_range"]["image"] < 1.2
    stretch = record_of(tmp_path / "again", "s1")["registration"]["stretch"]
    assert stretch == pytest.approx([1, 1], abs=0.03)


def test_a_given_mask_wins(head: Head, table: Table, mdx: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    path = table([{"image": head.path, "subject": "s1", "site": "A", "bet": head.brain_path}])
    code, printed = mdx(
        "data", "prepare", path, "--out", tmp_path / "out", "--mask", "bet", "--register", "none", "--spacing", "own",
        "--steps", "mask,intensity",
    )  # fmt: skip
    assert code == 0, printed
    given, used = (np.asarray(nib.load(p).dataobj) > 0 for p in (head.brain_path, tmp_path / "out/brain/s1.nii.gz"))
    assert 2 * (given & used).sum() / (given.sum() + used.sum()) > 0.99
    assert "brain/s1.nii.gz" in (tmp_path / "out" / "table.csv").read_text()


def test_contrasts_end_on_one_grid(
    head: Head, table: Table, mdx: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    path = table([{"t1": head.path, "t2": head.path, "subject": "s1", "site": "A"}])
    code, printed = mdx(
        "data", "prepare", path, "--out", tmp_path / "out", "--set", "data.image=t1,t2", "--steps", "intensity",
        "--spacing", "4",
    )  # fmt: skip
    assert code == 0, printed
    a, b = (nib.load(tmp_path / "out" / "images" / f"s1_{name}.nii.gz") for name in ("t1", "t2"))
    assert np.array_equal(a.affine, b.affine)
    assert np.allclose(a.header.get_zooms(), 4)


def test_the_page_says_head_where_no_brain_mask_was_made(
    small_scan: Path, table: Table, mdx: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    path = table([{"image": small_scan, "subject": "a", "site": "A"}])
    assert (
        mdx("data", "prepare", path, "--out", tmp_path / "out", "--steps", "n4,intensity", "--spacing", "own")[0] == 0
    )
    page = (tmp_path / "out" / "qc.html").read_text()
    assert "fitted within the head" in page
    assert "percentiles 1 and 99 within the head (no brain mask was made)" in page
    assert "within the brain" not in page


def test_the_picture_has_a_row_for_the_scan_and_for_each_result(
    small_scan: Path, table: Table, mdx: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    names = ["t1", "t2"]
    for k in (1, 2):
        path = table([{**dict.fromkeys(names[:k], small_scan), "subject": "a", "site": "A"}])
        out = tmp_path / str(k)
        assert mdx("data", "prepare", path, "--out", out, "--set", f"data.image={','.join(names[:k])}", *SIMPLE)[0] == 0
        with Image.open(out / "qc" / "a.jpg") as picture:
            assert picture.height == (1 + k) * 270


@pytest.mark.parametrize(("dtype", "reason"), [("float32", "no whole number"), ("int16", "holds no labels, but")])
def test_a_scan_in_a_column_that_is_no_contrast_is_not_taken_for_a_mask(
    dtype: str, reason: str, small_scan: Path, table: Table, mdx: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    values = np.abs(np.asarray(nib.load(small_scan).dataobj)).astype(dtype)
    nib.save(nib.Nifti1Image(values, np.diag([4.0, 4, 4, 1])), tmp_path / "t2.nii.gz")
    path = table([{"t1": small_scan, "t2": "t2.nii.gz", "subject": "a", "site": "A"}])
    code, printed = mdx("data", "prepare", path, "--out", tmp_path / "out", "--set", "data.image=t1", *SIMPLE)
    assert code == 4
    assert "column 't2':" in printed
    assert reason in printed
    assert "--set data.image=...,t2" in printed


def test_a_repeated_command_does_only_what_is_missing(
    small_scan: Path, table: Table, mdx: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    path = table([{"image": small_scan, "subject": name, "site": "A"} for name in ("a", "b")])
    assert mdx("data", "prepare", path, "--out", tmp_path / "out", *SIMPLE)[0] == 0
    kept, lost = (tmp_path / "out" / "images" / f"{name}.nii.gz" for name in "ab")
    before, content = kept.stat().st_mtime_ns, lost.read_bytes()
    lost.unlink()
    code, printed = mdx("data", "prepare", path, "--out", tmp_path / "out", *SIMPLE)
    assert code == 0
    assert "1 case(s) were prepared before" in printed
    assert kept.stat().st_mtime_ns == before
    assert lost.read_bytes() == content


def test_other_settings_prepare_again(
    small_scan: Path, table: Table, mdx: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    path = table([{"image": small_scan, "subject": "a", "site": "A"}])
    assert mdx("data", "prepare", path, "--out", tmp_path / "out", *SIMPLE)[0] == 0
    code, printed = mdx("data", "prepare", path, "--out", tmp_path / "out", "--steps", "intensity", "--spacing", "8")
    assert code == 0
    assert "prepared before" not in printed
    again = next(line for line in printed.splitlines() if line.startswith("prepared again: a: "))
    assert "spacing_mm was None and is 8.0" in again
    assert "the image" not in again
    assert record_of(tmp_path / "out", "a")["output"]["spacing_mm"] == [8, 8, 8]


def test_equal_content_with_new_time_stamps_or_at_another_place_is_not_prepared_again(
    small_scan: Path, table: Table, mdx: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    scan = Path(shutil.copy(small_scan, tmp_path / "scan.nii.gz"))
    assert mdx("data", "prepare", table([{"image": scan, "subject": "a", "site": "A"}]), "--out", tmp_path / "out",
               *SIMPLE)[0] == 0  # fmt: skip
    os.utime(scan, ns=(1, 1))
    moved = Path(shutil.copy(scan, tmp_path / "moved.nii.gz"))
    for path in (scan, moved):
        rows = [{"image": path, "subject": "a", "site": "A"}]
        code, printed = mdx("data", "prepare", table(rows), "--out", tmp_path / "out", *SIMPLE)
        assert code == 0
        assert "1 case(s) were prepared before" in printed
        assert "again" not in printed


def test_a_record_of_an_earlier_mdx_is_not_called_damaged(
    small_scan: Path, table: Table, mdx: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    path = table([{"image": small_scan, "subject": "a", "site": "A"}])
    assert mdx("data", "prepare", path, "--out", tmp_path / "out", *SIMPLE)[0] == 0
    record = tmp_path / "out" / "records" / "a.json"
    facts = json.loads(record.read_text())
    record.write_text(json.dumps({"key": "0", **{k: v for k, v in facts.items() if k != "origin"}}))
    code, printed = mdx("data", "prepare", path, "--out", tmp_path / "out", *SIMPLE)
    assert code == 0
    assert "prepared again: a: mdx prepares in another way now" in printed


def test_a_scan_that_was_changed_is_prepared_again_and_named(
    small_scan: Path, table: Table, mdx: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    scans = [Path(shutil.copy(small_scan, tmp_path / f"{name}.nii.gz")) for name in "ab"]
    path = table([{"image": scan, "subject": name, "site": "A"} for scan, name in zip(scans, "ab", strict=True)])
    assert mdx("data", "prepare", path, "--out", tmp_path / "out", *SIMPLE)[0] == 0
    image: Any = nib.load(scans[1])
    nib.save(nib.Nifti1Image(image.get_fdata().astype(np.float32)[::-1], image.affine), scans[1])
    code, printed = mdx("data", "prepare", path, "--out", tmp_path / "out", *SIMPLE)
    assert code == 0
    assert "1 case(s) were prepared before" in printed
    assert "prepared again: b: the image is another one" in printed


def test_two_processes_give_what_one_gives(
    small_scan: Path, table: Table, mdx: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    path = table([{"image": small_scan, "subject": name, "site": "A"} for name in ("a", "b")])
    assert mdx("data", "prepare", path, "--out", tmp_path / "one", *SIMPLE)[0] == 0
    assert mdx("data", "prepare", path, "--out", tmp_path / "two", *SIMPLE, "--jobs", "2")[0] == 0
    for name in "ab":
        one, two = (tmp_path / out / "images" / f"{name}.nii.gz" for out in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


def test_every_faulty_scan_is_named_with_its_reason(
    small_scan: Path, table: Table, mdx: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    good = np.asarray(nib.load(small_scan).dataobj)
    holed = good.copy()
    holed[3, 3, 3] = np.nan
    faulty = {
        "holed": (holed, "NaN"), "empty": (np.zeros_like(good), "only the value 0"),
        "four": (np.stack([good, good], axis=-1), "2 volumes"), "tiny": (good[:4, :4, :4], "too small"),
    }  # fmt: skip
    rows = [
        {"image": small_scan, "subject": "good", "site": "A"},
        {"image": "none.nii.gz", "subject": "gone", "site": "A"},
    ]
    for name, (values, _) in faulty.items():
        nib.save(nib.Nifti1Image(values, np.diag([4.0, 4, 4, 1])), tmp_path / f"{name}.nii.gz")
        rows.append({"image": f"{name}.nii.gz", "subject": name, "site": "A"})
    code, printed = mdx("data", "prepare", table(rows), "--out", tmp_path / "out", *SIMPLE)
    assert code == 4
    for name, (_, reason) in {**faulty, "gone": (None, "no such file")}.items():
        assert any(reason in line for line in printed.splitlines() if line.startswith(f"failed: {name}:")), printed
    assert "1 of 6 cases prepared, 5 failed" in printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--steps", "n4,regster"), "did you mean 'register'"),
        (("--register", "deformable"), "no registration 'deformable'"),
        (("--intensity", "zscore"), "no intensity 'zscore'"),
        (("--spacing", "own"), "registered scans need a spacing"),
        (("--spacing", "fine"), "no length in mm"),
        (("--mask", "brian"), "no such column"),
    ],
)
def test_what_cannot_be_asked_exits_with_2(
    options: tuple[str, ...], message: str, small_scan: Path, table: Table, mdx: Callable[..., tuple[int, str]],
    tmp_path: Path,
) -> None:  # fmt: skip
    path = table([{"image": small_scan, "subject": "a", "site": "A", "brain": "x.nii.gz"}])
    code, printed = mdx("data", "prepare", path, "--out", tmp_path / "out", *options)
    assert code == 2, printed
    assert message in printed


def test_sources_are_never_written_over(small_scan: Path, table: Table, mdx: Callable[..., tuple[int, str]]) -> None:
    path = table([{"image": small_scan, "subject": "a", "site": "A"}])
    code, printed = mdx("data", "prepare", path, "--out", small_scan.parent, *SIMPLE)
    assert code == 2
    assert "lies in the folder of the results" in printed


def test_a_folder_that_cannot_be_written_exits_with_6(
    small_scan: Path, table: Table, mdx: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    path = table([{"image": small_scan, "subject": "a", "site": "A"}])
    code, printed = mdx("data", "prepare", path, "--out", tmp_path / "file" / "out", *SIMPLE)
    assert code == 6
    assert "free disk space or choose another folder" in printed


def test_a_template_with_its_skull_is_refused(
    head: Head, table: Table, mdx: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    path = table([{"image": head.path, "subject": "a", "site": "A"}])
    code, printed = mdx("data", "prepare", path, "--out", tmp_path / "out", "--template", head.path)
    assert code == 4
    assert "no skull-stripped brain" in printed
