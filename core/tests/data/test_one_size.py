"""``data.size``: every image on one grid, and predictions back on the file's own."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from mdx.data.batches.loading import load_file, write_prediction
from mdx.data.checks import check
from mdx.data.config import DataConfig
from mdx.data.files.geometry import bring_to_size, undo_resampling
from mdx.data.files.images import read_image
from mdx.data.open import open_table
from mdx.errors import ConfigError, DataError
from mdx.interfaces.adapter import Prediction
from mdx.interfaces.dataset import Task


def smooth(shape: tuple[int, ...]) -> np.ndarray:
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    return np.exp(-2 * sum(a**2 for a in axes)).astype(np.float32)


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    affine = np.array([[-2.0, 0, 0, 30], [0, 2, 0, -20], [0, 0, 3, 5], [0, 0, 0, 1]])
    path = tmp_path / "scan.nii.gz"
    nib.save(nib.Nifti1Image(smooth((21, 18, 11)), affine), path)
    return path


@pytest.mark.parametrize("how", ["crop", "resize"])
@pytest.mark.parametrize("size", [(16, 16, 8), (30, 26, 15)])
def test_every_image_gets_the_size(scan: Path, how, size) -> None:
    values, geometry = bring_to_size(*read_image(scan), size, how)
    assert values.shape[1:] == geometry.shape == size


@pytest.mark.parametrize("how", ["crop", "resize"])
def test_the_affine_still_says_where_a_voxel_lies(scan: Path, how) -> None:
    image, before = read_image(scan)
    values, after = bring_to_size(image, before, (16, 14, 9), how)

    def centre_of_mass(v: np.ndarray, affine: np.ndarray) -> np.ndarray:
        weights = v[0] ** 2
        indices = np.stack(np.meshgrid(*[np.arange(n) for n in weights.shape], indexing="ij"), axis=-1)
        at = (indices * weights[..., None]).sum(axis=(0, 1, 2)) / weights.sum()
        return (affine @ [*at, 1])[:3]

    moved = centre_of_mass(values, after.affine) - centre_of_mass(image, before.affine)
    assert np.abs(moved).max() < 0.2  # mm, of voxels of 2 and 3 mm


@pytest.mark.parametrize("how", ["crop", "resize"])
def test_a_prediction_returns_to_the_files_own_grid(scan: Path, how) -> None:
    image, before = read_image(scan)
    values, after = bring_to_size(image, before, (24, 20, 13), how)
    back, geometry = undo_resampling(values, after)
    assert geometry.shape == before.shape
    assert np.abs(back - image)[:, 2:-2, 2:-2, 2:-2].max() < 0.05


@pytest.mark.parametrize("how", ["crop", "resize"])
def test_a_mask_of_a_picture_returns_to_its_pixels(tmp_path: Path, how) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray((255 * np.stack([smooth((40, 30))] * 3, axis=-1)).astype(np.uint8)).save(path)
    task = Task("segmentation", ("1",), ("image[0]", "image[1]", "image[2]"), 2, ("s",), "mask", ((1,),))
    config = DataConfig(size=(44, 36), fit=how)
    sample = load_file({"image": path}, config, task)
    bright = (sample.image[:1] > 0.5).float().numpy()
    (written,) = write_prediction(Prediction(sample.geometry, segmentation=bright), task, tmp_path / "out", "p", config)
    mask = np.asarray(Image.open(written)) > 0
    assert mask.shape == (40, 30)
    truth = smooth((40, 30)) > 0.5 * smooth((40, 30)).max()
    assert (mask & truth).sum() * 2 / (mask.sum() + truth.sum()) > 0.95


def test_reference_masks_follow_their_image(tmp_path: Path, scan: Path) -> None:
    image = nib.load(scan)
    mask = (image.get_fdata() > 0.5).astype(np.uint8)
    nib.save(nib.Nifti1Image(mask, image.affine), tmp_path / "mask.nii.gz")
    rows = "\n".join(f"scan.nii.gz,mask.nii.gz,s{i},a" for i in range(3))
    (tmp_path / "t.csv").write_text(f"image,mask,subject,site\n{rows}\n")
    data = open_table(tmp_path / "t.csv", DataConfig(size=(16, 16, 12), intensity="none"))
    sample = data.load(data.cases[0])
    assert sample.mask.shape == (1, 16, 16, 12)
    assert ((sample.image > 0.5).float() - sample.mask).abs().mean() < 0.01


def test_a_size_with_too_few_axes_is_refused(scan: Path) -> None:
    with pytest.raises(DataError, match="names 2 axes, the image has 3"):
        bring_to_size(*read_image(scan), (16, 16), "crop")


def test_a_size_below_one_is_refused() -> None:
    with pytest.raises((ValueError, ConfigError), match="whole numbers above 0"):
        DataConfig(size=(0, 5, 5))


def cropped(tmp_path: Path, size: tuple[int, ...], shift: int = 0, fit: str = "crop") -> list[str]:
    """What the check warns of where a ball of radius 6 lies in 24 voxels, moved by ``shift`` along the first axis."""
    x, y, z = np.meshgrid(*[np.arange(24) - 11.5] * 3, indexing="ij")
    ball = ((x - shift) ** 2 + y**2 + z**2 < 36).astype(np.float32)
    for name, values in (("image", 50 + 100 * ball), ("mask", ball)):
        nib.save(nib.Nifti1Image(values.astype(np.uint8), np.eye(4)), tmp_path / f"{name}.nii.gz")
    table = tmp_path / "cohort.csv"
    lines = [f"image.nii.gz,mask.nii.gz,{site}{i},{site}" for site in "AB" for i in range(3)]
    table.write_text("\n".join(["image,mask,subject,site", *lines]) + "\n")
    config = DataConfig.model_validate({"size": size, "fit": fit})
    return [str(problem) for problem in check(open_table(table, config), config).warnings if "crop" in str(problem)]


def test_a_crop_that_cuts_foreground_is_a_warning_with_the_share_of_image_and_mask(tmp_path: Path) -> None:
    of_image, of_mask = cropped(tmp_path, (24, 24, 6))
    ball = nib.load(tmp_path / "mask.nii.gz").get_fdata()
    share = round(100 * (1 - ball[:, :, 9:15].sum() / ball.sum()))
    assert f"the crop to 24 x 24 x 6 cuts away {share}% of what is brighter" in of_image
    assert f"{share}% of what is labelled; 6 of the 6 cases looked at" in of_mask
    assert "data.fit=resize" in of_image


def test_a_crop_that_keeps_all_and_a_resize_are_no_warning(tmp_path: Path) -> None:
    assert cropped(tmp_path, (14, 14, 14)) == []
    assert cropped(tmp_path, (40, 40, 40)) == []
    assert cropped(tmp_path, (8, 8, 8), fit="resize") == []
    assert len(cropped(tmp_path, (14, 14, 14), shift=5)) == 2


def test_every_fourth_slice_of_a_resized_volume_is_kept_at_its_place_and_z_scored(scan: Path) -> None:
    """The input of Dinsdale et al. 2021: resized, every 4th slice, then mean 0 and SD 1."""
    whole, before = bring_to_size(*read_image(scan), (16, 16, 20), "resize")
    config = DataConfig.model_validate(
        {"size": (16, 16, 20), "fit": "resize", "every_slice": 4, "intensity": "zscore", "cache": False}
    )
    sample = load_file({"image": scan}, config, Task("regression", (), ("image",), 3, (), label="age"))
    expected = whole[..., ::4]
    assert sample.image.shape == (1, 16, 16, 5)
    np.testing.assert_allclose(sample.image.numpy(), (expected - expected.mean()) / expected.std(), atol=2e-3)
    assert abs(float(sample.image.mean())) < 1e-5
    assert float(sample.image.std(correction=0)) == pytest.approx(1, abs=1e-4)
    for k in range(5):
        np.testing.assert_allclose(sample.geometry.affine @ [3, 4, k, 1], before.affine @ [3, 4, 4 * k, 1])


def test_a_prediction_on_every_second_slice_returns_to_the_files_own_grid(scan: Path) -> None:
    config = DataConfig.model_validate({"size": (21, 18, 12), "fit": "resize", "every_slice": 2, "cache": False})
    task = Task("segmentation", ("ball",), ("image",), 3, (), label_values=((1,),))
    sample = load_file({"image": scan}, config, task)
    inside = (sample.image.numpy() > 0.5).astype(np.float32)
    back, _ = undo_resampling(inside, sample.geometry)
    assert back.shape[1:] == (21, 18, 11)
    image, _ = read_image(scan)
    low, high = np.percentile(image, [1, 99])
    truth = (image - low) / (high - low) > 0.5
    assert 2 * (truth & (back > 0.5)).sum() / (truth.sum() + (back > 0.5).sum()) > 0.85


def test_plain_images_have_no_slices_to_keep_some_of(tmp_path: Path) -> None:
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "a.png")
    config = DataConfig.model_validate({"every_slice": 2, "cache": False})
    with pytest.raises(DataError, match=r"unset data\.every_slice"):
        load_file({"image": tmp_path / "a.png"}, config, Task("regression", (), ("image",), 2, (), label="age"))
