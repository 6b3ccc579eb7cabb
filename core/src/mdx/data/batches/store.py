"""Preprocessed images on disk, uncompressed, so that one slice reads only its own pages.

The last axis varies slowest in memory: an axial slice of a volume is one stretch of the file.
"""

from __future__ import annotations

import base64
import json
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from mdx.files import replacing, write_json
from mdx.interfaces.geometry import FileLayout, Geometry

VERSION = 6  # raise it when the same file and settings give another sample


@cache
def libraries() -> str:
    """The packages that a sample depends on, with their versions."""
    return " ".join(f"{name} {version(name)}" for name in ("monai", "torch", "numpy"))


def slices_together(values: np.ndarray) -> np.ndarray:
    """The same (C, *spatial) array with the slices of its last axis one after the other in memory."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(values, -1, 0)), 0, -1)


def save_array(path: Path, values: np.ndarray) -> None:
    """Keep (C, *spatial) float32 values."""
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, np.moveaxis(values, -1, 0))


def load_array(path: Path) -> np.ndarray | None:
    """The kept array, memory-mapped and writable in memory only; None if there is none that can be used."""
    try:
        return np.moveaxis(np.load(path, mmap_mode="c"), 0, -1)
    except (OSError, ValueError, EOFError):
        return None


def save_geometry(path: Path, geometry: Geometry) -> None:
    """Keep a geometry as JSON, exactly."""
    layout = geometry.layout
    write_json(path, {
        "affine": np.asarray(geometry.affine).tolist(), "shape": geometry.shape, "axcodes": geometry.axcodes,
        "layout": None if layout is None else {
            "kind": layout.kind, "shape": layout.shape, "affine": layout.affine.tolist(),
            "header": base64.b64encode(layout.header).decode(), "suffix": layout.suffix,
            "colour": layout.colour,
        },
    })  # fmt: skip


def load_geometry(path: Path) -> Geometry | None:
    """The kept geometry; None if there is none that can be used."""
    try:
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        layout = raw["layout"]
        if layout is not None:
            layout = FileLayout(
                layout["kind"], tuple(layout["shape"]), np.array(layout["affine"]),
                base64.b64decode(layout["header"]), layout["suffix"], layout["colour"],
            )  # fmt: skip
        return Geometry(np.array(raw["affine"]), tuple(raw["shape"]), raw["axcodes"], layout)
    except (OSError, ValueError, KeyError, TypeError):
        return None
