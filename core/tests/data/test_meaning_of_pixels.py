"""What the numbers of a file mean (turned, inks, palettes, planes, polarity, depth) on every path that stores them."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from PIL import Image, ImageOps

from mdx.data.files.facts import read_facts
from mdx.data.files.images import header_of, read_image, read_mask, write_image, write_mask
from mdx.errors import DataError

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)
DEEP_COLOUR = RNG.integers(0, 65536, (6, 8, 3), dtype=np.uint16)
GREY = RNG.integers(0, 256, (6, 8), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (6, 8), dtype=np.uint16)
FIRST = np.moveaxis(COLOUR, -1, 0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_an_image_is_read_as_a_viewer_shows_it(tmp_path: Path, orientation: int, suffix: str) -> None:
    path = tmp_path / f"photo{suffix}"
    stored = Image.fromarray(np.kron(COLOUR, np.ones((8, 8, 1), np.uint8)))
    exif = Image.Exif()
    exif[274] = orientation
    if suffix == ".tif":
        tifffile.imwrite(path, np.array(stored), extratags=[(274, 3, 1, orientation, True)])
    else:
        stored.save(path, exif=exif, **({"quality": 100, "subsampling": 0} if suffix == ".jpg" else {}))
    with Image.open(path) as picture:
        shown = np.moveaxis(np.array(ImageOps.exif_transpose(picture).convert("RGB")), -1, 0)
    values, geometry = read_image(path)
    assert np.array_equal(values, shown)
    assert header_of(path) == (2, 3)
    # a mask drawn on what is shown fits, and so does a prediction
    write_mask(tmp_path / "mask.png", (shown[0] > 99).astype(np.uint8), geometry)
    assert np.array_equal(read_mask(tmp_path / "mask.png")[0], shown[0] > 99)


def test_deep_colours_are_turned_too_and_keep_their_bits(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    small = tmp_path / "small.png"
    Image.fromarray(COLOUR).save(small, exif=exif)
    chunk = small.read_bytes().split(b"eXIf")[1]
    plain = imagecodecs.png_encode(DEEP_COLOUR)
    at = plain.index(b"IDAT") - 4
    length = small.read_bytes()[small.read_bytes().index(b"eXIf") - 4 :][:4]
    size = int.from_bytes(length, "big")
    path = tmp_path / "deep.png"
    path.write_bytes(plain[:at] + length + b"eXIf" + chunk[: size + 4] + plain[at:])
    assert np.array_equal(read_image(path)[0], np.moveaxis(np.rot90(DEEP_COLOUR, -1), -1, 0))


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits"])
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("pixels", [COLOUR, DEEP_COLOUR], ids=["8 bits", "16 bits"])
def test_colours_of_a_tiff_are_the_same_however_it_is_packed(
    tmp_path: Path, compression: str | None, planes: str, pixels: np.ndarray
) -> None:
    stored = pixels if planes == "contig" else np.moveaxis(pixels, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planes, compression=compression)
    assert np.array_equal(read_image(tmp_path / "a.tif")[0], np.moveaxis(pixels, -1, 0))


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("pixels", [GREY, DEEP], ids=["8 bits", "16 bits"])
def test_white_stored_as_zero_is_inverted_however_it_is_packed(
    tmp_path: Path, compression: str | None, pixels: np.ndarray
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite", compression=compression)
    assert np.array_equal(read_image(tmp_path / "a.tif")[0][0], np.iinfo(pixels.dtype).max - pixels)


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("deep", [False, True])
def test_inks_become_the_colours_that_they_print(tmp_path: Path, compression: str | None, deep: bool) -> None:
    inks = np.array(Image.fromarray(COLOUR).convert("CMYK"))
    inks[..., 3] = GREY // 4  # some black, so that it counts
    wanted = np.moveaxis(np.array(Image.fromarray(inks, "CMYK").convert("RGB")), -1, 0).astype(int)
    stored = inks.astype(np.uint16) * 257 if deep else inks
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="separated", compression=compression)
    found = read_image(tmp_path / "a.tif")[0] / (257 if deep else 1)
    assert np.abs(found - wanted).max() <= 1


def test_a_palette_is_colour_in_an_image_and_labels_in_a_mask(tmp_path: Path) -> None:
    labels = (GREY % 3).astype(np.uint8)
    picture = Image.frombytes("P", (8, 6), labels.tobytes())
    picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0] + [0] * 759)
    for name in ("a.png", "a.tif"):
        picture.save(tmp_path / name)
        assert np.array_equal(read_mask(tmp_path / name)[0], labels), name
        assert np.array_equal(read_image(tmp_path / name)[0][0], (labels == 1) * 128), name
        facts = read_facts([tmp_path / name], "mask")[tmp_path / name]
        assert not isinstance(facts, DataError)
        assert set(facts.labels) == {1, 2}


@pytest.mark.parametrize("alpha", [False, True])
def test_sixteen_bits_of_a_colour_png_are_kept_and_written_back(tmp_path: Path, alpha: bool) -> None:
    pixels = np.dstack([DEEP_COLOUR, DEEP]) if alpha else DEEP_COLOUR
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pixels))
    values, geometry = read_image(tmp_path / "a.png")
    assert np.array_equal(values, np.moveaxis(DEEP_COLOUR, -1, 0))
    write_image(tmp_path / "b.png", values, geometry)
    assert np.array_equal(read_image(tmp_path / "b.png")[0], values)


def test_grey_with_alpha_is_grey_at_any_depth(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([GREY, GREY]), "LA").save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(imagecodecs.png_encode(np.dstack([DEEP, DEEP])))
    assert np.array_equal(read_image(tmp_path / "a.png")[0][0], GREY)
    assert np.array_equal(read_image(tmp_path / "b.png")[0][0], DEEP)


def test_colours_that_mdx_does_not_know_are_refused_by_name(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", COLOUR, photometric="cielab")
    with pytest.raises(DataError, match=r"a\.tif: stores its colours as CIELAB"):
        read_image(tmp_path / "a.tif")


def test_a_mask_that_a_scaled_file_holds_is_read_as_the_labels_that_were_meant(tmp_path: Path) -> None:
    labels = (RNG.integers(0, 3, (5, 6, 7))).astype(np.float64)
    for dtype in (np.uint8, np.int16):
        header = nib.Nifti1Header()
        header.set_data_dtype(dtype)
        nib.save(nib.Nifti1Image(labels, np.eye(4), header), tmp_path / "m.nii.gz")
        assert not np.array_equal(nib.load(tmp_path / "m.nii.gz").get_fdata(), labels)  # 1.00000006
        assert np.array_equal(read_mask(tmp_path / "m.nii.gz")[0], labels)
    nib.save(nib.Nifti1Image((labels * 0.989).astype(np.float32), np.eye(4)), tmp_path / "m.nii.gz")
    with pytest.raises(DataError, match=r"0\.989, which is no whole number"):
        read_mask(tmp_path / "m.nii.gz")


def test_values_that_float32_cannot_hold_are_counted(tmp_path: Path) -> None:
    values = np.ones((4, 4, 4))
    values[0, 0, :2] = 1e300
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii.gz")
    with pytest.raises(DataError, match="2 values are NaN or infinite"):
        read_image(tmp_path / "a.nii.gz")


@pytest.mark.parametrize(("unit", "edge"), [("mm", 250.0), ("micron", 0.25), ("meter", 250_000.0), ("unknown", 250.0)])
def test_lengths_of_a_volume_are_millimetres_whatever_its_header_counts_in(
    tmp_path: Path, unit: str, edge: float
) -> None:
    image = nib.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.diag([-250.0, 250.0, 250.0, 1.0]))
    image.header.set_xyzt_units(unit)
    nib.save(image, tmp_path / "a.nii.gz")
    values, geometry = read_image(tmp_path / "a.nii.gz")
    assert geometry.spacing_mm == pytest.approx((edge,) * 3)
    itk = sitk.ReadImage(str(tmp_path / "a.nii.gz"))
    assert geometry.spacing_mm == pytest.approx(itk.GetSpacing())
    write_image(tmp_path / "b.nii.gz", values, geometry, "file")
    made, given = nib.load(tmp_path / "b.nii.gz"), nib.load(tmp_path / "a.nii.gz")
    assert made.header["xyzt_units"] == given.header["xyzt_units"]  # type: ignore[attr-defined]
    np.testing.assert_array_equal(made.affine, given.affine)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(made.get_fdata(), given.get_fdata())  # type: ignore[attr-defined]
