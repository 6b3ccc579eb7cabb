"""NIfTI files: bytes to voxels and back, with every code of the header kept."""

from __future__ import annotations

import gzip
import io
import math
from pathlib import Path
from typing import Any

import numpy as np

from mdx.data.files.formats import damaged, require_bearable, require_file, suffix_of, write_content
from mdx.errors import DataError
from mdx.interfaces.geometry import FileLayout, Geometry

SPARE_BYTES = 1 << 26
"""What may follow the voxels in a compressed file."""

MILLIMETRES = {1: 1000.0, 3: 0.001}
"""Of a metre and a micron, by their codes in the header (as ITK reads them); all else is millimetres."""


def nifti_header_of(path: Path) -> tuple[int, int]:
    """Number of spatial dimensions and of channels, from the first bytes of a file."""
    require_file(path)
    with path.open("rb") as stream:
        zipped = stream.read(2) == b"\x1f\x8b"
    with gzip.open(path) if zipped else path.open("rb") as stream:
        start = stream.read(540)
    shape = _shape(path, _header(path, start))
    return 3, int(shape[3]) if len(shape) > 3 else 1


def decode_nifti(path: Path, content: bytes) -> tuple[np.ndarray, FileLayout, str]:
    """(C, X, Y, Z) in the file's own voxel order, how it is stored, and the stored type."""
    import nibabel as nib

    zipped = gzip.GzipFile(fileobj=io.BytesIO(content)) if content[:2] == b"\x1f\x8b" else None
    header = _header(path, zipped.read(540) if zipped else content)
    shape = _shape(path, header)
    kind = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf":
        raise DataError(f"holds {dtype} values", "convert it to an image of real numbers", path)
    needed = int(header.get_data_offset()) + math.prod(shape) * dtype.itemsize
    if zipped:
        content = _unzipped(path, zipped, needed)
    if len(content) < needed:
        raise damaged(path, f"it has {len(content)} of {needed} bytes")
    stored = kind.from_bytes(content)
    values = np.asanyarray(stored.dataobj)
    affine = np.diag([*[MILLIMETRES.get(int(header["xyzt_units"]) & 7, 1.0)] * 3, 1.0]) @ np.asarray(stored.affine)
    if not np.isfinite(affine).all() or (np.abs(affine[:3, :3]).sum(axis=0) == 0).any():
        raise DataError("the header's affine is not valid", "export the image again", path)
    layout = FileLayout("nifti", shape, affine, header.binaryblock, suffix_of(path))
    values = values.reshape((*(*shape, 1)[:3], -1)) if len(shape) < 4 else values
    return np.moveaxis(values, -1, 0), layout, str(dtype)


def _shape(path: Path, header: Any) -> tuple[int, ...]:
    shape = tuple(int(n) for n in header.get_data_shape())
    if not 2 <= len(shape) <= 4 or min(shape) < 1:
        raise DataError(f"has the shape {shape}", "give a volume with 3 axes, or 4 with the channels last", path)
    require_bearable(path, shape)
    return shape


def _unzipped(path: Path, stream: gzip.GzipFile, needed: int) -> bytes:
    """The first ``needed`` bytes; the rest, which nothing uses, is read to the end for the sake of its check sum."""
    stream.seek(0)
    content = stream.read(needed)
    beyond = 0
    while chunk := stream.read(1 << 20):
        beyond += len(chunk)
        if beyond > SPARE_BYTES:
            raise damaged(path, f"it unpacks to more than the {needed} bytes that its header asks for")
    return content


def _header(path: Path, content: bytes) -> Any:
    import nibabel as nib
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

    try:
        size = int.from_bytes(content[:4], "little"), int.from_bytes(content[:4], "big")
        if 540 in size:
            return nib.Nifti2Header(content[:540], check=False)
        if 348 not in size or len(content) < 348:
            raise DataError("is no NIfTI file", "give .nii, .nii.gz, .png or .jpg; convert others first", path)
        return nib.Nifti1Header(content[:348], check=False)
    except (HeaderDataError, ValueError, WrapStructError) as error:
        raise damaged(path, error) from error


def _new_header(affine: np.ndarray) -> Any:
    import nibabel as nib

    header = nib.Nifti1Header()
    header.set_sform(affine, code=2)
    header.set_qform(affine, code=2)
    header.set_xyzt_units("mm")
    return header


def write_nifti(path: Path, values: np.ndarray, geometry: Geometry, own_type: bool) -> None:
    """Write (C, X, Y, Z) in the file's own voxel order, with its header where it was a NIfTI file itself."""
    import nibabel as nib

    layout = geometry.layout
    if layout is None or layout.kind == "image":
        header, shape = _new_header(geometry.affine), values.shape[1:]
    elif not layout.header:  # DICOM, TIFF: the grid is known, and nothing else is carried over
        header, shape = _new_header(layout.affine), layout.shape
        own_type = False
    else:
        header, shape = _header(path, layout.header), layout.shape
    stored = _as_stored(values, header) if own_type else None
    if stored is None:
        values = values.astype(np.float32) if values.dtype.kind == "f" else values
        header["cal_min"] = header["cal_max"] = 0  # the display range of the input says nothing about these values
        header.set_slope_inter(1, 0)
    else:
        values = stored
    header.set_data_dtype(values.dtype.newbyteorder(header.endianness))
    channels = values.shape[0]
    if channels > 1:
        shape = (*values.shape[1:], channels)
    elif len(shape) == 4 and shape[3] > 1:
        shape = shape[:3]
    array = np.moveaxis(values, 0, -1).reshape(shape)
    kind = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    content = kind(array, None, header).to_bytes()
    if suffix_of(path) == ".nii.gz":
        content = gzip.compress(content, compresslevel=4, mtime=0)  # equal images are equal files
    write_content(path, content)


def _as_stored(values: np.ndarray, header: Any) -> np.ndarray | None:
    """The numbers that the file's own type and slope hold for ``values``; None if they cannot hold all exactly."""
    dtype = header.get_data_dtype().newbyteorder("=")
    slope, inter = header.get_slope_inter()
    slope, inter = (1.0, 0.0) if slope is None else (slope, inter or 0.0)
    raw = (values.astype(np.float64) - inter) / slope
    if dtype.kind in "iu":
        raw, limits = np.rint(raw), np.iinfo(dtype)
        if raw.min() < limits.min or raw.max() > limits.max:
            return None
    raw = raw.astype(dtype)
    return raw if np.array_equal((raw.astype(np.float64) * slope + inter).astype(np.float32), values) else None
