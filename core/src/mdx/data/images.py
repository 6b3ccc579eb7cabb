"""Image files: NIfTI volumes are brought to RAS when read and put back when written; PNG and JPEG stay as they are."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mdx.data.geometry import from_ras, ras_grid, to_ras, undo_resampling
from mdx.errors import DataError
from mdx.files import cannot_write, replacing
from mdx.interfaces.geometry import FileLayout, Geometry

VOLUMES = (".nii.gz", ".nii")
PICTURES = (".png", ".jpg", ".jpeg")
SUFFIXES = VOLUMES + PICTURES


def suffix_of(path: str | Path) -> str:
    """``.nii.gz``, ``.nii``, ``.png``, ``.jpg`` or ``.jpeg``; empty for any other file."""
    name = str(path).lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")


def read_image(path: str | Path) -> tuple[np.ndarray, Geometry]:
    """An image as (C, *spatial) float32, volumes in RAS; a fourth axis of a volume holds the channels.

    Raises DataError for a file that is missing, empty, damaged, no image, or that holds NaN or infinity.
    """
    path = Path(path)
    values, layout, _ = decode(path, file_content(path))
    bad = count_not_finite(values)
    if bad:
        raise not_finite(path, bad)
    values, geometry = bring_to_ras(values, layout)
    return np.ascontiguousarray(values, dtype=np.float32), geometry


def read_mask(path: str | Path) -> tuple[np.ndarray, Geometry]:
    """A mask as (*spatial) int32, volumes in RAS. Raises DataError as ``read_image`` does, and for other than whole
    numbers from 0 to 65535 and for more than one channel.
    """
    path = Path(path)
    values, layout, _ = decode(path, file_content(path))
    values, geometry = bring_to_ras(as_labels(path, values), layout)
    return np.ascontiguousarray(values[0]), geometry


def as_labels(path: Path, values: np.ndarray) -> np.ndarray:
    """(C, *spatial) values of a mask file as (1, *spatial) int32. Raises DataError if they are no labels."""
    bad = count_not_finite(values)
    if bad:
        raise not_finite(path, bad)
    if len(values) > 1:
        if not (values == values[:1]).all():
            raise DataError(f"the mask has {len(values)} channels", "store one channel whose values are labels", path)
        values = values[:1]
    labels = np.rint(values).astype(np.int64)
    if values.dtype.kind == "f" and not np.array_equal(labels, values):
        odd = values[labels != values].flat[0]
        raise DataError(f"the mask holds {odd:.4g}, which is no whole number", "threshold it and save labels", path)
    if labels.min() < 0 or labels.max() > 65535:
        worst = labels.min() if labels.min() < 0 else labels.max()
        raise DataError(f"the mask holds the label {worst}", "use labels from 0 (background) to 65535", path)
    return labels.astype(np.int32)


def count_not_finite(values: np.ndarray) -> int:
    """Number of NaN and infinite values."""
    return 0 if values.dtype.kind != "f" else int(values.size - np.isfinite(values).sum())


def not_finite(path: Path, count: int) -> DataError:
    """The error for an image with NaN or infinity in it."""
    return DataError(
        f"{count} values are NaN or infinite",
        "replace them (numpy.nan_to_num) or leave the case out of the table",
        path,
    )


def file_content(path: Path) -> bytes:
    """The bytes of a file. Raises DataError where there is none."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError("there is no such file", "correct the path; relative ones start at the table", path) from None
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", "check the path and its permissions", path) from error
    if not content:
        raise DataError("the file is empty", "copy or export it again", path)
    return content


def decode(path: Path, content: bytes) -> tuple[np.ndarray, FileLayout, str]:
    """The content of an image file as (C, *spatial) in its own voxel order, how it is stored, and the stored type."""
    if suffix_of(path) in VOLUMES:
        return _decode_nifti(path, _unzipped(path, content))
    return _decode_picture(path, content)


def bring_to_ras(values: np.ndarray, layout: FileLayout) -> tuple[np.ndarray, Geometry]:
    """What ``decode`` gave, in RAS."""
    if layout.kind == "image":
        return values, Geometry(layout.affine, values.shape[1:], "", layout)
    values, affine, axcodes = to_ras(values, layout.affine)
    return values, Geometry(affine, values.shape[1:], axcodes, layout)


def _damaged(path: Path, error: object) -> DataError:
    return DataError(f"is truncated or damaged ({error})", "copy or export it again", path)


def _unzipped(path: Path, content: bytes) -> bytes:
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise _damaged(path, error) from error


def header_of(path: Path) -> tuple[int, int]:
    """Number of spatial dimensions and of channels, from the first bytes of a file."""
    if suffix_of(path) in PICTURES:
        return 2, _decode_picture(path, file_content(path))[0].shape[0]
    try:
        with path.open("rb") as stream:
            zipped = stream.read(2) == b"\x1f\x8b"
        with gzip.open(path) if zipped else path.open("rb") as stream:
            start = stream.read(540)
    except FileNotFoundError:
        raise DataError("there is no such file", "correct the path; relative ones start at the table", path) from None
    except (EOFError, OSError, zlib.error) as error:
        raise _damaged(path, error) from error
    shape = _nifti_header(path, start).get_data_shape()
    return 3, int(shape[3]) if len(shape) > 3 else 1


def _nifti_header(path: Path, content: bytes) -> Any:
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
        raise _damaged(path, error) from error


