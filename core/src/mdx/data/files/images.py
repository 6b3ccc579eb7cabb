"""Image files as arrays in RAS, and back onto the grid of the file they came from.

NIfTI, PNG, JPEG, TIFF and DICOM are read here; the hooks ``mdx_read_image`` and ``mdx_write_image`` add other formats.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mdx.data.files.dicom import decode_dicom, dicom_header_of, is_dicom
from mdx.data.files.formats import DICOMS, PICTURES, SUFFIXES, TIFFS, VOLUMES, file_content, reading, suffix_of
from mdx.data.files.geometry import from_ras, ras_grid, to_ras, undo_resampling
from mdx.data.files.nifti import decode_nifti, nifti_header_of, write_nifti
from mdx.data.files.pictures import as_pixels, decode_picture, picture_header_of, write_picture
from mdx.data.files.tiff import decode_tiff, tiff_header_of, write_tiff
from mdx.errors import DataError
from mdx.interfaces.geometry import FileLayout, Geometry

WHOLE = 1e-2
"""How far a label may be from a whole number: labels up to 5 that were scaled into 8 bits come back that near."""


def read_image(path: str | Path) -> tuple[np.ndarray, Geometry]:
    """An image as (C, *spatial) float32, volumes in RAS; a fourth axis of a volume holds the channels.

    Raises DataError for a file that is missing, empty, damaged, no image, or that holds NaN or infinity.
    """
    path = Path(path)
    with reading(path):
        values, layout, _ = decode(path)
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
    with reading(path):
        values, layout, _ = decode(path, mask=True)
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
    lowest, highest = values.min(), values.max()
    if lowest < -WHOLE or highest > 65535 + WHOLE:
        worst = lowest if lowest < -WHOLE else highest
        raise DataError(f"the mask holds the label {worst}", "use labels from 0 (background) to 65535", path)
    labels = np.rint(values).astype(np.int32)
    if values.dtype.kind == "f":
        odd = np.abs(values - labels) > WHOLE  # a scaled file gives 1.00000006 for the 1 that was meant
        if odd.any():
            raise DataError(
                f"the mask holds {values[odd].flat[0]:.6g}, which is no whole number ({int(odd.sum())} such values)",
                "threshold it and save labels", path,
            )  # fmt: skip
    return labels


def count_not_finite(values: np.ndarray) -> int:
    """Number of values that are NaN or infinite, or would be infinite as float32."""
    if values.dtype.kind != "f":
        return 0
    largest = np.finfo(np.float32).max
    good = np.abs(values) <= largest if values.dtype.itemsize > 4 else np.isfinite(values)
    return int(values.size - good.sum())


def not_finite(path: Path, count: int) -> DataError:
    """The error for an image with NaN or infinity in it."""
    return DataError(
        f"{count} values are NaN or infinite (or beyond 3.4e38, which float32 cannot hold)",
        "replace them (numpy.nan_to_num) or leave the case out of the table",
        path,
    )


def decode(path: Path, mask: bool = False) -> tuple[np.ndarray, FileLayout, str]:
    """An image as (C, *spatial) in its own voxel order, how it is stored, and the stored type.

    Of a ``mask`` with a palette, the numbers of the entries are the labels. Raises DataError, whatever is wrong.
    """
    with reading(path):
        suffix = suffix_of(path)
        if is_dicom(path):
            return decode_dicom(path)
        content = file_content(path)  # says first if there is no such file
        if suffix in VOLUMES:
            return decode_nifti(path, content)
        if suffix in TIFFS:
            return decode_tiff(path, content, indices=mask)
        if suffix not in PICTURES:
            found = hooks().call("mdx_read_image", path=path)
            if found is not None:
                values, layout = found
                return _of_a_plugin(path, np.asarray(values), layout), layout, str(values.dtype)
        return decode_picture(path, content, indices=mask)


def _of_a_plugin(path: Path, values: np.ndarray, layout: FileLayout) -> np.ndarray:
    axes = 3 if layout.kind == "image" else 4
    if values.ndim != axes or values.dtype.kind not in "iuf" or layout.affine.shape != (4, 4):
        raise DataError(
            f"a plugin read it as {values.dtype} of shape {values.shape} with a matrix of {layout.affine.shape}",
            f"its mdx_read_image must give (channels, *spatial), {axes} axes of real numbers for kind '{layout.kind}', "
            "and a 4 x 4 matrix", path,
        )  # fmt: skip
    return values


def hooks() -> Any:
    """The hooks of the installed plugins, found once."""
    return _hooks_of(tuple(sys.path))


@cache
def _hooks_of(_: tuple[str, ...]) -> Any:
    """The hooks of the plugins that this search path finds."""
    from mdx.plugins.manager import installed_hooks

    return installed_hooks(lambda sentence: None)  # a broken plugin is reported by the run itself


def bring_to_ras(values: np.ndarray, layout: FileLayout) -> tuple[np.ndarray, Geometry]:
    """What ``decode`` gave, in RAS."""
    if layout.kind == "image":
        return values, Geometry(layout.affine, values.shape[1:], "", layout)
    values, affine, axcodes = to_ras(values, layout.affine)
    return values, Geometry(affine, values.shape[1:], axcodes, layout)


def header_of(path: Path) -> tuple[int, int]:
    """Number of spatial dimensions and of channels, from the first bytes of a file where they tell."""
    with reading(path):
        suffix = suffix_of(path)
        if is_dicom(path):
            return dicom_header_of(path)
        if suffix in VOLUMES:
            return nifti_header_of(path)
        if suffix in TIFFS:
            return tiff_header_of(path, file_content(path))
        if suffix in PICTURES:
            return picture_header_of(path, file_content(path))
        values, layout, _ = decode(path)
        return (2 if layout.kind == "image" else 3), len(values)


def write_image(
    path: str | Path, values: np.ndarray, geometry: Geometry, dtype: Literal["file", "float32"] = "file"
) -> None:
    """Write (C, *spatial) onto the grid of the file that ``geometry`` was read from.

    ``file``: the file's own type and slope come back where they hold every value exactly, else float32. PNG and JPEG
    hold 8 or 16 bits: values that are not whole and lie in 0 to 1 are scaled to 255. Raises ResourceError if it cannot.
    """
    path = Path(path)
    values = _file_order(*undo_resampling(np.asarray(values, dtype=np.float32), geometry))
    if suffix_of(path) in PICTURES:
        write_picture(path, as_pixels(path, values))
    else:
        _write(path, values, geometry, own_type=dtype == "file")


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
        write_picture(path, stored)
    else:
        _write(path, stored, geometry, own_type=False)


def _write(path: Path, values: np.ndarray, geometry: Geometry, own_type: bool) -> None:
    suffix = suffix_of(path)
    if suffix in VOLUMES:
        write_nifti(path, values, geometry, own_type)
    elif suffix in TIFFS:
        write_tiff(path, values)
    elif suffix in DICOMS or not hooks().call("mdx_write_image", path=path, values=values, layout=geometry.layout):
        raise DataError(
            f"images are not written as '{path.suffix}'",
            "write .nii.gz, .png or .tif, or install a plugin for it",
            path,
        )


def _file_order(values: np.ndarray, geometry: Geometry) -> np.ndarray:
    layout = geometry.layout
    return values if layout is None or layout.kind == "image" else from_ras(values, layout.affine)


__all__ = [
    "SUFFIXES", "as_labels", "bring_to_ras", "count_not_finite", "decode", "header_of", "hooks", "not_finite",
    "read_image", "read_mask", "suffix_of", "write_image", "write_mask",
]  # fmt: skip
