"""The source network, which every row of the paper's tables shares."""

from __future__ import annotations

from mdx.errors import DataError
from mdx.interfaces.dataset import Dataset
from mdx.interfaces.model import Model
from mdx.runs.run import Run
from mdx_fda.config import FDAConfig
from mdx_segment.networks import ResidualUNet2d
from mdx_segment.training import train_slices


def unet(data: Dataset, config: FDAConfig) -> ResidualUNet2d:
    """The paper's U-Net for the channels and classes of the task; one logit a class."""
    if not data.task.classes:
        raise DataError("the masks hold no class", "give masks with values above 0, column 'mask'")
    return ResidualUNet2d(len(data.task.channels), len(data.task.classes), config.filters)


def build_network(data: Dataset, config: FDAConfig) -> Model:
    """A model with the one network."""
    return Model(network=unet(data, config))


def fit_source(data: Dataset, model: Model, run: Run, config: FDAConfig) -> None:
    """Train on the source sites; an equal training of another run is taken from the cache."""
    train_slices(model.network, data.where(role="source"), run, config.training, stage="source")
