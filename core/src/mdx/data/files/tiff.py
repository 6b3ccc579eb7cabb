"""TIFF: one page is a plain image, several pages are the slices of a volume.

A page may be grey or colour, of 8 or 16 bits or floating point. A volume's pages are its third axis; its voxel size
comes from ImageJ's or OME's metadata and is 1 mm where there is none. TIFF names no orientation, so columns, rows and
pages are taken as RAS as they are, and predictions for a volume are written as NIfTI on that grid.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np

from mdx.data.files.formats import require_bearable, write_content
from mdx.data.files.pictures import ORIENTATION, upright
from mdx.errors import DataError
from mdx.interfaces.geometry import FileLayout

MILLIMETRES = {
    "nm": 1e-6, "um": 1e-3, "µm": 1e-3, "μm": 1e-3, "\\u00b5m": 1e-3, "micron": 1e-3, "microns": 1e-3, "mm": 1.0,
    "cm": 10.0, "m": 1000.0, "inch": 25.4,
}  # fmt: skip
SLICES, COLOURS = "ZIQ", "CS"
GREY = ("MINISBLACK", "MINISWHITE", "PALETTE")


def decode_tiff(path: Path, content: bytes, indices: bool = False) -> tuple[np.ndarray, FileLayout, str]:
    """(C, rows, columns) of one page, or (C, X, Y, Z) of several; how it is stored; the stored type.

    Inks and palettes become red, green and blue (with ``indices`` a palette's entries keep their numbers, which are the
    labels of a mask), white stored as 0 is inverted, and pages are turned as their orientation tag says.

    Raises DataError for time series, for pages of different sizes, and for what is damaged.
    """
    import tifffile

    with tifffile.TiffFile(io.BytesIO(content)) as file:
        values, axes = _pixels(path, file, indices)
        spacing = _spacing_mm(file) if any(a in SLICES for a in axes) else None
        dtype = str(file.pages[0].dtype)
    if values.dtype.kind not in "iufb":
        raise DataError(f"holds {dtype} values", "convert it to an image of real numbers", path)
    values = values.astype(np.uint8) if values.dtype.kind == "b" else values
    colours, slices = [a for a in axes if a in COLOURS], [a for a in axes if a in SLICES]
    if len(colours) > 1 or len(slices) > 1 or sorted(axes) != sorted([*colours, *slices, "X", "Y"]):
        raise DataError(
            f"has the axes {axes}", "save one image: rows and columns, with slices or with channels, no time", path
        )
    if not slices:
        values = np.moveaxis(values, [axes.index(a) for a in [*colours, "Y", "X"]], range(values.ndim))
        values = values if colours else values[None]
        rgb = colours == ["S"] and len(values) == 3
        return values, FileLayout("image", tuple(values.shape[1:]), np.eye(4), b"", ".tif", colour=rgb), dtype
    values = np.moveaxis(values, [axes.index(a) for a in [*colours, "X", "Y", *slices]], range(values.ndim))
    values = values if colours else values[None]
    shape = tuple(values.shape[1:]) + ((len(values),) if len(values) > 1 else ())
    affine = np.diag([*(spacing or (1.0, 1.0, 1.0)), 1.0])
    layout = FileLayout("nifti", shape, affine, b"", ".nii.gz", colour=colours == ["S"] and len(values) == 3)
    return values, layout, dtype


def tiff_header_of(path: Path, content: bytes) -> tuple[int, int]:
    """Number of spatial dimensions and of channels."""
    values, layout, _ = decode_tiff(path, content)
    return (2 if layout.kind == "image" else 3), len(values)


def _pixels(path: Path, file: Any, indices: bool) -> tuple[np.ndarray, str]:
    """The values as they are meant, and a letter for each of their axes."""
    pages = file.series
    if len(pages) > 1:
        shapes = ", ".join(" x ".join(map(str, series.shape)) for series in pages[:3])
        raise DataError(f"holds {len(pages)} images of different sizes ({shapes})", "save each in its own file", path)
    series, first = pages[0], file.pages[0]
    if 0 in series.shape:
        raise DataError(f"has the shape {series.shape}", "export it again", path)
    require_bearable(path, series.shape)
    values, axes = series.asarray(), series.axes
    if first.photometric.name == "PALETTE" and not indices:
        table = np.asarray(first.colormap)  # (3, 2 to the bits) of 16 bits
        values, axes = np.moveaxis((table >> 8).astype(np.uint8)[:, values], 0, -1), axes + "S"
    elif "S" in axes:
        values = np.moveaxis(values, axes.index("S"), -1)
        axes = axes.replace("S", "") + "S"
        values = _plain_colours(path, first, values)
        values, axes = (values[..., 0], axes[:-1]) if values.shape[-1] == 1 else (values, axes)
    elif first.photometric.name not in GREY:
        raise _unread(path, first)
    if first.photometric.name == "MINISWHITE":
        values = _inverted(path, values, first.bitspersample)
    rows, columns = axes.index("Y"), axes.index("X")
    orientation = getattr(first.tags.get(ORIENTATION), "value", 1)
    values = np.moveaxis(
        upright(np.moveaxis(values, (rows, columns), (-2, -1)), orientation), (-2, -1), (rows, columns)
    )
    return values, axes


def _plain_colours(path: Path, page: Any, values: np.ndarray) -> np.ndarray:
    """(..., samples) of a pixel as (..., 1 or 3) or, where they are recorded channels, as they are; without alpha."""
    name = page.photometric.name
    if name == "RGB" or (name == "YCBCR" and "JPEG" in page.compression.name):  # the JPEG reader has made it RGB
        return values[..., :3]
    if name == "SEPARATED" and values.shape[-1] >= 4 and values.dtype.kind == "u":
        full = np.iinfo(values.dtype).max  # cyan, magenta, yellow and black absorb what white paper reflects
        left = (full - values[..., :4]).astype(np.float64)
        return np.rint(left[..., :3] * left[..., 3:] / full).astype(values.dtype)
    if name in GREY:
        alpha = sum(int(kind) in (1, 2) for kind in page.extrasamples)
        return values[..., : values.shape[-1] - alpha]
    raise _unread(path, page)


def _inverted(path: Path, values: np.ndarray, bits: int) -> np.ndarray:
    if values.dtype.kind == "b":
        return ~values
    if values.dtype.kind != "u":
        raise DataError(f"stores white as 0 in {values.dtype} values", "save it with black as 0", path)
    return (2**bits - 1) - values


def _unread(path: Path, page: Any) -> DataError:
    return DataError(
        f"stores its colours as {page.photometric.name} ({page.samplesperpixel} samples, {page.compression.name})",
        "save it as grey or RGB", path,
    )  # fmt: skip


def _spacing_mm(file: Any) -> tuple[float, float, float] | None:
    """Voxel edges along columns, rows and pages, from OME's or ImageJ's metadata; None where there is none."""
    if file.is_ome:
        found = {
            axis: (float(size), unit)
            for axis, size in re.findall(r'PhysicalSize([XYZ])="([^"]+)"', file.ome_metadata)
            for unit in [*re.findall(rf'PhysicalSize{axis}Unit="([^"]+)"', file.ome_metadata), "µm"][:1]
        }
        if len(found) == 3 and all(unit in MILLIMETRES for _, unit in found.values()):
            x, y, z = (found[axis][0] * MILLIMETRES[found[axis][1]] for axis in "XYZ")
            return x, y, z
    tags, about = file.pages[0].tags, file.imagej_metadata or {}
    scale = MILLIMETRES.get(str(about.get("unit", "")).lower())
    if scale is None or "spacing" not in about or "XResolution" not in tags:
        return None
    across, down = (tags[name].value for name in ("XResolution", "YResolution"))  # pixels per unit, as a fraction
    if not across[0] or not down[0]:
        return None
    return scale * across[1] / across[0], scale * down[1] / down[0], scale * float(about["spacing"])


def write_tiff(path: Path, values: np.ndarray) -> None:
    """Write (C, rows, columns): whole numbers up to 65535 as 8 or 16 bits, others as float32."""
    import tifffile

    whole = np.array_equal(values, np.rint(values)) and values.min() >= 0 and values.max() <= 65535
    kind = (np.uint8 if values.max() <= 255 else np.uint16) if whole else np.float32
    pixels = values[0] if len(values) == 1 else np.ascontiguousarray(np.moveaxis(values, 0, -1))
    buffer = io.BytesIO()
    photometric = "rgb" if len(values) == 3 else "minisblack"
    tifffile.imwrite(buffer, pixels.astype(kind), photometric=photometric, compression="zlib")
    write_content(path, buffer.getvalue())
