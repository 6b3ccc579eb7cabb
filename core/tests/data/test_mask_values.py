"""Values of masks that do not mean what would be taken of them are found; true labels raise no alarm."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from mdx.data.checks import CheckReport, check
from mdx.data.config import DataConfig
from mdx.data.open import open_table

Draw = Callable[[str, int, np.ndarray], np.ndarray]


def disc(i: int) -> np.ndarray:
    y, x = np.mgrid[:48, :64]
    return ((y - 20 - i) ** 2 + (x - 30) ** 2 < 100).astype(np.uint8)


def pictures(folder: Path, draw: Draw, suffix: str = ".png", sites: str = "AB", n: int = 5) -> CheckReport:
    """The check of a cohort whose masks are ``draw(site, number, disc)``."""
    lines = ["image,mask,subject,site"]
    rng = np.random.default_rng(0)
    for site in sites:
        for i in range(n):
            Image.fromarray(rng.integers(0, 255, (48, 64), dtype=np.uint8)).save(folder / f"{site}{i}.png")
            Image.fromarray(draw(site, i, disc(i))).save(folder / f"{site}{i}_mask{suffix}")
            lines.append(f"{site}{i}.png,{site}{i}_mask{suffix},{site}{i},{site}")
    (folder / "t.csv").write_text("\n".join(lines))
    config = DataConfig()
    return check(open_table(folder / "t.csv", config), config)


def test_another_coding_at_a_site_is_an_error_that_names_values_and_sites(tmp_path: Path) -> None:
    report = pictures(tmp_path, lambda site, i, m: m * (255 if site == "B" else 1))
    assert [str(e) for e in report.errors] == [
        "sites A and B: the mask value 1 is only at A, 255 only at B, and no value is at both -> if these are the same "
        "classes in two codings, write them alike, or make all values above 0 one class with --set "
        "data.classes=foreground"
    ]


def test_a_partly_other_coding_is_a_warning(tmp_path: Path) -> None:
    def draw(site: str, i: int, m: np.ndarray) -> np.ndarray:
        m[20:26, 28:32] = 4 if site == "B" else 3
        return m

    report = pictures(tmp_path, draw)
    assert not report.errors
    assert "the mask value 3 is only at A, 4 only at B" in str(report.warnings[0])


def test_a_site_without_a_rarer_class_is_no_other_coding(tmp_path: Path) -> None:
    def draw(site: str, i: int, m: np.ndarray) -> np.ndarray:
        if site == "A":
            m[20:26, 28:32] = 2
        return m

    report = pictures(tmp_path, draw)
    assert not report.errors
    assert not [w for w in report.warnings if "only at" in w.what]


def test_a_jpeg_is_no_mask(tmp_path: Path) -> None:
    report = pictures(tmp_path, lambda site, i, m: m * 255, suffix=".jpg")
    assert len(report.errors) == 10
    assert all("a JPEG cannot hold labels" in e.what for e in report.errors)


@pytest.mark.parametrize("how", ["jpeg", "smooth"])
def test_values_that_saving_or_resizing_smeared_are_found_in_png_too(tmp_path: Path, how: str) -> None:
    def draw(site: str, i: int, m: np.ndarray) -> np.ndarray:
        picture = Image.fromarray(m * 255)
        if how == "jpeg":
            packed = io.BytesIO()
            picture.save(packed, "JPEG")
            return np.array(Image.open(packed))
        return np.array(picture.resize((40, 30), Image.Resampling.BILINEAR).resize((64, 48)))

    report = pictures(tmp_path, draw)
    assert len(report.errors) == 10
    assert all("left by lossy saving, smoothing or resizing" in e.what for e in report.errors)


def test_numbers_of_objects_are_no_classes(tmp_path: Path) -> None:
    def draw(site: str, i: int, m: np.ndarray) -> np.ndarray:
        drawn = np.zeros_like(m)
        for k in range(3 + 4 * i):
            y, x = divmod(k, 6)
            drawn[4 + 8 * y : 10 + 8 * y, 4 + 10 * x : 10 + 10 * x] = k + 1
        return drawn

    report = pictures(tmp_path, draw)
    assert ["the masks number objects, 1 to 3 in one and 1 to 19 in another" in e.what for e in report.errors] == [True]


def test_a_slip_of_one_voxel_is_named_with_its_case(tmp_path: Path) -> None:
    def draw(site: str, i: int, m: np.ndarray) -> np.ndarray:
        m[0, 0] = 3 * (site == "A" and i == 2)
        return m

    report = pictures(tmp_path, draw)
    assert not report.errors
    assert "the mask value 3 is in 1 of 10 masks only (A2: 1 voxel(s))" in [w.what for w in report.warnings]


def test_a_value_that_interpolation_left_along_the_border_is_named(tmp_path: Path) -> None:
    def draw(site: str, i: int, m: np.ndarray) -> np.ndarray:
        big = np.kron(m * 2, np.ones((3, 3), np.uint8)).astype(float)
        smooth = (big + np.roll(big, 1, 0) + np.roll(big, 1, 1) + np.roll(big, (1, 1), (0, 1))) / 4
        return np.rint(smooth).astype(np.uint8)[36:84, 58:122]

    report = pictures(tmp_path, draw)
    assert any("the value 1 lies only along the border between a lower and a higher one" in w.what
               for w in report.warnings)  # fmt: skip


@pytest.mark.parametrize("classes", ["foreground", "255"])
def test_named_classes_are_taken_at_their_word(tmp_path: Path, classes: str) -> None:
    pictures(tmp_path, lambda site, i, m: m * (255 if site == "B" else 1))
    config = DataConfig.model_validate({"classes": classes})
    assert not check(open_table(tmp_path / "t.csv", config), config).errors


def test_gaps_between_labels_and_one_class_are_fine(tmp_path: Path) -> None:
    def draw(site: str, i: int, m: np.ndarray) -> np.ndarray:
        m[20:26, 28:32] = 2
        return m * 2

    report = pictures(tmp_path, draw)
    assert not report.errors
    assert not report.warnings


def test_true_labels_of_real_images_raise_no_alarm(shared: Path, tmp_path: Path) -> None:
    for name, pattern in (
        ("hippocampus_msd/labels", "*[05].nii.gz"), ("brain_mr/ptbp_slabs", "*0*_seg.nii.gz"),
        ("brain_mr/synthseg_labelmaps", "*.nii.gz"), ("skin_ham10000/masks", "*00.png"),
    ):  # fmt: skip
        masks = sorted((shared / "data" / name).glob(pattern))
        assert len(masks) > 3, name
        lines = ["image,mask,subject,site", *(f"{m},{m},s{i},{'AB'[i % 2]}" for i, m in enumerate(masks))]
        (tmp_path / "t.csv").write_text("\n".join(lines))
        config = DataConfig()
        report = check(open_table(tmp_path / "t.csv", config), config)
        assert not [e for e in report.errors if "mask" in e.what], name
        assert not [w for w in report.warnings if "border" in w.what or "only at" in w.what], name


def test_real_numbers_of_nuclei_are_named(shared: Path, tmp_path: Path) -> None:
    masks = sorted((shared / "data/cells/dsb2018_CC0/fluorescence").glob("*_inst.png"))[:12]
    lines = ["image,mask,subject,site", *(f"{m},{m},s{i},{'AB'[i % 2]}" for i, m in enumerate(masks))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    config = DataConfig()
    assert any("number objects" in e.what for e in check(open_table(tmp_path / "t.csv", config), config).errors)


def test_blank_and_spectacular_scans_are_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scans = {"a": rng.normal(size=(6, 6, 6)), "blank": np.zeros((6, 6, 6)), "flat": np.full((6, 6, 6), 7.0),
             "huge": rng.normal(size=(6, 6, 6)) * 1e31}  # fmt: skip
    lines = ["image,subject,site"]
    for name, values in scans.items():
        nib.save(nib.Nifti1Image(values.astype(np.float32), np.eye(4)), tmp_path / f"{name}.nii.gz")
        lines.append(f"{name}.nii.gz,{name},A")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    warned = [w.what for w in check(open_table(tmp_path / "t.csv", DataConfig()), DataConfig()).warnings]
    assert "2 image(s) hold one value only: blank (0 to 0), flat (7 to 7)" in warned
    assert any(w.startswith("1 image(s) hold values beyond 1e30: huge") for w in warned)


@pytest.mark.parametrize(("white", "certain"), [(255, True), (2, False)])
def test_one_value_in_some_masks_and_another_in_the_others_is_doubted_at_any_site(
    tmp_path: Path, white: int, certain: bool
) -> None:
    report = pictures(tmp_path, lambda site, i, m: m * (white if i % 2 else 1))
    said = f"6 masks hold the value 1 alone, 4 the value {white} alone"
    assert [said in str(e) for e in report.errors] == [True] * certain
    assert any(said in str(w) for w in report.warnings) != certain


def test_white_beside_small_labels_and_masks_without_background_are_warned_of(tmp_path: Path) -> None:
    def draw(site: str, i: int, m: np.ndarray) -> np.ndarray:
        m[:2] = 255
        return m if site == "A" else np.maximum(m, 1)

    said = [w.what for w in pictures(tmp_path, draw).warnings]
    assert "10 mask(s) hold 255 beside small labels (A0, A1, A2): it is a class" in said
    assert "5 mask(s) have no background (B0, B1, B2): every voxel is of a class" in said
