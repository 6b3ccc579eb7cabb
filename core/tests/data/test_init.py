from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from mdx.data.checks import check
from mdx.data.config import DataConfig
from mdx.data.confounding import confounding_table
from mdx.data.layouts.init import init_table
from mdx.data.open import open_dataset
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
                                    "1 file(s) in folders with a leading dot": "hidden",
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


def test_the_class_can_be_the_name_of_the_folder(tmp_path: Path) -> None:
    folder = touch(tmp_path / "in", "ge/ill/a.png", "ge/well/b.png", "sie/ill/c.png")
    result = init_table(folder, tmp_path / "o.csv", class_from="folder")
    assert [(c.site, c.columns["class"]) for c in result.cases] == [("ge", "ill"), ("ge", "well"), ("sie", "ill")]


def test_a_folder_that_is_the_class_is_not_the_site_too(tmp_path: Path) -> None:
    folder = touch(tmp_path / "in", "ill/a.png", "well/b.png")
    result = init_table(folder, tmp_path / "o.csv", class_from="folder")
    assert [(c.site, c.columns["class"]) for c in result.cases] == [("site1", "ill"), ("site1", "well")]


def test_columns_of_the_joined_table_are_named_or_found_by_their_usual_names(tmp_path: Path) -> None:
    folder = touch(tmp_path / "in", "x1.jpg", "x2.jpg")
    (tmp_path / "m.csv").write_text("lesion_id,image_id,dx,dataset,lab\nL1,x1,nv,vienna,p\nL1,x2,mel,rosendahl,q\n")
    found = init_table(folder, tmp_path / "o.csv", join=tmp_path / "m.csv")
    assert [(c.subject, c.site, c.columns["class"]) for c in found.cases] == [
        ("L1", "vienna", "nv"), ("L1", "rosendahl", "mel"),
    ]  # fmt: skip
    assert "of m.csv: site from 'dataset', subject from 'lesion_id', class from 'dx'" in found.messages
    named = init_table(folder, tmp_path / "p.csv", join=tmp_path / "m.csv", site_from="lab", class_from="dataset")
    assert [(c.site, c.columns["class"]) for c in named.cases] == [("p", "vienna"), ("q", "rosendahl")]


def test_numbers_at_the_end_of_names_are_contrasts_only_where_they_start_at_0(tmp_path: Path) -> None:
    folder = touch(tmp_path / "in", "img_0001.png", "img_0002.png", "p_0000.png", "p_0001.png")
    result = init_table(folder, tmp_path / "o.csv")
    assert [(c.id, list(c.images)) for c in result.cases] == [("img_0001", ["image"]), ("img_0002", ["image"])]
    assert result.skipped == [("p", "it has the images image_0000, image_0001, most have image")]


def test_the_address_of_a_folder_takes_the_same_options(tmp_path: Path) -> None:
    for name in ("ge/ill/a.png", "ge/well/b.png", "sie/ill/c.png", "sie/well/d.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / "in" / name)
    data = open_dataset(f"folder:{tmp_path}/in?class_from=folder", DataConfig())
    assert (data.task.kind, data.task.classes, data.task.sites) == ("classification", ("ill", "well"), ("ge", "sie"))
    assert data.load(data.cases[0]).image.shape == (3, 4, 4)


def test_dermoscopies_of_four_sources_are_tabulated_and_tied_to_their_source(shared: Path, tmp_path: Path) -> None:
    """2,921 colour images with masks: classes and sites from one table, without further flags."""
    folder = shared / "data/skin_ham10000"
    result = init_table(folder, tmp_path / "skin.csv", join=folder / "metadata.csv")
    assert len(result.cases) == 2921
    assert all(case.mask for case in result.cases)
    config = DataConfig(label="class")
    data = open_dataset(str(tmp_path / "skin.csv"), config)
    assert (data.task.kind, len(data.task.classes), len(data.task.sites)) == ("classification", 7, 4)
    found = confounding_table(data)
    assert found is not None
    assert found["table"]["vidir_molemax"]["nv"] == 841
    assert found["association"] == pytest.approx(0.32, abs=0.01)
    assert "go together" in found["warning"]


def test_histology_of_ten_laboratories_passes_with_sites_from_names(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data/histology/brca_m2c"
    rules = {"site_from": "TCGA-(..)", "subject_from": "(TCGA-..-....)"}
    result = init_table(folder, tmp_path / "h.csv", **rules)
    data = open_dataset(str(tmp_path / "h.csv"), DataConfig())
    assert (len(result.cases), len(data.task.sites), data.task.dims, len(data.task.channels)) == (62, 10, 2, 3)
    assert check(data, DataConfig()).errors == []


def test_names_that_look_like_one_person_twice_are_doubted(tmp_path: Path) -> None:
    folder = touch(tmp_path / "in", "0001_000.png", "0001_001.png", "0002_000.png", "0003_000.png")
    assert any("0001_000, 0001_001 may be one person (1 such groups)" in m
               for m in init_table(folder, tmp_path / "o.csv").messages)  # fmt: skip
    told = init_table(folder, tmp_path / "p.csv", subject_from="([0-9]+)_")
    assert not any("may be one person" in m for m in told.messages)
    plain = touch(tmp_path / "plain", *(f"img_{n}.png" for n in range(5)))
    assert not any("may be one person" in m for m in init_table(plain, tmp_path / "q.csv").messages)


def test_a_folder_whose_name_ends_in_masks_holds_masks(tmp_path: Path) -> None:
    layout = {"images/a.png": "lung_masks/a.png", "images/b.png": "lung_masks/b.png"}
    assert pairs(touch(tmp_path / "in", *layout, *layout.values())) == layout


def test_a_row_without_a_site_is_left_out_and_not_given_one(tmp_path: Path) -> None:
    folder = touch(tmp_path / "in", "a.png", "b.png")
    (tmp_path / "m.csv").write_text("image_id,hospital\na,oslo\nb,\n")
    result = init_table(folder, tmp_path / "o.csv", join=tmp_path / "m.csv")
    assert [c.site for c in result.cases] == ["oslo"]
    assert result.skipped == [("b.png", "its row in m.csv has no 'hospital'")]
