from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from mdx.data.config import DataConfig
from mdx.data.init import init_table
from mdx.data.table import read_table
from mdx.errors import DataError, UsageError


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


def pairs(folder: Path, **options) -> dict[str, str | None]:
    result = init_table(folder, folder.parent / "out.csv", overwrite=True, **options)
    named = {
        str(next(iter(c.images.values())).relative_to(folder)): str(c.mask.relative_to(folder)) if c.mask else None
        for c in result.cases
    }
    return named


@pytest.mark.parametrize("layout", [
    {"images/a.nii.gz": "labels/a.nii.gz", "images/b.nii.gz": "labels/b.nii.gz"},
    {"imagesTr/a_0000.nii.gz": "labelsTr/a.nii.gz", "imagesTs/a_0000.nii.gz": "labelsTs/a.nii.gz"},
    {"a.nii.gz": "a_mask.nii.gz", "b.nii": "b_seg.nii.gz"},
    {"siteA/x.png": "siteA/x_label.png", "siteB/x.png": "siteB/x_label.png"},
    {"siteA/images/x.png": "siteA/masks/x.png", "siteB/images/x.png": "siteB/masks/x.png"},
    {"p02_T1.nii.gz": "p02_seg.nii.gz", "p12_T1.nii.gz": "p12_seg.nii.gz"},
    {"sub-01/anat/sub-01_T1w.nii.gz": "sub-01/anat/sub-01_T1w_dseg.nii.gz"},
    {"images/a.nii.gz": "labels/a.nii.gz", "images/b.nii.gz": None},
])  # fmt: skip
def test_images_are_paired_with_their_masks(tmp_path: Path, layout: dict[str, str | None]) -> None:
    folder = touch(tmp_path / "in", *layout, *(m for m in layout.values() if m))
    assert pairs(folder) == layout


def test_the_written_table_opens(tmp_path: Path) -> None:
    folder = touch(tmp_path / "in", "images/a.nii.gz", "labels/a.nii.gz")
    init_table(folder, tmp_path / "out.csv")
    (case,) = read_table(tmp_path / "out.csv", DataConfig())
    assert (case.id, case.subject, case.site) == ("a", "a", "site1")
    assert case.images["image"].resolve() == folder / "images/a.nii.gz"


def test_subjects_come_from_bids_names_and_sites_from_folders(tmp_path: Path) -> None:
    folder = touch(tmp_path / "in", "london/sub-07/ses-1/anat/sub-07_ses-1_T1w.nii.gz", "oslo/scan9.nii.gz")
    cases = init_table(folder, tmp_path / "o.csv").cases
    assert [(c.subject, c.site) for c in cases] == [("07", "london"), ("scan9", "oslo")]


def test_expressions_give_site_and_subject_and_name_what_they_do_not_match(tmp_path: Path) -> None:
    folder = touch(tmp_path / "in", "ge_p1_v1.nii.gz", "ge_p1_v2.nii.gz", "other.nii.gz")
    result = init_table(folder, tmp_path / "o.csv", site_from="^(ge|siemens)_", subject_from="_(p[0-9]+)_")
    assert [(c.id, c.subject, c.site) for c in result.cases] == [("ge_p1_v1", "p1", "ge"), ("ge_p1_v2", "p1", "ge")]
    assert result.skipped == [("other.nii.gz", "--subject-from does not match its path")]


@pytest.mark.parametrize(("column", "cells"), [
    ("path", ("in/images/a.nii.gz", "in/images/b.nii.gz")), ("file", ("a.nii.gz", "b.nii.gz")), ("subject", ("a", "b")),
])  # fmt: skip
def test_sites_are_joined_by_path_file_or_subject(tmp_path: Path, column: str, cells: tuple[str, str]) -> None:
    folder = touch(tmp_path / "in", "images/a.nii.gz", "images/b.nii.gz", "images/c.nii.gz")
    (tmp_path / "m.csv").write_text(f"{column},site,age\n{cells[0]},acqA_x,40\n{cells[1]},acqB_y,50\n")
    result = init_table(folder, tmp_path / "o.csv", join=tmp_path / "m.csv", site_from="acq(.)")
    assert [(c.id, c.site, c.columns["age"]) for c in result.cases] == [("a", "A", "40"), ("b", "B", "50")]
    assert result.skipped == [("images/c.nii.gz", "has no row in m.csv")]


def test_a_manifest_beside_the_folder_is_offered(tmp_path: Path) -> None:
    folder = touch(tmp_path / "in", "a.nii.gz")
    (tmp_path / "manifest.csv").write_text("path,site\n")
    assert any("--join" in m and "manifest.csv" in m for m in init_table(folder, tmp_path / "o.csv").messages)


def test_what_is_left_out_is_listed_with_the_reason(tmp_path: Path) -> None:
    folder = touch(tmp_path / "in", "images/a.nii.gz", "labels/b.nii.gz", "notes.txt", ".hidden/x.nii.gz")
    result = init_table(folder, tmp_path / "o.csv")
    assert dict(result.skipped) == {"1 file(s) *.txt": "not an image that mdx reads",
                                    "labels/b.nii.gz": "a mask without an image"}  # fmt: skip


def test_contrasts_numbered_as_in_nnunet_become_columns(tmp_path: Path) -> None:
    folder = touch(tmp_path / "in", *(f"imagesTr/a_{c}.nii.gz" for c in ("0000", "0001")), "labelsTr/a.nii.gz")
    result = init_table(folder, tmp_path / "o.csv")
    assert list(result.cases[0].images) == ["image_0000", "image_0001"]
    assert any("data.image=image_0000,image_0001" in m for m in result.messages)
    assert len(read_table(tmp_path / "o.csv", DataConfig(image=("image_0000", "image_0001")))) == 1


def test_a_table_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    folder = touch(tmp_path / "in", "a.nii.gz")
    (tmp_path / "o.csv").write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        init_table(folder, tmp_path / "o.csv")
    assert (tmp_path / "o.csv").read_text() == "mine"


def test_a_folder_without_images_or_no_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no images"):
        init_table(touch(tmp_path / "in", "a.txt"), tmp_path / "o.csv")
    with pytest.raises(UsageError, match="is no folder"):
        init_table(tmp_path / "none", tmp_path / "o.csv")


def test_a_wrong_expression_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--site-from '\\(' is no regular expression"):
        init_table(touch(tmp_path / "in", "a.nii.gz"), tmp_path / "o.csv", site_from="(")


def test_pictures_are_found_too(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "in" / "a.jpg")
    assert pairs(tmp_path / "in") == {"a.jpg": None}
