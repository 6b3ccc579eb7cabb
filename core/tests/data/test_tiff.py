from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from mdx.data.batches.loading import write_prediction
from mdx.data.checks import check
from mdx.data.config import DataConfig
from mdx.data.files.images import header_of, read_image, read_mask, write_image, write_mask
from mdx.data.open import open_table
from mdx.errors import DataError
from mdx.interfaces.adapter import Prediction

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (6, 8), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (6, 8), dtype=np.uint16)
COLOUR = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)


@pytest.mark.parametrize("pixels", [GREY, DEEP, COLOUR, COLOUR.astype(np.uint16) * 257, GREY.astype(np.float32) / 7])
def test_a_page_is_a_plain_image_of_any_depth(tmp_path: Path, pixels: np.ndarray) -> None:
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    values, geometry = read_image(tmp_path / "a.tif")
    assert np.array_equal(values, pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0))
    assert geometry.shape == (6, 8)
    assert header_of(tmp_path / "a.tif") == (2, len(values))
    write_image(tmp_path / "b.tif", values, geometry)
    again = tifffile.imread(tmp_path / "b.tif")
    assert np.array_equal(again, pixels)
    assert again.dtype == pixels.dtype


def test_a_mask_of_a_tiff_is_written_as_tiff(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", COLOUR)
    labels = (GREY > 99).astype(np.uint8) * 2
    write_mask(tmp_path / "m.tif", labels, read_image(tmp_path / "a.tif")[1])
    assert np.array_equal(read_mask(tmp_path / "m.tif")[0], labels)


@pytest.mark.parametrize("compression", ["tiff_lzw", "jpeg", "packbits", "tiff_deflate"])
def test_usual_compressions_are_read(tmp_path: Path, compression: str) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "a.tiff", compression=compression)
    values = read_image(tmp_path / "a.tiff")[0]
    assert values.shape == (3, 6, 8)
    if compression != "jpeg":
        assert np.array_equal(values, np.moveaxis(COLOUR, -1, 0))


def test_alpha_is_dropped_but_recorded_channels_are_kept(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "rgba.tif", np.dstack([COLOUR, GREY]), photometric="rgb", extrasamples=["unassalpha"])
    assert read_image(tmp_path / "rgba.tif")[0].shape == (3, 6, 8)
    stains = RNG.integers(0, 9, (4, 6, 8), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "stains.tif", stains, imagej=True, metadata={"axes": "CYX"})
    assert np.array_equal(read_image(tmp_path / "stains.tif")[0], stains)


def test_palettes_become_colour_and_white_as_zero_is_inverted(tmp_path: Path) -> None:
    palette = Image.fromarray(COLOUR).quantize(16)
    palette.save(tmp_path / "p.tif")
    assert np.array_equal(read_image(tmp_path / "p.tif")[0], np.moveaxis(np.array(palette.convert("RGB")), -1, 0))
    tifffile.imwrite(tmp_path / "w.tif", GREY, photometric="miniswhite")
    assert np.array_equal(read_image(tmp_path / "w.tif")[0][0], 255 - GREY)


def test_pages_are_the_slices_of_a_volume(tmp_path: Path) -> None:
    pages = RNG.integers(0, 999, (5, 6, 8), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "v.tif", pages)
    values, geometry = read_image(tmp_path / "v.tif")
    assert values.shape == (1, 8, 6, 5)
    assert values[0, 7, 2, 4] == pages[4, 2, 7]
    assert (geometry.axcodes, geometry.spacing_mm) == ("RAS", (1, 1, 1))
    assert geometry.layout is not None
    assert geometry.layout.suffix == ".nii.gz"
    write_image(tmp_path / "v.nii.gz", values, geometry)
    assert np.array_equal(read_image(tmp_path / "v.nii.gz")[0], values)


def test_colour_pages_are_a_volume_of_three_channels(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "v.tif", np.stack([COLOUR] * 4), photometric="rgb")
    assert read_image(tmp_path / "v.tif")[0].shape == (3, 8, 6, 4)
    assert header_of(tmp_path / "v.tif") == (3, 3)


