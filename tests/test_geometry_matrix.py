"""Every way a volume may lie in its file: what is written must lie exactly on what was read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mdx.data.files.images import read_image, read_mask, write_image, write_mask


def rotation(degrees: tuple[float, float, float]) -> np.ndarray:
    x, y, z = np.deg2rad(degrees)
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def affine_of(matrix: np.ndarray, origin: tuple[float, float, float] = (-31.5, 12.25, -7.0)) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = matrix, origin
    return affine


RAS = affine_of(np.diag([1.0, 1.0, 1.0]))
LAS = affine_of(np.diag([-1.0, 1.0, 1.0]))
PSR = affine_of(np.array([[0.0, 0, 1.5], [-1.25, 0, 0], [0, 1.0, 0]]))
OBLIQUE = affine_of(rotation((17, -11, 28)) @ np.diag([1.0, 1.0, 3.0]))
OBLIQUE_LPS = affine_of(rotation((5, 40, -12)) @ np.diag([-0.9, -0.9, 1.2]))
ANISOTROPIC = affine_of(np.diag([0.45, 0.45, 6.0]))


@dataclass(frozen=True)
class Layout:
    affine: np.ndarray
    shape: tuple[int, ...] = (6, 8, 4)
    dtype: type = np.float32
    codes: tuple[int, int] = (1, 1)  # qform, sform
    slope: float | None = None
    suffix: str = ".nii.gz"
    big_endian: bool = False
    nifti2: bool = False


LAYOUTS = {
    "ras": Layout(RAS),
    "las": Layout(LAS),
    "psr": Layout(PSR),
    "oblique": Layout(OBLIQUE),
    "oblique_lps": Layout(OBLIQUE_LPS, codes=(1, 4)),
    "anisotropic": Layout(ANISOTROPIC, dtype=np.int16),
    "odd_sized": Layout(PSR, shape=(7, 5, 3)),
    "four_d": Layout(LAS, shape=(5, 6, 4, 3)),
    "four_d_single": Layout(PSR, shape=(5, 6, 4, 1)),
    "two_d": Layout(PSR, shape=(5, 6)),
    "sform_only": Layout(OBLIQUE, codes=(0, 2)),
    "qform_only": Layout(OBLIQUE, codes=(1, 0)),
    "no_form": Layout(RAS, codes=(0, 0)),
    "int16_slope": Layout(LAS, dtype=np.int16, slope=0.0317),
    "uint8": Layout(LAS, dtype=np.uint8),
    "float64": Layout(RAS, dtype=np.float64, suffix=".nii"),
    "big_endian": Layout(PSR, dtype=np.int16, suffix=".nii", big_endian=True),
    "nifti2": Layout(OBLIQUE, nifti2=True),
}


@pytest.fixture(params=LAYOUTS.values(), ids=LAYOUTS.keys())
def volume(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    layout: Layout = request.param
    raw = np.random.default_rng(7).integers(0, 250, layout.shape)
    values = raw.astype(layout.dtype) if np.issubdtype(layout.dtype, np.integer) else (raw / 7).astype(layout.dtype)
    kinds = (nib.Nifti2Image, nib.Nifti2Header) if layout.nifti2 else (nib.Nifti1Image, nib.Nifti1Header)
    header = kinds[1](endianness=">" if layout.big_endian else "<")
    header.set_data_dtype(np.dtype(layout.dtype).newbyteorder(header.endianness))
    header.set_data_shape(layout.shape)
    qform, sform = layout.codes
    header.set_qform(layout.affine if qform else None, code=qform)
    header.set_sform(layout.affine if sform else None, code=sform)
    header.set_xyzt_units("mm", "sec")
    header["descrip"], header["cal_max"] = b"made for a test", 240
    if layout.slope:
        header.set_slope_inter(layout.slope, 3.0)
    path = tmp_path / f"scan{layout.suffix}"
    nib.save(kinds[0](values, None, header), path)
    return path


def raw_header(path: Path) -> dict[str, bytes]:
    import gzip

    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    size = 540 if 540 in (int.from_bytes(content[:4], "little"), int.from_bytes(content[:4], "big")) else 348
    header = (nib.Nifti2Header if size == 540 else nib.Nifti1Header)(content[:size], check=False)
    return {name: np.asarray(header[name]).tobytes() for name in header.keys()}  # noqa: SIM118


GRID = (
    "pixdim", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z",
    "srow_x", "srow_y", "srow_z", "xyzt_units", "descrip", "magic",
)  # fmt: skip


def test_an_image_comes_back_with_its_values_and_its_whole_header(volume: Path, tmp_path: Path) -> None:
    values, geometry = read_image(volume)
    out = tmp_path / f"again{''.join(volume.suffixes)}"
    write_image(out, values, geometry)
    before, after = nib.load(volume), nib.load(out)
    assert after.shape == before.shape
    assert np.array_equal(after.affine, before.affine)
    assert raw_header(out) == raw_header(volume)
    assert np.array_equal(np.asarray(after.dataobj, np.float32), np.asarray(before.dataobj, np.float32))


def test_fractions_are_not_rounded_to_the_type_of_an_integer_file(volume: Path, tmp_path: Path) -> None:
    values, geometry = read_image(volume)
    fractions = values / 1000 + np.float32(0.0001)
    out = tmp_path / f"fractions{''.join(volume.suffixes)}"
    write_image(out, fractions, geometry)
    assert nib.load(out).get_data_dtype().kind == "f"
    assert np.array_equal(read_image(out)[0], fractions)


def test_a_mask_lies_exactly_on_its_image(volume: Path, tmp_path: Path) -> None:
    """Voxels chosen in RAS by their brightness are the same voxels in the written file."""
    values, geometry = read_image(volume)
    labels = np.where(values[0] > np.median(values[0]), 2, 0)
    labels[values[0] == values[0].max()] = 3
    out = tmp_path / f"mask{''.join(volume.suffixes)}"
    write_mask(out, labels, geometry)
    image, mask = nib.load(volume), nib.load(out)
    first = np.asarray(image.dataobj, np.float32)
    first = first[..., :1] if first.ndim == 4 else first
    expected = np.where(first > np.float32(np.median(values[0])), 2, 0)
    expected[first == values[0].max()] = 3
    single = image.ndim == 4 and image.shape[3] > 1
    assert mask.shape == (image.shape[:3] if single else image.shape)
    assert np.array_equal(np.asarray(mask.dataobj), expected[..., 0] if single else expected)
    assert mask.get_data_dtype() == np.uint8
    assert np.array_equal(mask.affine, image.affine)
    before, after = raw_header(volume), raw_header(out)
    assert {k: after[k] for k in GRID} == {k: before[k] for k in GRID}


def test_a_written_mask_is_read_back_as_it_was(volume: Path, tmp_path: Path) -> None:
    values, geometry = read_image(volume)
    labels = (np.arange(values[0].size) % 300).reshape(values[0].shape)
    out = tmp_path / f"labels{''.join(volume.suffixes)}"
    write_mask(out, labels, geometry)
    again, its_geometry = read_mask(out)
    assert np.array_equal(again, labels)
    assert np.array_equal(its_geometry.affine, geometry.affine)


def test_volumes_are_read_in_ras(volume: Path) -> None:
    values, geometry = read_image(volume)
    assert nib.aff2axcodes(geometry.affine) == ("R", "A", "S")
    assert values.shape[1:] == geometry.shape
    stored = nib.load(volume)
    canonical = nib.as_closest_canonical(stored) if stored.ndim > 2 else None
    if canonical is not None:
        expected = np.asarray(canonical.dataobj, np.float32).reshape((*geometry.shape, -1))
        assert np.array_equal(np.moveaxis(values, 0, -1), expected)
        assert np.allclose(canonical.affine, geometry.affine)


def test_reading_does_not_interpolate(volume: Path) -> None:
    values, _ = read_image(volume)
    stored = np.asarray(nib.load(volume).dataobj, np.float32)
    assert np.array_equal(np.sort(values, axis=None), np.sort(stored, axis=None))


def test_equal_images_are_equal_files(volume: Path, tmp_path: Path) -> None:
    values, geometry = read_image(volume)
    suffix = "".join(volume.suffixes)
    write_image(tmp_path / f"a{suffix}", values, geometry)
    write_image(tmp_path / f"b{suffix}", values, geometry)
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