def _decode_nifti(path: Path, content: bytes) -> tuple[np.ndarray, FileLayout, str]:
    import nibabel as nib
    from nibabel.filebasedimages import ImageFileError

    header = _nifti_header(path, content)
    shape = tuple(int(n) for n in header.get_data_shape())
    kind = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    dtype = header.get_data_dtype()
    if not 2 <= len(shape) <= 4 or 0 in shape:
        raise DataError(f"has the shape {shape}", "give a volume with 3 axes, or 4 with the channels last", path)
    if dtype.kind not in "iuf":
        raise DataError(f"holds {dtype} values", "convert it to an image of real numbers", path)
    try:
        stored = kind.from_bytes(content)
        values = np.asanyarray(stored.dataobj)
    except (ImageFileError, OSError, EOFError, ValueError) as error:
        raise _damaged(path, error) from error
    affine = np.asarray(stored.affine, dtype=float)
    if not np.isfinite(affine).all() or (np.abs(affine[:3, :3]).sum(axis=0) == 0).any():
        raise DataError("the header's affine is not valid", "export the image again", path)
    layout = FileLayout("nifti", shape, affine, header.binaryblock, suffix_of(path))
    values = values.reshape((*(*shape, 1)[:3], -1)) if len(shape) < 4 else values
    return np.moveaxis(values, -1, 0), layout, str(dtype)


def _decode_picture(path: Path, content: bytes) -> tuple[np.ndarray, FileLayout, str]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content)) as picture:
            if picture.mode in ("P", "CMYK", "YCbCr", "RGBA", "PA"):
                picture = picture.convert("RGB")
            elif picture.mode in ("1", "LA"):
                picture = picture.convert("L")
            values = np.array(picture)
    except UnidentifiedImageError:
        raise DataError("is no image that can be read", "give .nii, .nii.gz, .png or .jpg", path) from None
    except (OSError, SyntaxError, ValueError) as error:
        raise _damaged(path, error) from error
    values = values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0)
    layout = FileLayout("image", tuple(values.shape[1:]), np.eye(4), b"", suffix_of(path) or path.suffix)
    return values, layout, str(values.dtype)


def write_image(
    path: str | Path, values: np.ndarray, geometry: Geometry, dtype: Literal["file", "float32"] = "file"
) -> None:
    """Write (C, *spatial) onto the grid of the file that ``geometry`` was read from.

    ``file``: the file's own type and slope come back where they hold every value exactly, else float32. Pictures
    hold 8 or 16 bits: values that are not whole and lie in 0 to 1 are scaled to 255. Raises ResourceError if it cannot.
    """
    path = Path(path)
    values = _file_order(*undo_resampling(np.asarray(values, dtype=np.float32), geometry))
    if suffix_of(path) in PICTURES:
        _write_picture(path, _as_picture(path, values))
    else:
        _write_nifti(path, values, geometry, own_type=dtype == "file")


def write_mask(path: str | Path, labels: np.ndarray, geometry: Geometry) -> None:
    """Write (*spatial) labels, uint8 or above 255 uint16, unscaled, onto the grid of the file of ``geometry``.

    Raises ResourceError if it cannot, DataError for labels on another grid: resample probabilities, not labels.
    """
    path = Path(path)
    labels = np.asarray(labels)
    if geometry.layout is not None and labels.shape != ras_grid(geometry.layout)[0]:
        raise DataError(
            f"labels of shape {labels.shape} do not lie on the file's grid", "undo the resampling first", path
        )
    stored = _file_order(labels[None].astype(np.uint8 if labels.max(initial=0) <= 255 else np.uint16), geometry)
    if suffix_of(path) in PICTURES:
        _write_picture(path, stored)
    else:
        _write_nifti(path, stored, geometry, own_type=False)


def _file_order(values: np.ndarray, geometry: Geometry) -> np.ndarray:
    layout = geometry.layout
    return values if layout is None or layout.kind == "image" else from_ras(values, layout.affine)


def _write_nifti(path: Path, values: np.ndarray, geometry: Geometry, own_type: bool) -> None:
    import nibabel as nib

    layout = geometry.layout
    if layout is None or layout.kind == "image":
        header: Any = nib.Nifti1Header()
        header.set_sform(geometry.affine, code=2)
        header.set_qform(geometry.affine, code=2)
        header.set_xyzt_units("mm")
        shape: tuple[int, ...] = values.shape[1:]
    else:
        header, shape = _nifti_header(path, layout.header), layout.shape
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
    _write(path, content)


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


def _as_picture(path: Path, values: np.ndarray) -> np.ndarray:
    if len(values) not in (1, 3):
        raise DataError(f"a picture has 1 or 3 channels, not {len(values)}", "write .nii.gz", path)
    if not np.array_equal(values, np.rint(values)) and values.min() >= 0 and values.max() <= 1:
        values = values * 255
    values = np.clip(np.rint(values), 0, 65535 if len(values) == 1 else 255)
    return values.astype(np.uint8 if values.max() <= 255 else np.uint16)


def _write_picture(path: Path, values: np.ndarray) -> None:
    from PIL import Image

    picture = Image.fromarray(values[0] if len(values) == 1 else np.ascontiguousarray(np.moveaxis(values, 0, -1)))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG" if suffix_of(path) == ".png" else "JPEG")
    _write(path, buffer.getvalue())


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    with replacing(path) as temporary:
        temporary.write_bytes(content)
