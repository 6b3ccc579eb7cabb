from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from pydantic import ValidationError

from mdx.cache import cache_dir
from mdx.data.batches.intensity import scale_intensity
from mdx.data.batches.loading import TableLoader, label_map, load_file, prepare_image, write_prediction
from mdx.data.batches.store import load_geometry, save_geometry
from mdx.data.config import DataConfig
from mdx.data.files.images import read_image
from mdx.data.open import open_table
from mdx.errors import DataError
from mdx.interfaces.adapter import Prediction
from mdx.interfaces.dataset import Task

CONFIG = DataConfig()


@pytest.mark.parametrize(("name", "key"), [("fda_scale_mri", "raw"), ("mmtl_scale_mri", "image")])
def test_percentile_scaling_equals_the_published_one(shared: Path, name: str, key: str) -> None:
    golden = np.load(shared / "golden" / f"{name}.npz")
    assert np.abs(scale_intensity(golden[key][None], CONFIG)[0] - golden["scaled"]).max() < 1e-6


@pytest.mark.parametrize("kind", ["percentiles", "zscore", "minmax"])
def test_a_constant_image_becomes_zeros(kind) -> None:
    scaled = scale_intensity(np.full((2, 4, 4, 4), 7, np.float32), DataConfig(intensity=kind))
    assert np.array_equal(scaled, np.zeros((2, 4, 4, 4)))


def test_a_window_means_the_same_values_in_every_file() -> None:
    config = DataConfig.model_validate({"intensity": "window", "lower": -1000, "upper": 400})
    values = np.array([-2000, -1000, -300, 400, 3000], np.float32).reshape(1, 5, 1)
    assert np.allclose(scale_intensity(values, config).ravel(), [0, 0, 0.5, 1, 1])
    assert np.allclose(scale_intensity(np.full((1, 4, 4), -300, np.float32), config), 0.5)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"intensity": "window"}, "window needs lower and upper"),
        ({"intensity": "window", "lower": -5}, "window needs lower and upper"),
        ({"intensity": "window", "lower": 40, "upper": 40}, "lower must be below upper"),
        ({"lower": -1000, "upper": 50}, "values of the file need intensity=window"),
        ({"upper": 400}, "values of the file need intensity=window"),
    ],
)
def test_limits_that_make_no_window_and_no_percentiles_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        DataConfig.model_validate(settings)


def test_a_window_read_back_from_the_settings_of_a_run_is_the_same() -> None:
    config = DataConfig.model_validate({"intensity": "window", "lower": "-1000", "upper": "400"})
    assert DataConfig.model_validate(config.model_dump(mode="json")) == config


def test_an_almost_empty_image_is_not_blown_up() -> None:
    values = np.zeros((1, 20, 20, 20), np.float32)
    values[0, 5, 5, :3] = (10, 20, 1000)
    scaled = scale_intensity(values, CONFIG)
    assert (scaled.min(), scaled.max()) == (0, 1)


def test_channels_are_scaled_by_themselves() -> None:
    values = (
        np.random.default_rng(0).normal(size=(2, 8, 8, 8)).astype(np.float32) * np.array([1, 900])[:, None, None, None]
    )
    scaled = scale_intensity(values.astype(np.float32), CONFIG)
    assert scaled.min(axis=(1, 2, 3)).tolist() == [0, 0]
    assert scaled.max(axis=(1, 2, 3)).tolist() == [1, 1]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("intensity", ["percentiles", "zscore", "minmax"])
