"""The source network, which every row of the paper's tables shares: trained here, or brought by the user."""

from __future__ import annotations

from mdx import Dataset, Model, Run, Task
from mdx.errors import DataError
from mdx_fda.config import SourceConfig
from mdx_segment.brought import BroughtNetwork
from mdx_segment.inference import device_of
from mdx_segment.networks import ResidualUNet2d
from mdx_segment.own_network import SliceNetwork
from mdx_segment.training import train_slices


def unet(task: Task, config: SourceConfig) -> ResidualUNet2d:
    """The paper's U-Net for the channels and classes of the task; one logit a class."""
    if not task.classes:
        raise DataError("the masks hold no class", "give masks with values above 0, column 'mask'")
    return ResidualUNet2d(len(task.channels), len(task.classes), config.filters)


def build_network(task: Task, config: SourceConfig, own: SliceNetwork | None) -> Model:
    """A model with the one network: the paper's U-Net, or that of an ONNX or TorchScript file."""
    if own is not None and own.module is not None:
        return Model(network=BroughtNetwork(own, task.classes))
    return Model(network=unet(task, config))


def fit_source(data: Dataset, model: Model, run: Run, config: SourceConfig, own: SliceNetwork | None) -> None:
    """Train on the source sites; an equal training of another run is taken from the cache.

    With a network of the user's nothing is trained. Raises ConfigError where it is not what its contract states.
    """
    if own is None:
        train_slices(model.network, data.where(role="source"), run, config.training, stage="source")
        return
    network = model.network
    if isinstance(network, BroughtNetwork):
        network.check(device_of(network))
        run.note(f"The source network was not trained here: it is {own.name} (SHA-256 {own.digest[:16]}).")
    else:
        run.note(f"The source network was not trained here; {own.take(model, 'network')}.")
