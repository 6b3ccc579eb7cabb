"""A small cohort of real files: three sites, volumes and masks, one row a case."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

SHAPE = (10, 12, 6)


def save(path: Path, values: np.ndarray, affine: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, np.diag([-1.0, 1, 2, 1]) if affine is None else affine), path)
    return path


def volume(seed: int, shape: Sequence[int] = SHAPE) -> tuple[np.ndarray, np.ndarray]:
    """A noisy image and a mask with the labels 1 and 2."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(shape, np.uint8)
    mask[2:6, 3:7, 1:4], mask[6:8, 3:7, 1:4] = 1, 2
    return (rng.normal(100, 10, shape) + 40 * mask).astype(np.float32), mask


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def rows(tmp_path: Path) -> list[dict[str, Any]]:
    """Six cases of sites A, B and C; the files lie beside the table that a test writes."""
    made = []
    for i in range(6):
        image, mask = volume(i)
        save(tmp_path / f"img{i}.nii.gz", image)
        save(tmp_path / f"mask{i}.nii.gz", mask)
        made.append({"image": f"img{i}.nii.gz", "mask": f"mask{i}.nii.gz", "subject": f"s{i}", "site": "ABC"[i % 3]})
    return made


@pytest.fixture
def table(tmp_path: Path, rows: list[dict[str, Any]]) -> Path:
    return write_csv(tmp_path / "cohort.csv", rows)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Sequence[Mapping[str, Any]]], Path]:
    return lambda given: write_csv(tmp_path / "cohort.csv", given)
