"""Plain images: PNG and JPEG, grey or colour, as (C, rows, columns)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from mdx.data.files.formats import require_bearable, suffix_of, write_content
from mdx.errors import DataError
from mdx.interfaces.geometry import FileLayout

COLOURED = ("P", "CMYK", "YCbCr", "RGB", "RGBA", "RGBX", "RGBa", "PA", "LAB", "HSV")
ORIENTATION = 274


def decode_picture(path: Path, content: bytes, indices: bool = False) -> tuple[np.ndarray, FileLayout, str]:
    """(1 or 3, rows, columns), how it is stored, and the stored type; inks and alpha become plain colour.

    The image is turned as its orientation tag says, as every viewer shows it. A palette becomes colours, or with
    ``indices`` the numbers of the palette's entries, which are the labels of a mask.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = None  # the limit is require_bearable's
    try:
        with Image.open(io.BytesIO(content)) as picture:
            require_bearable(path, (picture.height, picture.width, len(picture.getbands())))
            picture = ImageOps.exif_transpose(picture)
            if is_deep_colour(content):
                values = upright(_deep_colours(content), Image.open(io.BytesIO(content)).getexif().get(ORIENTATION, 1))
            else:
                values = _values(picture, indices)
    except UnidentifiedImageError:
        raise DataError("is no image that can be read", "give .nii, .nii.gz, .png, .jpg, .tif or DICOM", path) from None
    suffix = suffix_of(path) or path.suffix
    layout = FileLayout("image", tuple(values.shape[1:]), np.eye(4), b"", suffix, colour=len(values) == 3)
    return values, layout, str(values.dtype)


def picture_header_of(path: Path, content: bytes) -> tuple[int, int]:
    """Number of spatial dimensions and of channels, from the header."""
    from PIL import Image, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = None
    try:
        with Image.open(io.BytesIO(content)) as picture:
            require_bearable(path, (picture.height, picture.width, len(picture.getbands())))
            return 2, 3 if picture.mode in COLOURED else 1
    except UnidentifiedImageError:
        raise DataError("is no image that can be read", "give .nii, .nii.gz, .png, .jpg, .tif or DICOM", path) from None


def _values(picture: Any, indices: bool) -> np.ndarray:
    if indices and picture.mode == "P":
        return np.array(picture)[None]
    if picture.mode in COLOURED:
        return np.moveaxis(np.array(picture.convert("RGB")), -1, 0)
    return np.array(picture.convert("L") if picture.mode in ("1", "LA", "La") else picture)[None]


def is_deep_colour(content: bytes) -> bool:
    """Whether this is a PNG of 16 bits in several channels, which Pillow would halve to 8."""
    return content[:8] == b"\x89PNG\r\n\x1a\n" and content[24:26] in (b"\x10\x02", b"\x10\x04", b"\x10\x06")


def _deep_colours(content: bytes) -> np.ndarray:
    import imagecodecs

    values = np.moveaxis(imagecodecs.png_decode(content), -1, 0)
    return values[: {2: 1, 4: 3}.get(len(values), len(values))]  # without alpha


def upright(values: np.ndarray, orientation: int) -> np.ndarray:
    """(C, rows, columns) turned by the orientation tag of EXIF and TIFF, 1 (as it is) to 8."""
    turned = np.swapaxes(values, -1, -2) if orientation in (5, 6, 7, 8) else values
    turned = turned[..., ::-1] if orientation in (2, 3, 6, 7) else turned
    return turned[..., ::-1, :] if orientation in (3, 4, 7, 8) else turned


def as_pixels(path: Path, values: np.ndarray) -> np.ndarray:
    """(1 or 3, rows, columns) as uint8 or uint16; values that are not whole and lie in 0 to 1 are scaled to 255."""
    if len(values) not in (1, 3):
        raise DataError(f"a picture has 1 or 3 channels, not {len(values)}", "write .nii.gz", path)
    if not np.array_equal(values, np.rint(values)) and values.min() >= 0 and values.max() <= 1:
        values = values * 255
    values = np.clip(np.rint(values), 0, 255 if suffix_of(path) in (".jpg", ".jpeg") else 65535)
    return values.astype(np.uint8 if values.max() <= 255 else np.uint16)


def write_picture(path: Path, values: np.ndarray) -> None:
    """Write (1 or 3, rows, columns) uint8 or uint16 as PNG or JPEG, by the suffix."""
    from PIL import Image

    pixels = values[0] if len(values) == 1 else np.ascontiguousarray(np.moveaxis(values, 0, -1))
    if pixels.ndim == 3 and pixels.dtype.itemsize == 2:  # Pillow writes colours of 8 bits only
        import imagecodecs

        write_content(path, bytes(imagecodecs.png_encode(pixels)))
        return
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG" if suffix_of(path) == ".png" else "JPEG")
    write_content(path, buffer.getvalue())
