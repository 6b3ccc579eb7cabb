"""Small inputs: volumes with a ball, pictures with a disc, and tables that name them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

Change = Callable[[str, int, np.ndarray], np.ndarray]


def ball(seed: int, edge: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """(image, mask) of ``edge`` cubed: a bright ball in noise, somewhere near the middle."""
    rng = np.random.default_rng(seed)
    grid = np.indices((edge,) * 3) - (edge / 2 + rng.uniform(-2, 2, 3))[:, None, None, None]
    mask = (np.linalg.norm(grid, axis=0) < edge / 4).astype(np.uint8)
    return (rng.normal(20, 3, mask.shape) + 60 * mask).astype(np.float32), mask


def disc(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """((48, 64, 3), (48, 64)): a dark reddish disc on skin, off the middle so that turning shows."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:48, :64]
    mask = ((y - rng.uniform(12, 18)) ** 2 + (x - rng.uniform(16, 24)) ** 2 < 64).astype(np.uint8)
    skin = rng.normal(180, 6, (48, 64, 3)) - mask[..., None] * np.array([60, 90, 110])
    return skin.clip(0, 255).astype(np.uint8), mask


def volumes(folder: Path, n: int = 4, sites: str = "AB", mask: Change = lambda site, i, m: m) -> Path:
    """A table of NIfTI volumes whose masks ``mask(site, number, ball)`` makes."""
    from small_cohort import write_scan

    rows = []
    for k, (site, i) in enumerate((s, i) for s in sites for i in range(n)):
        image, drawn = ball(k)
        write_scan(folder / f"{site}{i}.nii.gz", image)
        write_scan(folder / f"{site}{i}_mask.nii.gz", mask(site, i, drawn))
        rows.append([f"{site}{i}.nii.gz", f"{site}{i}_mask.nii.gz", f"{site}{i}", site])
    return table(folder / "t.csv", ["image", "mask", "subject", "site"], rows)


def pictures(
    folder: Path, write: Callable[[Path, str, np.ndarray], Path], mask: Callable[[Path, np.ndarray], Path], n: int = 4
) -> Path:
    """A table of colour pictures: ``write(path without suffix, site, pixels)`` and ``mask(path without suffix, disc)``.

    Both give the path that they have written.
    """
    rows = []
    for k, (site, i) in enumerate((s, i) for s in "AB" for i in range(n)):
        pixels, drawn = disc(k)
        image = write(folder / f"{site}{i}", site, pixels)
        rows.append([image.name, mask(folder / f"{site}{i}_mask", drawn).name, f"{site}{i}", site])
    return table(folder / "t.csv", ["image", "mask", "subject", "site"], rows)


def png(path: Path, pixels: np.ndarray) -> Path:
    """Write (rows, columns[, 3]) as PNG."""
    path = path.with_name(f"{path.name}.png")
    Image.fromarray(pixels).save(path)
    return path


def cells(folder: Path, column: str, values: Sequence[object], sites: Sequence[str] = ("A", "B")) -> Path:
    """A table of grey pictures with a column of ``values``, the sites in turn."""
    rows = []
    for i, value in enumerate(values):
        image = folder / f"{i:02d}.png"
        if not image.exists():
            Image.fromarray(np.random.default_rng(i).integers(0, 255, (24, 24), dtype=np.uint8)).save(image)
        rows.append([image.name, f"s{i:02d}", sites[i % len(sites)], value])
    return table(folder / "t.csv", ["image", "subject", "site", column], rows)


def table(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]], separator: str = ",") -> Path:
    """Write a table."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, delimiter=separator, lineterminator="\n")
        writer.writerows([header, *rows])
    return path


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a table that was written."""
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def alike(one: np.ndarray, other: np.ndarray) -> float:
    """The correlation of two arrays of one shape."""
    return float(np.corrcoef(one.ravel().astype(float), other.ravel().astype(float))[0, 1])
