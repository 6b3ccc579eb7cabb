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

from mdx.data.formats import damaged, write_content
from mdx.errors import DataError
from mdx.interfaces.geometry import FileLayout

MILLIMETRES = {
    "nm": 1e-6, "um": 1e-3, "µm": 1e-3, "μm": 1e-3, "\\u00b5m": 1e-3, "micron": 1e-3, "microns": 1e-3, "mm": 1.0,
    "cm": 10.0, "m": 1000.0, "inch": 25.4,
}  # fmt: skip
SLICES, COLOURS = "ZIQ", "CS"


def decode_tiff(path: Path, content: bytes) -> tuple[np.ndarray, FileLayout, str]:
    """(C, rows, columns) of one page, or (C, X, Y, Z) of several; how it is stored; the stored type.

    Raises DataError for time series, for pages of different sizes, and for what is damaged.
    """
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            values, axes = _pixels(path, content, file)
            spacing = _spacing_mm(file) if any(a in SLICES for a in axes) else None
            dtype = str(file.pages[0].dtype)
    except (tifffile.TiffFileError, OSError, ValueError, IndexError, KeyError, SyntaxError) as error:
        raise damaged(path, error) from error
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
        values = _without_alpha(values, colours)
        rgb = colours == ["S"] and len(values) == 3
        return values, FileLayout("image", tuple(values.shape[1:]), np.eye(4), b"", ".tif", colour=rgb), dtype
    values = np.moveaxis(values, [axes.index(a) for a in [*colours, "X", "Y", *slices]], range(values.ndim))
    values = _without_alpha(values, colours)
    shape = tuple(values.shape[1:]) + ((len(values),) if len(values) > 1 else ())
    affine = np.diag([*(spacing or (1.0, 1.0, 1.0)), 1.0])
    layout = FileLayout("nifti", shape, affine, b"", ".nii.gz", colour=colours == ["S"] and len(values) == 3)
    return values, layout, dtype


def tiff_header_of(path: Path, content: bytes) -> tuple[int, int]:
    """Number of spatial dimensions and of channels."""
    values, layout, _ = decode_tiff(path, content)
    return (2 if layout.kind == "image" else 3), len(values)


def _without_alpha(values: np.ndarray, colours: list[str]) -> np.ndarray:
    """Samples of a pixel (S) are grey or RGB, and alpha after them; channels (C) are what was recorded."""
    if not colours:
        return values[None]
    return values[: {2: 1, 4: 3}[len(values)]] if colours == ["S"] and len(values) in (2, 4) else values


def _pixels(path: Path, content: bytes, file: Any) -> tuple[np.ndarray, str]:
    """The values and a letter for each of their axes."""
    pages = file.series
    if len(pages) > 1:
        shapes = ", ".join(" x ".join(map(str, series.shape)) for series in pages[:3])
        raise DataError(f"holds {len(pages)} images of different sizes ({shapes})", "save each in its own file", path)
    series = pages[0]
    try:
        values = series.asarray()
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        # LZW and JPEG inside TIFF; Pillow itself inverts what is stored with white as 0
        return _through_pillow(content, len(series.pages)).reshape(series.shape), series.axes
    first = file.pages[0]
    if first.photometric.name == "PALETTE":
        table = np.asarray(first.colormap)  # (3, 256) of 16 bits
        return np.moveaxis((table >> 8).astype(np.uint8)[:, values], 0, -1), series.axes + "S"
    if first.photometric.name == "MINISWHITE" and values.dtype.kind in "bu":
        values = ~values if values.dtype.kind == "b" else np.iinfo(values.dtype).max - values
    return values, series.axes


def _through_pillow(content: bytes, pages: int) -> np.ndarray:
    from PIL import Image

    frames = []
    with Image.open(io.BytesIO(content)) as picture:
        for page in range(pages):
            picture.seek(page)
            frames.append(np.array(picture))
    return np.stack(frames)


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
