"""Small cohorts on disk: one made-up scene, whose truth is told as whatever kind of label a task needs."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mdx.data.files.box_files import boxes_text
from mdx.data.labels import LABELS
from mdx.errors import UsageError

SHAPES = {2: (40, 36), 3: (26, 22, 8)}
SPLITS = ("train", "train", "train", "val", "test")
SITES = ("A", "B", "C")
CLASSES = ("ill", "well")
VOXEL_MM = (2.0, 2.0, 3.0)


@dataclass(frozen=True)
class Scene:
    """A bright ball in noise.

    Attributes:
        image: of the shape of ``ball``, about 0 to 250.
        ball: where the ball is.
        ill: the ball is brighter; ``striped``: a part of the image beside it is.
        age: tells the brightness of everything.
    """

    image: np.ndarray
    ball: np.ndarray
    ill: bool
    striped: bool
    age: float


def make_scene(number: int, site: int, dims: int, *, travelling: bool = False) -> Scene:
    """Scene ``number`` of a site, whose tone and noise are its own; ``travelling``: the same subjects everywhere."""
    shape = SHAPES[dims]
    rng = np.random.default_rng([number, 0 if travelling else site, dims])
    ill, striped, age = number % 2 == 0, (number // 2 + site) % 2 == 0, 40.0 + 3 * number + site
    centre = np.array(shape) / 2 + rng.uniform(-2, 2, dims)
    radii = np.array((8, 7, 4)[:dims])
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    ball = (((grid - centre) / radii) ** 2).sum(axis=-1) < 1
    image = 20 + age / 2 + ball * (60 + 50 * ill) + rng.normal(0, 4, shape)
    image[:4] += 50 * striped
    tone = 1 - 0.15 * site
    noise = 0 if travelling else rng.normal(0, 2 * site, shape)
    return Scene((255 * (image.clip(0, 255) / 255) ** tone + noise).clip(1, 255), ball, ill, striped, age)


def small_cohort(
    folder: Path, task: str, dims: int = 2, *, sites: Sequence[str] = SITES, splits: Sequence[str] = SPLITS,
    prefix: str = "",
) -> Path:  # fmt: skip
    """Write a cohort for a kind of task; the path of its table.

    Args:
        folder: where it is made; images are in ``images``.
        task: as in a manifest: ``segmentation``, ``classification``, ``multilabel``, ``regression``, ``detection``,
            ``harmonisation`` (subjects that have travelled to all sites) or ``nothing`` (no label at all).
        dims: 2 for PNG, 3 for NIfTI.
        sites: their names; each looks different.
        splits: at every site there are two cases of each entry, an ill one and a well one; empty: two cases without.
        prefix: of the names of subjects and files, where two cohorts must not share any.
    """
    if task not in LABELS:
        raise UsageError(f"there is no task '{task}'", f"use one of {', '.join(LABELS)}")
    travelling, label = task == "harmonisation", label_column(task)
    rows: list[dict[str, str]] = []
    for s, site in enumerate(sites):
        for i in range(2 * max(len(splits), 1)):
            scene = make_scene(i, s, dims, travelling=travelling)
            name = f"{prefix}{site}{i}{'.png' if dims == 2 else '.nii.gz'}"
            write_image(folder / "images" / name, scene.image)
            row = {"image": f"images/{name}", "subject": f"{prefix}{i if travelling else f'{site}{i}'}", "site": site}
            if label == "mask":
                write_image(folder / "masks" / name, scene.ball)
                row["mask"] = f"masks/{name}"
            elif label:
                row[label] = TRUTHS[task](scene)
            rows.append(row | ({"split": splits[i // 2]} if splits else {}))
    return write_table(folder / "cohort.csv", rows)


def label_column(task: str) -> str:
    """The column that holds the label in ``small_cohort``; empty for tasks without one."""
    if task == "segmentation":
        return "mask"
    return LABELS[task].columns[0] if task in TRUTHS else ""


def with_other_labels(table: Path, task: str, hidden: Callable[[Mapping[str, str]], bool]) -> Path:
    """A table beside this one in which the cases that are ``hidden`` have each other's labels."""
    rows, column = read_table(table), label_column(task)
    chosen = [row for row in rows if hidden(row)]
    labels = [row[column] for row in chosen]
    for row, label in zip(chosen, [*labels[1:], *labels[:1]], strict=True):
        row[column] = label
    return write_table(table.with_name("other_labels.csv"), rows)


def with_nan(table: Path) -> tuple[Path, str]:
    """A table beside this one whose first image holds a NaN, and the name of that image."""
    rows = read_table(table)
    flat = rows[0]["image"].endswith(".png")
    name = f"damaged{'.tif' if flat else '.nii.gz'}"
    values = make_scene(0, 0, 2 if flat else 3).image.astype(np.float32)
    values[(5,) * values.ndim] = np.nan
    write_image(table.parent / "images" / name, values)
    rows[0]["image"] = f"images/{name}"
    return write_table(table.with_name("nan.csv"), rows), name


def write_image(path: Path, values: np.ndarray) -> Path:
    """A picture or a volume, by the name of the file; pictures but TIFF are of whole numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if values.ndim == 3:
        import nibabel as nib

        kind = np.uint8 if values.dtype == bool else np.float32
        nib.save(nib.Nifti1Image(values.astype(kind), np.diag([*VOXEL_MM, 1])), path)  # type: ignore[attr-defined]
    elif path.suffix == ".tif":
        import tifffile

        tifffile.imwrite(path, values.astype(np.float32))
    else:
        from PIL import Image

        Image.fromarray(values.astype(np.uint8)).save(path)
    return path


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a table."""
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write rows of equal columns."""
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def _class(scene: Scene) -> str:
    return CLASSES[0 if scene.ill else 1]


def _findings(scene: Scene) -> str:
    return "|".join([*["bright"] * scene.ill, *["striped"] * scene.striped]) or "No Finding"


def _boxes(scene: Scene) -> str:
    rows, columns = np.nonzero(scene.ball)[:2]
    box = (float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1))
    return boxes_text([(*box, _class(scene))])


TRUTHS: Mapping[str, Callable[[Scene], str]] = {
    "classification": _class, "multilabel": _findings, "regression": lambda scene: str(scene.age), "detection": _boxes,
}  # fmt: skip
"""Kind of task -> the cell that tells the truth of a scene; masks are files."""
