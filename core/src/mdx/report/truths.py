"""What a report draws and says of each kind of truth; ``Label.page`` names the class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

import numpy as np

from mdx.data.labels import LABELS
from mdx.report import figures, overlays
from mdx.report.drawing import short
from mdx.report.text import Method
from mdx.spreadsheets import read_frame

if TYPE_CHECKING:
    from mdx.interfaces.adapter import Prediction
    from mdx.interfaces.dataset import Sample

MOST_CLASSES = 12
LONGEST_ID = 34
"""Letters of a name in the title of a picture."""


class Page:
    """The parts of a page that depend on the kind of truth. The base class has none.

    Attributes:
        ranked_by: the score by which the best, median and worst case are chosen for pictures; empty: no pictures.
        classes: the classes of the task.
    """

    ranked_by = ""
    classes: tuple[str, ...] = ()

    def parts(self, tables: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, Any]:
        """Values of the page's template, from the rows of scores.csv by method."""
        return {}

    def alarms(self, directory: Path, method: Method, site: str, cases: Any, label: str) -> list[str]:
        """Sentences in red, of one method's rows at one site."""
        return []

    def draw(self, path: Path, sample: Sample, prediction: Prediction, row: Mapping[str, Any]) -> None:
        """A picture of one case, its truth and its prediction; ``row`` is its row of scores.csv."""


def page_of(task: Mapping[str, Any]) -> Page:
    """The page of a task as provenance.json holds it."""
    label = LABELS.get(task.get("kind", ""))
    page: Page = resolve_name(label.page)() if label else Page()
    page.classes = tuple(map(str, task.get("classes", ())))
    return page


def title_of(rank: str, row: Mapping[str, Any], scores: str) -> str:
    """Two lines above a picture: which case it is, at which rank, and its scores."""
    return f"{rank}: {short(str(row['case']), LONGEST_ID)}\nsite {short(str(row['site']), LONGEST_ID)}, {scores}"


def _rank(path: Path) -> str:
    """``best`` of ``overlay_best.png``."""
    return path.stem.partition("_")[2]


FOUND = 0.05
"""A Dice below this has missed what was to be marked."""


class MaskPage(Page):
    """Overlays of contours."""

    ranked_by = "surface_dice"

    def alarms(self, directory: Path, method: Method, site: str, cases: Any, label: str) -> list[str]:
        """Nothing is marked in any case that has anything to mark, or next to nothing of it is found in any."""
        if not {"dice", "volume_error_percent"} <= set(cases):
            return []
        known = cases.dropna(subset=["volume_error_percent"])
        if not len(known) or (known["dice"] >= FOUND).any():
            return []
        place = f"in any of the {len(known)} test case(s) at {site}"
        if ((known["volume_error_percent"] <= -100) & (known["dice"] == 0)).all():
            return [f"'{method.name}' marks nothing {place}."]
        what = "marks nothing right" if not known["dice"].any() else f"finds next to nothing (Dice below {FOUND:g})"
        return [f"'{method.name}' {what} {place}."]

    def draw(self, path: Path, sample: Sample, prediction: Prediction, row: Mapping[str, Any]) -> None:
        """Both contours on the slice with the most foreground."""
        from mdx.evaluation.segmentation import hard_masks

        assert prediction.segmentation is not None  # a segmentation task was scored
        overlays.overlay(
            path, sample.image.numpy(), hard_masks(prediction.segmentation), sample.mask.numpy() > 0.5,
            sample.geometry.spacing_mm,
            title_of(_rank(path), row, f"Dice {row['dice']:.2f}, surface Dice {row['surface_dice']:.2f}"), self.classes,
        )  # fmt: skip


class BoxesPage(Page):
    """Boxes drawn on the image."""

    ranked_by = "f1"

    def alarms(self, directory: Path, method: Method, site: str, cases: Any, label: str) -> list[str]:
        """No box is found anywhere."""
        if not {"sensitivity", "false_positives"} <= set(cases):
            return []
        known = cases.dropna(subset=["sensitivity"])
        if not len(known) or (known["sensitivity"] > 0).any():
            return []
        return [f"'{method.name}' finds no object in any of the {len(known)} test case(s) at {site}."]

    def draw(self, path: Path, sample: Sample, prediction: Prediction, row: Mapping[str, Any]) -> None:
        """True boxes, and those said with a score of at least one half."""
        from mdx.evaluation.detection import SURE

        said = np.asarray(prediction.boxes, dtype=float).reshape(-1, 6)
        (truth,) = sample.labels.values()
        title = title_of(_rank(path), row, f"F1 {row['f1']:.2f}")
        overlays.boxes(path, sample.image.numpy(), said[said[:, 4] >= SURE][:, :4], np.asarray(truth)[:, :4], title)


