from __future__ import annotations

import gzip
import resource
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from mdx.data.files.geometry import compare_grids
from mdx.data.files.images import header_of, read_image, read_mask, suffix_of, write_image, write_mask
from mdx.errors import DataError, ResourceError
from mdx.interfaces.geometry import Geometry


def nifti(path: Path, values: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(values, np.eye(4)), path)
    return path


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return nifti(tmp_path / "scan.nii.gz", np.random.default_rng(0).normal(size=(9, 8, 7)).astype(np.float32))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.nii\.gz: there is no such file"):
        read_image(tmp_path / "none.nii.gz")


@pytest.mark.parametrize("keep", [40, 400, -10, -4])
def test_a_truncated_file_is_named(scan: Path, keep: int) -> None:
    scan.write_bytes(scan.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"scan\.nii\.gz: is truncated or damaged"):
        read_image(scan)


def test_a_truncated_uncompressed_file_is_named(tmp_path: Path) -> None:
    path = nifti(tmp_path / "scan.nii", np.ones((9, 8, 7), np.float32))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match="is truncated or damaged"):
        read_image(path)


def test_a_damaged_byte_is_found(scan: Path) -> None:
    content = bytearray(scan.read_bytes())
    content[len(content) // 2] ^= 0xFF
    scan.write_bytes(content)
    with pytest.raises(DataError, match="is truncated or damaged"):
        read_image(scan)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_counted(tmp_path: Path, bad: float) -> None:
    values = np.ones((4, 4, 4), np.float32)
    values[0, 0, :3] = bad
    with pytest.raises(DataError, match="3 values are NaN or infinite"):
        read_image(nifti(tmp_path / "scan.nii.gz", values))


@pytest.mark.parametrize(("name", "content", "message"), [
    ("empty.nii.gz", b"", "the file is empty"),
    ("text.nii.gz", b"hello, this is text", "is no NIfTI file"),
    ("text.nii", b"x" * 1000, "is no NIfTI file"),
    ("text.png", b"hello", "is no image that can be read"),
    ("table.xlsx", b"PK", "is no image that can be read"),
])  # fmt: skip
def test_a_file_that_is_no_image_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_image(tmp_path / name)


def test_a_zipped_text_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(b"text" * 200))
    with pytest.raises(DataError, match="is no NIfTI file"):
        read_image(tmp_path / "a.nii.gz")


@pytest.mark.parametrize(("values", "message"), [
    (np.full((3, 3, 3), 0.37, np.float32), "0.37, which is no whole number"),
    (np.full((3, 3, 3), -2, np.int16), "the label -2"),
    (np.arange(54, dtype=np.uint8).reshape(3, 3, 3, 2), "2 channels"),
])  # fmt: skip
def test_a_mask_holds_whole_numbers_from_zero_in_one_channel(tmp_path: Path, values: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_mask(nifti(tmp_path / "mask.nii.gz", values))


def test_pictures_have_one_or_three_channels_first(tmp_path: Path) -> None:
    grey = np.arange(20, dtype=np.uint8).reshape(4, 5)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(np.stack([grey] * 3, -1)).save(tmp_path / "colour.png")
    Image.fromarray(np.stack([grey] * 4, -1)).save(tmp_path / "alpha.png")
    assert np.array_equal(read_image(tmp_path / "grey.png")[0], grey[None])
    for name in ("colour.png", "alpha.png"):
        values, geometry = read_image(tmp_path / name)
        assert values.shape == (3, 4, 5)
        assert geometry.shape == (4, 5)
    assert header_of(tmp_path / "colour.png") == (2, 3)


def test_pictures_come_back_exactly(tmp_path: Path) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    values, geometry = read_image(tmp_path / "a.png")
    write_image(tmp_path / "b.png", values, geometry)
    assert np.array_equal(np.array(Image.open(tmp_path / "b.png")), pixels)
    write_image(tmp_path / "c.png", values / 255, geometry)
    assert np.array_equal(np.array(Image.open(tmp_path / "c.png")), pixels)


def test_masks_of_pictures_keep_labels_above_255(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((3, 4), np.uint8)).save(tmp_path / "a.png")
    labels = np.arange(12).reshape(3, 4) * 100
    write_mask(tmp_path / "b.png", labels, read_image(tmp_path / "a.png")[1])
    assert np.array_equal(read_mask(tmp_path / "b.png")[0], labels)


def test_header_gives_dimensions_and_channels_without_the_voxels(tmp_path: Path) -> None:
    assert header_of(nifti(tmp_path / "a.nii.gz", np.zeros((3, 4, 5), np.float32))) == (3, 1)
    assert header_of(nifti(tmp_path / "b.nii", np.zeros((3, 4, 5, 2), np.float32))) == (3, 2)


def test_suffixes_are_known_in_any_case() -> None:
    assert [suffix_of(n) for n in ("a.NII.GZ", "a.b.nii", "x.JPG", "x.txt")] == [".nii.gz", ".nii", ".jpg", ""]


def test_labels_on_another_grid_are_not_written(scan: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="do not lie on the file's grid"):
        write_mask(tmp_path / "m.nii.gz", np.zeros((3, 3, 3), int), read_image(scan)[1])


def test_a_full_disk_is_a_resource_error_and_leaves_nothing(scan: Path, tmp_path: Path) -> None:
    code = (
        "import resource, sys, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from mdx.data.files.images import read_image, write_image\n"
        "from mdx.errors import ResourceError\n"
        "values, geometry = read_image(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))\n"
        "try: write_image(sys.argv[2], values, geometry)\n"
        "except ResourceError as error: sys.exit(error.exit_code)\n"
    )
    out = tmp_path / "out" / "a.nii.gz"
    assert subprocess.run([sys.executable, "-c", code, scan, out], check=False).returncode == ResourceError.exit_code
    assert list(out.parent.iterdir()) == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 200


def grid(shape: tuple[int, ...], origin: float = 0.0, spacing: float = 1.0) -> Geometry:
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = origin
    return Geometry(affine, shape)


@pytest.mark.parametrize(("other", "relation"), [
    (grid((20, 20, 20)), "same"),
    (grid((20, 20, 20), 0.004), "same"),
    (grid((20, 20, 20), 0.02), "other place"),
    (grid((20, 20, 20), 30), "other place"),
    (grid((10, 10, 10), 0.5, 2), "other grid"),
    (grid((18, 18, 18), 1), "other grid"),
    (grid((10, 10, 10), 100, 2), "other place"),
])  # fmt: skip
def test_grids_are_the_same_or_other_or_elsewhere(other: Geometry, relation: str) -> None:
    assert compare_grids(grid((20, 20, 20)), other) == relation
