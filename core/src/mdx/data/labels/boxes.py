"""Boxes around objects in a plain image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from mdx.data.config import DataConfig
from mdx.data.confounding import numbers_by_site
from mdx.data.files.box_files import boxes_of, looks_like_boxes
from mdx.data.labels.base import Label, values_by_case
from mdx.data.problems import Problem
from mdx.errors import DataError
from mdx.interfaces.dataset import Case, Dataset, Task, TaskKind
from mdx.interfaces.geometry import Geometry

if TYPE_CHECKING:
    from mdx.interfaces.adapter import Prediction


class Boxes(Label):
    """(n, 5) float32: x1, y1, x2, y2 in pixels of the sample, and the index of the class."""

    kind: ClassVar[TaskKind] = "detection"
    columns: ClassVar[tuple[str, ...]] = ("boxes",)
    evaluator: ClassVar[str] = "mdx.evaluation.detection:for_run"
    page: ClassVar[str] = "mdx.report.truths:BoxesPage"
    says_rows: ClassVar[bool] = True

    def fits(self, column: str, values: Sequence[Any]) -> bool:
        """Lists of boxes, as ``rows_as_cases`` has read them."""
        return bool(values) and all(isinstance(v, str) and looks_like_boxes(v) for v in values)

    def details(self, cases: Sequence[Case], column: str, config: DataConfig) -> dict[str, Any]:
        """The classes, sorted."""
        found = {box[4] for case in cases if (cell := case.columns.get(column)) is not None for box in boxes_of(cell)}
        return {"classes": tuple(sorted(found))}

    def read(self, case: Case, task: Task, geometry: Geometry, config: DataConfig) -> Tensor:
        """The boxes of a case, moved with its image where that was cropped or resized; those outside are left out.

        Raises DataError for a class that the task does not know.
        """
        found = boxes_of(case.columns[task.label])
        unknown = sorted({box[4] for box in found} - set(task.classes))
        if unknown:
            raise DataError(f"has the unknown class '{unknown[0]}'", f"known: {', '.join(task.classes)}", case.id)
        corners = np.array([box[:4] for box in found], dtype=float).reshape(-1, 4)
        assert geometry.layout is not None  # it was read from a file
        moved = moved_boxes(corners, geometry.layout.affine, geometry.affine)
        height, width = geometry.shape
        inside = np.clip(moved, 0, [width, height, width, height])
        kept = (inside[:, 2] > inside[:, 0]) & (inside[:, 3] > inside[:, 1])
        classes = np.array([task.classes.index(box[4]) for box in found], dtype=float).reshape(-1, 1)
        return torch.from_numpy(np.concatenate([inside, classes], axis=1)[kept].astype(np.float32))

    def collate(self, task: Task, values: Sequence[Any], image: Tensor) -> dict[str, Any]:
        """A list of B tensors (n, 5)."""
        return {task.label: [image.new_zeros((0, 5)) if value is None else value for value in values]}

    def errors(self, data: Dataset, config: DataConfig) -> Iterator[Problem]:
        """Volumes, and boxes that lie outside their image."""
        if data.task.dims != 2:
            yield Problem("the table", "has boxes in volumes", "boxes are read for plain images only")
            return
        from mdx.data.files.facts import FileFacts, read_facts

        facts = read_facts([next(iter(case.images.values())) for case in data.cases], "image")
        for case in data.cases:
            image, cell = facts[next(iter(case.images.values()))], case.value(data.task.label)
            if cell is None or not isinstance(image, FileFacts):
                continue
            height, width = image.shape[:2]
            out = [box for box in boxes_of(cell) if box[0] >= width or box[1] >= height or box[2] <= 0 or box[3] <= 0]
            if out:
                yield Problem(
                    case.id, f"{len(out)} box(es) lie outside the image of {width} x {height} pixels, such as {out[0]}",
                    "are they of another image, or as x, y, width, height? Write x1, y1, x2, y2 in pixels",
                )  # fmt: skip

    def warnings(self, data: Dataset, config: DataConfig) -> Iterator[Problem]:
        """Classes that a site has none of."""
        sites: dict[str, set[str]] = defaultdict(set)
        for case in data.cases:
            cell = case.value(data.task.label)
            if cell is not None:
                sites[case.site] |= {box[4] for box in boxes_of(cell)}
        for site, found in sorted(sites.items()):
            missing = sorted(set(data.task.classes) - found)
            if missing:
                yield Problem(f"site {site}", f"has no box of {', '.join(missing)}", "its scores say nothing of them")

    def by_site(self, data: Dataset) -> dict[str, Any] | None:
        """The number of boxes of an image."""
        counts = {case: float(len(boxes_of(cell))) for case, cell in values_by_case(data).items()}
        return numbers_by_site(data, counts, "boxes of an image")

    def said(self, prediction: Prediction, task: Task) -> dict[str, Any]:
        """How many boxes of each class there are."""
        if prediction.boxes is None:
            return {}
        classes = np.asarray(prediction.boxes, dtype=float).reshape(-1, 6)[:, 5]
        return {f"n_{name}": int((classes == k).sum()) for k, name in enumerate(task.classes)}


def moved_boxes(boxes: np.ndarray, affine: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """(n, 4) x1, y1, x2, y2 in pixels of the grid ``affine`` as those of the grid ``onto``.

    Rows are the first axis of a plain image, so y goes with it; edges of pixels lie half a pixel beside their centres.
    """
    corners = boxes.reshape(-1, 2)[:, ::-1] - 0.5  # (y, x) of centres
    points = np.concatenate([corners, np.zeros((len(corners), 1)), np.ones((len(corners), 1))], axis=1)
    found = points @ (np.linalg.inv(onto) @ affine).T
    return (found[:, 1::-1] + 0.5).reshape(-1, 4)