class ImagePage(Page):
    """The scan, what became of it, and the same subject at the reference site."""

    ranked_by = "ssim"

    def draw(self, path: Path, sample: Sample, prediction: Prediction, row: Mapping[str, Any]) -> None:
        """The middle slice of each, on one scale of greys."""
        twin = sample.labels.get("twin")
        pictures = {"scan": sample.image, "harmonised": prediction.image, "twin": twin}
        title = title_of(_rank(path), row, f"SSIM {row['ssim']:.3f}")
        overlays.beside(path, {name: np.asarray(p) for name, p in pictures.items() if p is not None}, title)


class SeveralPage(Page):
    """Findings."""

    def alarms(self, directory: Path, method: Method, site: str, cases: Any, label: str) -> list[str]:
        """The same is said of every case."""
        if "predicted" not in cases or len(cases) < 2 or cases["predicted"].nunique() > 1:
            return []
        if cases["truth"].nunique() < 2:
            return []
        return [f"'{method.name}' says '{cases['predicted'].iloc[0]}' of all {len(cases)} test cases at {site}."]


class ClassesPage(Page):
    """Confusion and calibration."""

    def parts(self, tables: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, Any]:
        """``confusions`` and ``reliability``."""
        classes = [str(c) for c in task.get("classes", ())]
        return {
            "confusions": _confusions(tables, classes) if len(classes) <= MOST_CLASSES else [],
            "reliability": figures.reliability({n: _confidence(t, classes) for n, t in tables.items()}),
        }

    def alarms(self, directory: Path, method: Method, site: str, cases: Any, label: str) -> list[str]:
        """A guess of the most frequent class is as good."""
        if not {"truth", "predicted"} <= set(cases):
            return []
        (name, n), *others = Counter(cases["truth"]).most_common()
        reached, guessed = float((cases["truth"] == cases["predicted"]).mean()), n / len(cases)
        if not others or reached > guessed:
            return []
        return [
            f"'{method.name}' has an accuracy of {reached:.3f} at {site}; always saying '{name}' has {guessed:.3f} "
            f"({n} of {len(cases)} cases)."
        ]


class ValuePage(Page):
    """Predicted against true numbers."""

    def parts(self, tables: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, Any]:
        """``scatter``."""
        return {"scatter": figures.predicted_against_true(tables, task.get("label", "label"))}

    def alarms(self, directory: Path, method: Method, site: str, cases: Any, label: str) -> list[str]:
        """The training cases' mean is as good."""
        if not {"truth", "absolute_error"} <= set(cases) or not label or len(cases) < 2:
            return []
        if not (directory / "data.csv").exists():
            return []
        data = read_frame(directory / "data.csv", dtype={"split": str})
        if label not in data:
            return []
        mean = float(data.loc[data["split"] == "train", label].astype(float).mean())
        reached = float(cases["absolute_error"].mean())
        guessed = float((cases["truth"].astype(float) - mean).abs().mean())
        if reached < guessed or mean != mean:
            return []
        return [
            f"'{method.name}' has a mean error of {reached:.3g} at {site}; always saying the training cases' mean of "
            f"{mean:.3g} has {guessed:.3g}."
        ]


def _confidence(rows: Any, classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    probabilities = rows[[f"p_{c}" for c in classes]].to_numpy(dtype=float)
    return probabilities.max(axis=1), (rows["truth"].astype(str) == rows["predicted"].astype(str)).to_numpy()


def _confusions(tables: Mapping[str, Any], classes: Sequence[str]) -> list[dict[str, Any]]:
    """Counts of test cases, true by predicted class, of the target sites where there are some."""
    made = []
    for name, rows in tables.items():
        part = rows[rows["role"] == "target"]
        part = part if len(part) else rows
        truth, predicted = part["truth"].astype(str), part["predicted"].astype(str)
        counts = [[int(((truth == t) & (predicted == p)).sum()) for p in classes] for t in classes]
        made.append({"method": name, "rows": list(zip(classes, counts, strict=True)), "classes": classes})
    return made