@pytest.mark.parametrize("options", [
    {"imagej": True, "resolution": (2.0, 4.0), "metadata": {"axes": "ZYX", "spacing": 3.0, "unit": "mm"}},
    {"ome": True, "metadata": {"axes": "ZYX", "PhysicalSizeX": 500.0, "PhysicalSizeY": 250.0, "PhysicalSizeZ": 3000.0,
                               "PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm", "PhysicalSizeZUnit": "µm"}},
])  # fmt: skip
def test_voxel_size_comes_from_imagej_and_ome(tmp_path: Path, options: Mapping) -> None:
    tifffile.imwrite(tmp_path / "v.tif", np.zeros((5, 6, 8), np.uint16), **options)
    assert read_image(tmp_path / "v.tif")[1].spacing_mm == pytest.approx((0.5, 0.25, 3.0))


def test_a_time_series_and_pages_of_two_sizes_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "t.tif", np.zeros((2, 3, 6, 8), np.uint8), imagej=True, metadata={"axes": "TZYX"})
    with pytest.raises(DataError, match="has the axes TZYX"):
        read_image(tmp_path / "t.tif")
    with tifffile.TiffWriter(tmp_path / "two.tif") as writer:
        writer.write(GREY, metadata=None)
        writer.write(GREY[:3], metadata=None)
    with pytest.raises(DataError, match="2 images of different sizes"):
        read_image(tmp_path / "two.tif")


def test_a_truncated_or_false_tiff_is_named(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", RNG.integers(0, 9, (60, 80), dtype=np.uint8))
    (tmp_path / "short.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:900])
    (tmp_path / "text.tif").write_bytes(b"hello, this is text")
    for name in ("short.tif", "text.tif"):
        with pytest.raises(DataError, match=f"{name}: is truncated or damaged"):
            read_image(tmp_path / name)


def test_a_table_of_tiffs_opens_and_passes_the_check(tmp_path: Path) -> None:
    lines = ["image,mask,subject,site"]
    for i in range(4):
        tifffile.imwrite(tmp_path / f"i{i}.tif", np.roll(COLOUR, i), photometric="rgb")
        tifffile.imwrite(tmp_path / f"m{i}.tif", (GREY > 99).astype(np.uint8))
        lines.append(f"i{i}.tif,m{i}.tif,s{i},{'AB'[i % 2]}")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    data = open_table(tmp_path / "t.csv", DataConfig())
    assert (data.task.dims, len(data.task.channels)) == (2, 3)
    assert check(data, DataConfig()).errors == []
    assert data.load(data.cases[0]).mask.shape == (1, 6, 8)


@pytest.mark.parametrize(("suffix", "written"), [(".png", ".png"), (".jpg", ".png"), (".tif", ".tif")])
@pytest.mark.parametrize("intensity", ["none", "percentiles"])
def test_predictions_for_colour_images_lie_on_their_pixels(
    tmp_path: Path, suffix: str, written: str, intensity: str
) -> None:
    lines = ["image,mask,subject,site"]
    for i in range(2):
        Image.fromarray(np.roll(COLOUR, i)).save(tmp_path / f"i{i}{suffix}")
        Image.fromarray((GREY > 99).astype(np.uint8)).save(tmp_path / f"m{i}.png")
        lines.append(f"i{i}{suffix},m{i}.png,s{i},{'AB'[i % 2]}")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    config = DataConfig(intensity=intensity)
    data = open_table(tmp_path / "t.csv", config)
    sample = data.load(data.cases[0])
    assert sample.image.shape == (3, 6, 8)
    prediction = Prediction(sample.geometry, segmentation=np.asarray(sample.mask), image=np.asarray(sample.image))
    paths = write_prediction(prediction, data.task, tmp_path, "c", config)
    assert [path.name for path in paths] == [f"c{written}", f"c_image{written}"]
    assert np.array_equal(read_mask(paths[0])[0], (GREY > 99).astype(int))
    again = read_image(paths[1])[0]
    if intensity == "none":
        assert np.array_equal(again, read_image(tmp_path / f"i0{suffix}")[0])
    else:
        scale = 1 if written == ".tif" else 255
        assert np.abs(again / scale - np.asarray(sample.image)).max() <= 0.5 / 255 + 1e-6
