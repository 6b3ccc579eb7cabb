"""Pictures of test cases, gathered while these are scored, so that a page can be made when the data are gone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mdx.data.labels import label_of
from mdx.evaluation.kept import KeptPrediction
from mdx.files import write_json
from mdx.interfaces.adapter import Prediction
from mdx.interfaces.dataset import Dataset, Sample
from mdx.report import gallery
from mdx.report.case_pictures import INDEX, change_file
from mdx.report.changed_images import Changes, changed_image
from mdx.report.intensities import Intensities
from mdx.report.truths import page_of, title_of
from mdx.runs.loading import LoadedRun

WORST_FIRST = {"surface_dice": True, "f1": True, "brier": False, "absolute_error": False, "ssim": True}
"""The score that ranks the cases of a task, the first one there is; whether its lowest value is the worst."""


class Pictures:
    """What the pictures of one method need of each case, and the pictures once all are scored."""

    def __init__(self, loaded: LoadedRun, cases: Dataset) -> None:
        self._loaded, self._cases = loaded, cases
        self._page = page_of({"kind": loaded.task.kind, "classes": loaded.task.classes})
        self._by_id = {case.id: case for case in cases.cases}
        self._drawn: dict[str, KeptPrediction] = {}
        self._changes, self._intensities = Changes(), Intensities(len(cases))

    def add(self, sample: Sample, prediction: Prediction) -> None:
        """Take what is needed of one case."""
        if self._page.ranked_by:
            self._drawn[sample.case.id] = KeptPrediction(prediction)
        changed = changed_image(prediction, sample)
        self._changes.add(sample, changed)
        self._intensities.add(sample.case.id, sample.case.site, sample.image.numpy(), changed)

    def write(self, table: Any, directory: Path) -> None:
        """Write ``figures/`` and ``intensities.json``; ``table`` has the rows of scores.csv."""
        folder = directory / "figures"
        folder.mkdir(exist_ok=True)
        self._intensities.write(directory)
        target = table[table["role"] == "target"]
        table = target if len(target) else table
        write_json(folder / INDEX, {
            "overlays": self._overlays(table, folder),
            "changes": self._before_and_after(table, folder),
            "changed_to": self._changes.name,
            "gallery": gallery.record(folder, table, self._image),
        })  # fmt: skip

    def _image(self, case: str) -> tuple[np.ndarray, Sequence[float]]:
        sample = self._cases.load(self._by_id[case])
        return sample.image.numpy(), sample.geometry.spacing_mm

    def _overlays(self, table: Any, folder: Path) -> dict[str, str]:
        """Draw the best, median and worst case; which these are."""
        page = self._page
        if not page.ranked_by:
            return {}
        ranked = table.sort_values(page.ranked_by, ascending=False).dropna(subset=[page.ranked_by])
        picks = {0: "best", len(ranked) - 1: "worst", len(ranked) // 2: "median"} if len(ranked) > 2 else {0: "best"}
        found = {name: ranked.iloc[index] for index, name in picks.items() if index < len(ranked)}
        config = self._loaded.settings.data
        for name, row in found.items():
            sample = self._cases.load(self._by_id[row["case"]])
            sample = label_of(self._cases.task).with_truth(sample, self._cases, config)
            kept = self._drawn[row["case"]]
            prediction = kept.restored() if kept.whole else self._loaded.predict(sample)
            page.draw(folder / f"overlay_{name}.png", sample, prediction, row)
        return {name: str(row["case"]) for name, row in found.items()}

    def _before_and_after(self, table: Any, folder: Path) -> dict[str, str]:
        """Draw the median and the worst case of a method that changes images; which these are.

        Where no case has a score, one whose change is in the middle, and the most changed one.
        """
        known = table[table["case"].isin(self._changes.cases)]
        metric = next((m for m in WORST_FIRST if m in known and known[m].notna().any()), "")
        if not metric:
            known = known.assign(mean_change=[self._changes.change_of(case) for case in known["case"]])
        column = metric or "mean_change"
        ranked = known.dropna(subset=[column])
        ranked = ranked.sort_values(column, ascending=WORST_FIRST.get(metric, False), kind="stable")
        picks = {"median": len(ranked) // 2} if len(ranked) else {}
        picks |= {"worst" if metric else "most changed": 0} if len(ranked) > 1 else {}
        for name, index in picks.items():
            row, path = ranked.iloc[index], folder / change_file(name)
            title = title_of(name, row, f"{column.replace('_', ' ')} {row[column]:.3g}")
            self._changes.draw(path, row["case"], title)
        return {name: str(ranked["case"].iloc[index]) for name, index in picks.items()}
