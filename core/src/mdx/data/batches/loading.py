"""From a case to a sample, and from a prediction back to a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from mdx.cache import cache_dir
from mdx.data.batches.intensity import scale_intensity
from mdx.data.batches.store import (
    VERSION,
    libraries,
    load_array,
    load_geometry,
    save_array,
    save_geometry,
    slices_together,
)
from mdx.data.config import DataConfig
from mdx.data.files.dicom import is_dicom
from mdx.data.files.facts import FileFacts, file_key, read_facts
from mdx.data.files.formats import TIFFS, suffix_of, write_content
from mdx.data.files.geometry import (
    bring_to_size,
    compare_grids,
    keep_every_slice,
    resample_to_spacing,
    undo_resampling,
)
from mdx.data.files.images import header_of, read_image, write_image, write_mask
from mdx.data.labels import label_of
from mdx.data.labels.boxes import moved_boxes
from mdx.errors import DataError
from mdx.interfaces.adapter import Prediction
from mdx.interfaces.dataset import Case, Sample, Task, has_label
from mdx.interfaces.geometry import Geometry
from mdx.spreadsheets import csv_text


class TableLoader:
    """Reads and preprocesses the cases of a table; the loader of its dataset.

    Attributes:
        config, task: how to read, and what to.
        keep: whether a loop may hold samples in memory; false where ``config.cache`` is off: all is read afresh.
    """

    def __init__(self, config: DataConfig, task: Task) -> None:
        self.config, self.task, self.keep = config, task, config.cache

    def __call__(self, case: Case, visible: bool) -> Sample:
        """The sample of ``case``; its labels only if they are visible."""
        image, geometry = self._image(case)
        name, present = self.task.label, has_label(case, self.task.label)
        if not present or not visible:
            return Sample(case, torch.from_numpy(image), geometry, {}, frozenset([name] if present else []))
        truth = label_of(self.task).read(case, self.task, geometry, self.config)
        return Sample(case, torch.from_numpy(image), geometry, {name: truth})

    def contents(self, images: Sequence[Path], masks: Sequence[Path]) -> dict[Path, str]:
        """The values and grid of each file as a text, whatever its name and time; of one that cannot be read, why."""
        facts = {**read_facts(images, "image"), **read_facts(masks, "mask")}
        return {p: f"{f.digest} {f.affine}" if isinstance(f, FileFacts) else f.what for p, f in facts.items()}

    def _image(self, case: Case) -> tuple[np.ndarray, Geometry]:
        paths = list(case.images.values())
        if not self.config.cache:
            return prepare_image(paths, self.config)
        c = self.config
        settings = (VERSION, libraries(), c.intensity, c.lower, c.upper, c.spacing_mm, c.size, c.fit, c.every_slice)
        name = file_key(paths[0], *settings, *(file_key(path) for path in paths[1:]))
        folder = cache_dir("samples")
        array, facts = folder / f"{name}.npy", folder / f"{name}.json"
        geometry = load_geometry(facts)
        values = load_array(array) if geometry is not None else None
        if values is None or geometry is None:
            values, geometry = prepare_image(paths, self.config)
            save_array(array, values)
            save_geometry(facts, geometry)  # last: without it the array is not used
        return values, geometry


def prepare_image(paths: Sequence[Path], config: DataConfig) -> tuple[np.ndarray, Geometry]:
    """Read the contrasts of one case and preprocess them: (C, *spatial) float32 and the first file's geometry.

    Raises DataError for contrasts on different grids and for files that cannot be read.
    """
    parts: list[tuple[np.ndarray, bool]] = []
    geometry = None
    for path in paths:
        values, own = read_image(path)
        if geometry is None:
            geometry = own
        elif compare_grids(geometry, own) != "same":
            raise DataError(f"does not lie on the grid of {paths[0].name}", "resample the contrasts to one grid", path)
        parts.append((values, own.layout is not None and own.layout.colour))
    assert geometry is not None  # config.image has at least one column
    values = np.concatenate([part for part, _ in parts])
    if config.spacing_mm is not None:
        values, geometry = resample_to_spacing(values, geometry, config.spacing_mm)
    values = _scaled(values, parts, config)
    if config.size is not None:
        values, geometry = bring_to_size(values, geometry, config.size, config.fit)
    if config.every_slice > 1:
        values, geometry = keep_every_slice(values, geometry, config.every_slice)
    if config.intensity == "zscore" and (
        config.every_slice > 1 or (config.size is not None and config.fit == "resize")
    ):
        values = _scaled(values, parts, config)  # smoothing and fewer slices have changed mean and SD
    return slices_together(values), geometry


def _scaled(values: np.ndarray, parts: Sequence[tuple[np.ndarray, bool]], config: DataConfig) -> np.ndarray:
    """The channels of each file scaled as ``config.intensity`` says."""
    of_files = np.split(values, np.cumsum([len(part) for part, _ in parts])[:-1])
    scaled = [scale_intensity(of, config, colour) for of, (_, colour) in zip(of_files, parts, strict=True)]
    return np.concatenate(scaled)


def load_file(paths: Mapping[str, Path], config: DataConfig, task: Task) -> Sample:
    """New files, one for each column of ``config.image``, read as the cases of a table are; nothing is cached.

    Raises DataError for files with other channels or dimensions than the task's.
    """
    images = {name: Path(paths[name]) for name in config.image}
    first = next(iter(images.values()))
    headers = [header_of(path) for path in images.values()]  # before the pixels, which may be many
    found = (headers[0][0], sum(channels for _, channels in headers))
    if found != (task.dims, len(task.channels)):
        raise DataError(
            f"is {found[0]}-D with {found[1]} channel(s); the model takes {task.dims}-D with {len(task.channels)}",
            "give an image of the kind that it was trained on",
            first,
        )
    case = Case(id=first.name, subject="", site="", images=images)
    return TableLoader(config.model_copy(update={"cache": False}), task)(case, False)


def label_map(probabilities: np.ndarray, task: Task) -> np.ndarray:
    """(K, *spatial) probabilities as (*spatial) mask values: the most probable class where it exceeds 0.5, else 0."""
    probabilities = np.asarray(probabilities)
    numbers = np.array([values[0] if len(values) == 1 else 1 for values in task.label_values] or [1])
    best = numbers[probabilities.argmax(axis=0)]
    return np.where(probabilities.max(axis=0) > 0.5, best, 0).astype(np.uint8 if numbers.max() <= 255 else np.uint16)


def prediction_paths(image: Path, folder: Path, case_id: str, probabilities: Task | None = None) -> list[Path]:
    """Every file that predictions for an image may be written as: mask, image, boxes, and of a task's classes their
    probabilities.
    """
    if is_dicom(image) or suffix_of(image) in TIFFS:
        suffix = ".nii.gz" if header_of(image)[0] == 3 else ".png" if is_dicom(image) else ".tif"
    else:
        suffix = _written_suffix(suffix_of(image) or image.suffix.lower())
    of_classes = probabilities.classes if probabilities else ()
    return [
        folder / f"{case_id}{suffix}", folder / f"{case_id}_image{suffix}", folder / f"{case_id}_boxes.csv",
        *(folder / f"{case_id}_p_{name}{_of_floats(suffix)}" for name in of_classes),
    ]  # fmt: skip


def boxes_csv(boxes: np.ndarray, geometry: Geometry, task: Task) -> str:
    """(n, 6) boxes of a sample as rows x1, y1, x2, y2, class, score in pixels of its file; see ``read_boxes``."""
    import pandas as pd

    boxes = np.asarray(boxes, dtype=float).reshape(-1, 6)
    onto = geometry.layout.affine if geometry.layout else geometry.affine
    rows = zip(moved_boxes(boxes[:, :4], geometry.affine, onto), boxes[:, 5].astype(int), boxes[:, 4], strict=True)
    lines = [[*np.round(corners, 2), task.classes[k], round(float(score), 4)] for corners, k, score in rows]
    return csv_text(pd.DataFrame(lines, columns=["x1", "y1", "x2", "y2", "class", "score"]))


def _written_suffix(suffix: str) -> str:
    """JPEG would change values, so PNG is written for it."""
    return ".png" if suffix in (".jpg", ".jpeg") else suffix


def _of_floats(suffix: str) -> str:
    """A PNG holds whole numbers, so a TIFF is written for it."""
    return ".tif" if suffix == ".png" else suffix


def write_prediction(
    prediction: Prediction, task: Task, folder: Path, case_id: str, config: DataConfig, probabilities: bool = False
) -> list[Path]:
    """Write the mask as ``<case_id><suffix>`` and the image as ``<case_id>_image<suffix>``, on the file's own grid, and
    boxes in the file's own pixels as ``<case_id>_boxes.csv``; with ``probabilities`` those of each class as
    ``<case_id>_p_<class><suffix>``, float32.

    Probabilities are resampled to that grid before they are made a mask. Images whose intensities were scaled are
    always float32: their values are not the file's. JPEG would change values, so PNG is written for it. Returns the
    paths.
    """
    geometry = prediction.geometry
    suffix = _written_suffix(geometry.layout.suffix.lower()) if geometry.layout else ".nii.gz"
    written: list[Path] = []
    if prediction.segmentation is not None:
        found, grid = undo_resampling(np.asarray(prediction.segmentation, dtype=np.float32), geometry)
        written.append(folder / f"{case_id}{suffix}")
        write_mask(written[-1], label_map(found, task), grid)
        for name, values in zip(task.classes, found, strict=True) if probabilities else ():
            written.append(folder / f"{case_id}_p_{name}{_of_floats(suffix)}")
            write_image(written[-1], values[None], grid, "float32")
    if prediction.image is not None:
        written.append(folder / f"{case_id}_image{suffix}")
        write_image(written[-1], prediction.image, geometry, "file" if config.intensity == "none" else "float32")
    if prediction.boxes is not None:
        written.append(folder / f"{case_id}_boxes.csv")
        write_content(written[-1], boxes_csv(prediction.boxes, geometry, task).encode())
    return written
