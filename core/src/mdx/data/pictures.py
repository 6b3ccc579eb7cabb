"""Plain images: PNG and JPEG, grey or colour, as (C, rows, columns)."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from mdx.data.formats import damaged, suffix_of, write_content
from mdx.errors import DataError
from mdx.interfaces.geometry import FileLayout


def decode_picture(path: Path, content: bytes) -> tuple[np.ndarray, FileLayout, str]:
    """(1 or 3, rows, columns), how it is stored, and the stored type; palettes and alpha become plain colour."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content)) as picture:
            if picture.mode in ("P", "CMYK", "YCbCr", "RGBA", "PA"):
                picture = picture.convert("RGB")
            elif picture.mode in ("1", "LA"):
                picture = picture.convert("L")
            values = np.array(picture)
    except UnidentifiedImageError:
        raise DataError("is no image that can be read", "give .nii, .nii.gz, .png, .jpg, .tif or DICOM", path) from None
    except (OSError, SyntaxError, ValueError) as error:
        raise damaged(path, error) from error
    values = values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0)
    suffix = suffix_of(path) or path.suffix
    layout = FileLayout("image", tuple(values.shape[1:]), np.eye(4), b"", suffix, colour=len(values) == 3)
    return values, layout, str(values.dtype)


def as_pixels(path: Path, values: np.ndarray) -> np.ndarray:
    """(1 or 3, rows, columns) as uint8 or uint16; values that are not whole and lie in 0 to 1 are scaled to 255."""
    if len(values) not in (1, 3):
        raise DataError(f"a picture has 1 or 3 channels, not {len(values)}", "write .nii.gz", path)
    if not np.array_equal(values, np.rint(values)) and values.min() >= 0 and values.max() <= 1:
        values = values * 255
    values = np.clip(np.rint(values), 0, 65535 if len(values) == 1 else 255)
    return values.astype(np.uint8 if values.max() <= 255 else np.uint16)


def write_picture(path: Path, values: np.ndarray) -> None:
    """Write (1 or 3, rows, columns) uint8 or uint16 as PNG or JPEG, by the suffix."""
    from PIL import Image

    picture = Image.fromarray(values[0] if len(values) == 1 else np.ascontiguousarray(np.moveaxis(values, 0, -1)))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG" if suffix_of(path) == ".png" else "JPEG")
    write_content(path, buffer.getvalue())
