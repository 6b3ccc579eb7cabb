"""A mask: which voxels belong to which class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from mdx.cache import cache_dir
from mdx.data.batches.store import VERSION, libraries, load_array, save_array, slices_together
from mdx.data.config import DataConfig
from mdx.data.confounding import numbers_by_site
from mdx.data.files.facts import FileFacts, file_key, read_facts
from mdx.data.files.geometry import mismatch, ras_grid, resample_onto, undo_resampling
from mdx.data.files.images import read_mask
from mdx.data.labels.base import Label
from mdx.data.mask_values import mask_errors, mask_warnings
from mdx.data.problems import Problem
from mdx.errors import DataError
from mdx.interfaces.dataset import Case, Dataset, Task, TaskKind
from mdx.interfaces.geometry import Geometry

if TYPE_CHECKING:
    from mdx.interfaces.adapter import Prediction


class Mask(Label):
    """(K, *spatial) float32 of 0 and 1, one channel a class, on the sample's grid."""

    kind: ClassVar[TaskKind] = "segmentation"
    evaluator: ClassVar[str] = "mdx.evaluation.segmentation:for_run"
    page: ClassVar[str] = "mdx.report.truths:MaskPage"
    says_rows: ClassVar[bool] = True

    def find(self, cases: Sequence[Case], config: DataConfig) -> str | None:
        """``mask``, where a case has one and no other column is named."""
        named = config.label == "mask" or not any(config.label in case.columns for case in cases)
        return "mask" if named and any(case.mask is not None for case in cases) else None

    def details(self, cases: Sequence[Case], column: str, config: DataConfig) -> dict[str, Any]:
        """Classes, and the mask values of each."""
        classes, values = mask_classes(cases, config)
        return {"classes": classes, "label_values": values}

    def read(self, case: Case, task: Task, geometry: Geometry, config: DataConfig) -> Tensor:
        """Resampled with the nearest voxel; kept on disk. Raises DataError for a mask that does not fit its image."""
        assert case.mask is not None  # asked for only where there is one
        if not config.cache:
            return torch.from_numpy(_on_grid(case.mask, task, geometry))
        grid = (geometry.affine.tobytes().hex(), geometry.shape)
        path = cache_dir("samples") / f"{file_key(case.mask, VERSION, libraries(), task.label_values, grid)}.npy"
        values = load_array(path)
        if values is None:
            values = _on_grid(case.mask, task, geometry)
            save_array(path, values)
        return torch.from_numpy(values)

    def said(self, prediction: Prediction, task: Task) -> dict[str, Any]:
        """The volume of each class in ml, of a plain image its pixels; on the grid of the file that was read."""
        from mdx.data.batches.loading import label_map

        if prediction.segmentation is None:
            return {}
        values = np.asarray(prediction.segmentation, dtype=np.float32)
        probabilities, grid = undo_resampling(values, prediction.geometry)
        labels = label_map(probabilities, task)
        numbers = [of[0] if len(of) == 1 else 1 for of in task.label_values] or [1]
        counts = {name: int((labels == n).sum()) for name, n in zip(task.classes, numbers, strict=True)}
        if task.dims == 2:
            return {f"pixels_{name}": n for name, n in counts.items()}
        voxel_ml = abs(float(np.linalg.det(grid.affine[:3, :3]))) / 1000
        return {f"ml_{name}": round(n * voxel_ml, 4) for name, n in counts.items()}

    def collate(self, task: Task, values: Sequence[Any], image: Tensor) -> dict[str, Any]:
        """``mask``: (B, K, *spatial)."""
        absent = image.new_zeros((len(task.classes), *image.shape[2:]))
        return {"mask": torch.stack([absent if value is None else value for value in values])}

    def errors(self, data: Dataset, config: DataConfig) -> Iterator[Problem]:
        """Values that are no classes, and classes that no mask holds."""
        masks = _facts(data)
        yield from mask_errors(_readable(masks), config)
        if isinstance(config.classes, str):
            return
        found = {value for _, _, facts in _readable(masks) for value in facts.labels}
        for name in config.classes:
            if int(name) not in found:
                known = ", ".join(map(str, sorted(found)))
                yield Problem(
                    "the table", f"no mask holds the class {name}", f"the masks hold {known}: set data.classes"
                )

    def warnings(self, data: Dataset, config: DataConfig) -> Iterator[Problem]:
        """Values that only some sites or few masks hold."""
        yield from mask_warnings(_readable(_facts(data)), config)

    def by_site(self, data: Dataset) -> dict[str, Any] | None:
        """The foreground's volume, of plain images its share."""
        plain = data.task.dims == 2
        found = {case.id: (_percent if plain else _millilitres)(facts) for case, _, facts in _readable(_facts(data))}
        return numbers_by_site(data, found, "foreground (% of the image)" if plain else "foreground volume (ml)")


def mask_classes(cases: Sequence[Case], config: DataConfig) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """Names of the classes and the mask values of each; an empty tuple of values stands for every value above 0."""
    if config.classes == "foreground":
        return ("foreground",), ((),)
    if config.classes != "each":
        return tuple(config.classes), tuple((int(value),) for value in config.classes)
    facts = read_facts([case.mask for case in cases if case.mask is not None], "mask")
    found = sorted({value for f in facts.values() if isinstance(f, FileFacts) for value in f.labels})
    if not found:
        errors = [f for f in facts.values() if isinstance(f, DataError)]
        raise errors[0] if errors else DataError("every mask is empty", "check that the column 'mask' names masks")
    return tuple(map(str, found)), tuple((value,) for value in found)


def _on_grid(path: Path, task: Task, geometry: Geometry) -> np.ndarray:
    labels, own = read_mask(path)
    one_hot = np.stack([_belongs(labels, values) for values in task.label_values]).astype(np.float32)
    assert geometry.layout is not None  # it was read from a file
    shape, affine = ras_grid(geometry.layout)
    wrong = mismatch(replace(geometry, shape=shape, affine=affine), own)
    if wrong is not None:
        raise DataError(*wrong, where=path)
    if geometry.shape != shape or not np.array_equal(geometry.affine, affine):
        one_hot = resample_onto(one_hot, own.affine, geometry.shape, geometry.affine, "nearest")
    return slices_together(one_hot)


def _belongs(labels: np.ndarray, values: Sequence[int]) -> np.ndarray:
    return np.isin(labels, values) if values else labels > 0


def _facts(data: Dataset) -> list[tuple[Case, Path, FileFacts | DataError]]:
    paths = [case.mask for case in data.cases if case.mask is not None]
    facts = read_facts(paths, "mask")
    return [(case, case.mask, facts[case.mask]) for case in data.cases if case.mask is not None]


def _readable(masks: Sequence[tuple[Case, Path, FileFacts | DataError]]) -> list[tuple[Case, Path, FileFacts]]:
    return [(case, path, facts) for case, path, facts in masks if isinstance(facts, FileFacts)]


def _millilitres(mask: FileFacts) -> float:
    return sum(mask.labels.values()) * mask.voxel_ml


def _percent(mask: FileFacts) -> float:
    return 100 * sum(mask.labels.values()) / int(np.prod(mask.shape))
