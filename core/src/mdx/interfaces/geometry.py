"""Where the voxels of a sample lie, and how the file that they came from was stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class FileLayout:
    """How a file stores its image, kept so that a prediction can be written exactly onto it.

    Attributes:
        kind: ``nifti`` for volumes, ``image`` for PNG, JPEG, films and other plain images.
        shape: shape on disk.
        affine: (4, 4) voxel to millimetre matrix of the file; identity for plain images.
        header: the binary NIfTI header as read; empty for plain images and for volumes of other formats.
        suffix: what predictions are written as: ``.nii.gz``, ``.nii``, ``.png``...
        colour: whether its three channels are red, green and blue, whose ratios mean something.
    """

    kind: Literal["nifti", "image"]
    shape: tuple[int, ...]
    affine: np.ndarray
    header: bytes
    suffix: str
    colour: bool = False


@dataclass(frozen=True)
class Geometry:
    """The grid of a sample.

    Attributes:
        affine: (4, 4) voxel to millimetre matrix of the sample's grid (RAS for volumes).
        shape: spatial shape of the sample.
        axcodes: axis codes of the file before it was brought to RAS, such as ``LAS``; empty for plain images.
        layout: how the file is stored; None for a sample that was not read from a file.
    """

    affine: np.ndarray
    shape: tuple[int, ...]
    axcodes: str = ""
    layout: FileLayout | None = None

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """Voxel edge lengths in millimetres, one for each spatial axis; 1.0 for plain images."""
        lengths = np.sqrt((np.asarray(self.affine, dtype=float)[:3, :3] ** 2).sum(axis=0))
        return tuple(float(v) for v in lengths[: len(self.shape)])
