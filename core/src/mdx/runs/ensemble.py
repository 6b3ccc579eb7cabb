"""The runs of a cross-validation as one method: each predicts, and what they say is averaged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mdx.errors import RefusedError
from mdx.interfaces.adapter import Prediction, Reference
from mdx.interfaces.dataset import Sample
from mdx.runs.folders import FOLDS, read_json
from mdx.runs.loading import LoadedRun, load_run

if TYPE_CHECKING:
    import torch

PROBABILITIES = ("segmentation", "classes")
NUMBERS = ("image", "value")


class LoadedFolds(LoadedRun):
    """The runs that ``mdx run --folds`` has made, as one.

    Attributes:
        members: the run of each fold; settings, task, adapter and model are those of the first.
    """

    def __init__(self, directory: Path, members: Sequence[LoadedRun]) -> None:
        first = members[0]
        super().__init__(directory, first.plugin, first.settings, first.task, first.adapter, first.model)
        self.members = members

    def predict(self, sample: Sample, reference: Reference | None = None) -> Prediction:
        """The mean of what the members predict (see ``averaged``). Raises RefusedError for boxes."""
        made = (member.predict(sample, reference) for member in self.members)
        try:
            return averaged(made, len(self.members))
        except RefusedError as error:
            remedy = f"name the run of one fold: {self.members[0].directory}"
            raise RefusedError(error.what, remedy, self.directory) from None


def load_folds(directory: Path, device: str | torch.device = "cpu") -> LoadedFolds:
    """The ensemble of a folder of folds. Raises UsageError, which names it, for a run that is missing."""
    members = [directory / place for place in read_json(directory / FOLDS)["members"]]
    return LoadedFolds(directory, [load_run(member, device) for member in members])


def averaged(predictions: Iterable[Prediction], n: int) -> Prediction:
    """The mean of ``n`` predictions for one sample.

    Probabilities are averaged before a class is chosen. Those of methods that give 0 and 1 alone are votes, and their
    mean is the share of votes: the class with the most is chosen. Images and values are averaged, and so are the
    details that are numbers. Features of different networks have no common axes and are left out.

    Returns:
        a prediction whose ``details`` say as ``ensemble`` which of these was done.

    Raises RefusedError for boxes: no average says which of them are the same object.
    """
    sums: dict[str, Any] = {}
    counts: dict[str, int] = {}
    details: list[Mapping[str, Any]] = []
    geometry, votes = None, True
    for prediction in predictions:
        if prediction.boxes is not None:
            raise RefusedError("boxes of several runs are not averaged", "name one run")
        geometry = prediction.geometry
        details.append(prediction.details)
        for name in (*PROBABILITIES, *NUMBERS):
            value = getattr(prediction, name)
            if value is None:
                continue
            counts[name] = counts.get(name, 0) + 1
            sums[name] = sums[name] + value if name in sums else np.array(value, dtype=np.float64)
            votes = votes and (name not in PROBABILITIES or bool(np.isin(value, (0, 1)).all()))
    assert geometry is not None  # there is at least one
    means = {name: total / n for name, total in sums.items() if counts[name] == n}
    arrays = {name: mean.astype(np.float32) for name, mean in means.items() if name != "value"}
    value = float(means["value"]) if "value" in means else None
    of_classes = any(name in means for name in PROBABILITIES)
    how = f"vote of {n} runs" if of_classes and votes else f"mean of {n} runs"
    return Prediction(geometry, **arrays, value=value, details={**_numbers(details), "ensemble": how})


def _numbers(details: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The means of the facts that every member gives as a number."""
    return {
        name: float(np.mean([each[name] for each in details]))
        for name in details[0]
        if all(isinstance(each.get(name), Real) and not isinstance(each.get(name), bool) for each in details)
    }