def test_the_three_colours_of_a_picture_get_one_scaling(tmp_path: Path, suffix: str, intensity: str) -> None:
    pixels = np.random.default_rng(0).integers(0, [200, 100, 50], (24, 20, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / f"pink{suffix}")
    config = DataConfig.model_validate({"intensity": intensity, "lower": 0, "upper": 100})
    scaled, _ = prepare_image([tmp_path / f"pink{suffix}"], config)
    slope, offset = np.polyfit(pixels.ravel(), np.moveaxis(scaled, 0, -1).ravel(), 1)
    np.testing.assert_allclose(np.moveaxis(scaled, 0, -1), slope * pixels + offset, atol=1e-4)


def test_channels_that_a_tiff_recorded_are_scaled_by_themselves(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, [[[200]], [[100]], [[50]]], (3, 24, 20)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "stains.tif", pixels, metadata={"axes": "CYX"}, photometric="minisblack", ome=True)
    scaled, geometry = prepare_image([tmp_path / "stains.tif"], CONFIG)
    assert geometry.layout is not None
    assert not geometry.layout.colour
    assert scaled.max(axis=(1, 2)).tolist() == [1, 1, 1]


def test_three_columns_of_grey_pictures_are_scaled_by_themselves(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 50, (24, 20)).astype(np.uint8)
    for factor in (1, 2, 4):
        Image.fromarray(grey * factor).save(tmp_path / f"{factor}.png")
    scaled, _ = prepare_image([tmp_path / f"{factor}.png" for factor in (1, 2, 4)], CONFIG)
    np.testing.assert_allclose(scaled[1:], scaled[[0, 0]], atol=1e-6)


def test_a_kept_picture_is_still_known_as_colour(tmp_path: Path) -> None:
    Image.new("RGB", (6, 5), (200, 100, 50)).save(tmp_path / "a.png")
    _, geometry = read_image(tmp_path / "a.png")
    save_geometry(tmp_path / "a.json", geometry)
    kept = load_geometry(tmp_path / "a.json")
    assert kept is not None
    assert kept.layout is not None
    assert kept.layout.colour


def test_zscore_has_mean_zero_and_deviation_one() -> None:
    scaled = scale_intensity(np.arange(64, dtype=np.float32).reshape(1, 4, 4, 4), DataConfig(intensity="zscore"))
    assert abs(scaled.mean()) < 1e-6
    assert abs(scaled.std() - 1) < 1e-6


def test_a_sample_has_one_mask_channel_for_each_class(table: Path) -> None:
    data = open_table(table, CONFIG)
    sample = data.load(data.cases[0])
    assert (sample.image.dtype, sample.image.shape, sample.mask.shape) == (
        torch.float32,
        (1, 10, 12, 6),
        (2, 10, 12, 6),
    )
    assert sample.mask.sum(dim=(1, 2, 3)).tolist() == [4 * 4 * 3, 2 * 4 * 3]
    assert set(sample.mask.unique().tolist()) == {0, 1}


def test_foreground_makes_one_class_of_all_values(table: Path) -> None:
    data = open_table(table, DataConfig(classes="foreground"))
    assert data.load(data.cases[0]).mask.sum() == 6 * 4 * 3


def test_hidden_labels_are_not_read(table: Path) -> None:
    data = open_table(table, CONFIG)
    case = replace(data.cases[0], mask=table.parent / "not-there.nii.gz")
    sample = data.loader(case, False)
    assert (dict(sample.labels), sample.hidden) == ({}, {"mask"})


def test_cached_and_fresh_samples_are_bit_identical_and_lie_alike_in_memory(table: Path) -> None:
    data = open_table(table, CONFIG)
    case = data.cases[1]
    fresh = TableLoader(DataConfig(cache=False), data.task)(case, True)
    first, second = data.load(case), data.load(case)
    for sample in (first, second):
        assert torch.equal(sample.image, fresh.image)
        assert torch.equal(sample.mask, fresh.mask)
        assert sample.image.stride() == fresh.image.stride()
        assert np.array_equal(sample.geometry.affine, fresh.geometry.affine)
        assert sample.geometry.layout is not None
        assert fresh.geometry.layout is not None
        assert sample.geometry.layout.header == fresh.geometry.layout.header


def test_a_method_that_writes_into_a_sample_does_not_change_the_cache(table: Path) -> None:
    data = open_table(table, CONFIG)
    data.load(data.cases[0])
    before = data.load(data.cases[0]).image.clone()
    data.load(data.cases[0]).image.fill_(5)
    assert torch.equal(data.load(data.cases[0]).image, before)


def test_the_cache_notices_a_file_that_changed(table: Path) -> None:
    data = open_table(table, CONFIG)
    before = data.load(data.cases[0]).image.clone()
    path = data.cases[0].images["image"]
    nib.save(nib.Nifti1Image(np.arange(720, dtype=np.float32).reshape(10, 12, 6), np.diag([-1.0, 1, 2, 1])), path)
    os.utime(path, ns=(1, 1))
    assert not torch.equal(data.load(data.cases[0]).image, before)


def test_a_damaged_cache_entry_is_made_again(table: Path) -> None:
    data = open_table(table, CONFIG)
    before = data.load(data.cases[0]).image.clone()
    for entry in cache_dir("samples").glob("*.npy"):
        entry.write_bytes(entry.read_bytes()[:50])
    assert torch.equal(data.load(data.cases[0]).image, before)


def test_slices_of_the_last_axis_lie_together(table: Path) -> None:
    data = open_table(table, CONFIG)
    assert data.load(data.cases[0]).image[..., 2].is_contiguous()


def test_a_new_file_is_read_as_the_table_reads_it(table: Path) -> None:
    data = open_table(table, CONFIG)
    sample = load_file({"image": table.parent / "img3.nii.gz"}, CONFIG, data.task)
    assert torch.equal(sample.image, data.load(data.cases[3]).image)


def test_a_file_with_other_channels_is_refused(table: Path) -> None:
    task = open_table(table, CONFIG).task
    with pytest.raises(DataError, match="3-D with 1 channel"):
        load_file({"image": table.parent / "img3.nii.gz"}, CONFIG, replace(task, channels=("t1", "t2")))


def test_a_mask_on_another_grid_is_refused_by_the_loader_too(table: Path) -> None:
    data = open_table(table, CONFIG)
    nib.save(nib.Nifti1Image(np.ones((10, 12, 6), np.uint8), np.diag([3.0, 3, 3, 1])), table.parent / "mask0.nii.gz")
    with pytest.raises(DataError, match="mm away by its affine"):
        data.load(data.cases[0])


SEGMENTATION = Task("segmentation", ("1", "3"), ("image",), 3, ("A",), label_values=((1,), (3,)))


def test_a_label_map_holds_the_values_of_the_most_probable_class_above_a_half() -> None:
    probabilities = np.array([[0.6, 0.4, 0.5, 0.1], [0.3, 0.6, 0.5, 0.2]])
    assert label_map(probabilities, SEGMENTATION).tolist() == [1, 3, 0, 0]
    foreground = replace(SEGMENTATION, classes=("foreground",), label_values=((),))
    assert label_map(probabilities[:1], foreground).tolist() == [1, 0, 0, 0]


def test_a_prediction_of_the_reference_is_the_reference_file(table: Path, tmp_path: Path) -> None:
    data = open_table(table, CONFIG)
    sample = data.load(data.cases[0])
    prediction = Prediction(sample.geometry, segmentation=sample.mask.numpy(), image=sample.image.numpy())
    written = write_prediction(prediction, data.task, tmp_path / "out", "s0", CONFIG)
    assert [p.name for p in written] == ["s0.nii.gz", "s0_image.nii.gz"]
    mask, reference = nib.load(written[0]), nib.load(table.parent / "mask0.nii.gz")
    assert np.array_equal(mask.dataobj, reference.dataobj)
    assert np.array_equal(mask.affine, reference.affine)
    assert nib.load(written[1]).get_data_dtype() == np.float32


def test_resampling_changes_the_grid_and_is_undone_on_writing(table: Path, tmp_path: Path) -> None:
    config = DataConfig(spacing_mm=(1.0,))
    data = open_table(table, config)
    sample = data.load(data.cases[0])
    assert sample.image.shape == sample.mask[:1].shape == (1, 10, 12, 11)
    assert np.allclose(sample.geometry.spacing_mm, 1)
    prediction = Prediction(sample.geometry, segmentation=sample.mask.numpy())
    (path,) = write_prediction(prediction, data.task, tmp_path, "s0", config)
    written, reference = np.asarray(nib.load(path).dataobj), np.asarray(nib.load(table.parent / "mask0.nii.gz").dataobj)
    assert written.shape == reference.shape
    assert 2 * ((written > 0) & (reference > 0)).sum() / ((written > 0).sum() + (reference > 0).sum()) > 0.9


def test_pictures_are_written_as_png(tmp_path: Path) -> None:
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "a.jpg")
    task = replace(SEGMENTATION, dims=2)
    sample = load_file({"image": tmp_path / "a.jpg"}, CONFIG, task)
    probabilities = np.zeros((2, 8, 8), np.float32)
    probabilities[1, 2:4, 5] = 1
    (path,) = write_prediction(Prediction(sample.geometry, segmentation=probabilities), task, tmp_path, "a", CONFIG)
    assert path.name == "a.png"
    assert np.array_equal(np.array(Image.open(path)), probabilities[1] * 3)
