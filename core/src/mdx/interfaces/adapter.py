"""What a method is: build networks, fit them, apply them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mdx.config import Settings

if TYPE_CHECKING:  # the settings of every plugin start from here, and are shown without torch
    import numpy as np

    from mdx.interfaces.dataset import Dataset, Sample, Task
    from mdx.interfaces.geometry import Geometry
    from mdx.interfaces.model import Model
    from mdx.training.run import Run


class MethodConfig(Settings):
    """The base of every method's settings: unknown keys are refused and values cannot change during a run."""


ConfigT = TypeVar("ConfigT", bound=MethodConfig)


@dataclass(frozen=True)
class Prediction:
    """What a method says about one sample; any of the parts may be missing.

    Attributes:
        geometry: the sample's geometry, to write images and masks back onto the file's own grid.
        segmentation: (K, *spatial) float32 probabilities of the task's classes, on the sample's grid.
        image: (C, *spatial) float32 harmonised or restyled image.
        classes: (n_classes,) float32 probabilities, which sum to 1 unless a case may have several classes.
        value: a predicted number, such as an age in years.
        boxes: (n, 6) float32 x1, y1, x2, y2 in pixels of the sample (x to the right), score, index of the class.
        embedding: (d,) float32 features.
        shown: images (C, *spatial) on the sample's grid that the method predicted from in place of the scan, by name
            (``{"restyled": ...}``): a page draws the first beside the scan.
        details: small facts worth recording with the case, such as the donors that were chosen (JSON).
    """

    geometry: Geometry
    segmentation: np.ndarray | None = None
    image: np.ndarray | None = None
    classes: np.ndarray | None = None
    value: float | None = None
    boxes: np.ndarray | None = None
    embedding: np.ndarray | None = None
    shown: Mapping[str, np.ndarray] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reference:
    """What an image is to be made to look like, or where it comes from (``mdx apply --site``, ``--reference``).

    Attributes:
        site: a site of the run.
        sample: an image that was given as an example, on its own grid.
        slice_index: the slice of it that was named, along the last axis; None: the whole image.
    """

    site: str | None = None
    sample: Sample | None = None
    slice_index: int | None = None


class Adapter(ABC, Generic[ConfigT]):
    """A method. It opens no file, seeds nothing, parses nothing and names no device: ``run`` does.

    Attributes:
        config: the validated settings.
        task: what is to be predicted; there before ``build``.
        needs_data: whether ``apply`` needs the run's own data again (see ``attach``).
        adapts: whether ``apply`` trains on the image it is given (test-time adaptation). Its networks are then copies
            that are thrown away, with gradients allowed, and torch's random numbers depend on the image alone: a
            prediction does not depend on the ones before it.
        own_network: what the user gave with ``--init-from``, of the class that the manifest names as ``own_network``;
            there before ``build``; None without one.
    """

    needs_data: bool = False
    adapts: bool = False
    own_network: Any = None
    task: Task

    def __init__(self, config: ConfigT) -> None:
        self.config = config

    @abstractmethod
    def build(self, task: Task) -> Model:
        """The untrained networks that ``apply`` needs; one that only training needs comes in ``fit`` by ``run.add``.

        One that depends on the cases, such as a network for each target site, is made in ``fit`` and, from ``state()``,
        in ``restore``.
        """

    def require(self, data: Dataset) -> None:
        """Raise DataError if the method cannot be trained on ``data``, which is what ``fit`` will see.

        Asked before a run is begun, and by ``--dry-run``; nothing is read here but the table.
        """

    @abstractmethod
    def fit(self, data: Dataset, model: Model, run: Run) -> None:
        """Train ``model`` in place on the train and val cases of ``data``; the loop is the method's own."""

    @abstractmethod
    def apply(self, sample: Sample, model: Model, reference: Reference | None = None) -> Prediction:
        """The prediction for one sample; the same code serves the run's test cases and ``mdx apply``."""

    def attach(self, data: Dataset) -> None:
        """Take the run's data, reopened after loading the run; called only if ``needs_data`` is true."""

    def state(self) -> dict[str, Any]:
        """What the method must remember besides weights, as JSON values, tensors and numpy arrays."""
        return {}

    def restore(self, state: Mapping[str, Any], model: Model) -> None:
        """Take back ``state()``; called before the weights are loaded, so networks may be resized here."""


def networks_of(adapter: Adapter[Any], task: Task) -> Model:
    """The untrained networks of ``adapter`` for ``task``, which it knows from now on as ``adapter.task``."""
    adapter.task = task
    return adapter.build(task)


__all__ = ["Adapter", "ConfigT", "MethodConfig", "Prediction", "Reference", "networks_of"]
