"""What a function gives for every case of a dataset, gathered batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from mdx.errors import PluginError
from mdx.interfaces.dataset import Batch


@dataclass(frozen=True)
class Outputs:
    """The values of a function for N items, in the order of the dataset's cases.

    Attributes:
        values: (N, ...) tensors in the form that the function returns: one, a tuple, or a dict.
        items: what else is known of the N items, as of one batch without images and without masks.
    """

    values: Any
    items: Batch

    def label(self, name: str) -> Tensor:
        """(N, ...) labels. Raises HiddenLabelError if one of them is hidden."""
        return self.items.label(name)


@contextmanager
def evaluating(networks: nn.Module) -> Iterator[None]:
    """Networks in eval mode and no gradients; each module is in its old mode again afterwards."""
    before = {module: module.training for module in networks.modules()}
    networks.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in before.items():
            module.training = training


def gather(fn: Callable[[Batch], Any], batches: Iterable[Batch]) -> Outputs:
    """``fn`` of every batch, stacked. Raises PluginError if it does not give a row for each item."""
    values: list[Any] = []
    items: list[Batch] = []
    for batch in batches:
        values.append(_rows(fn(batch), len(batch)))
        image = batch.image.new_empty(len(batch), 0)
        items.append(replace(batch, image=image, labels=_small(batch.labels), more=_small(batch.more)))
    everything = {field.name: _stacked([getattr(each, field.name) for each in items]) for field in fields(Batch)}
    return Outputs(_stacked(values), Batch(**everything))


def _small(named: Mapping[str, Any]) -> dict[str, Any]:
    """Without images and masks."""
    return {name: values for name, values in named.items() if not isinstance(values, Tensor) or values.ndim < 3}


def _rows(value: Any, count: int) -> Any:
    """``value``, whose tensors have ``count`` rows each."""
    if isinstance(value, Tensor) and value.ndim and len(value) == count:
        return value
    if isinstance(value, tuple | list):
        return tuple(_rows(v, count) for v in value)
    if isinstance(value, Mapping):
        return {name: _rows(v, count) for name, v in value.items()}
    found = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
    raise PluginError(
        f"{found} was given for a batch of {count} items", "return a tensor with a row for each item, or several"
    )


def _stacked(parts: list[Any]) -> Any:
    """Tensors and lists one after the other, in tuples and dicts of them too."""
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat(parts)
    if isinstance(first, list):
        return [entry for part in parts for entry in part]
    if isinstance(first, tuple):
        return tuple(_stacked(list(each)) for each in zip(*parts, strict=True))
    if isinstance(first, Mapping):
        return {name: _stacked([part[name] for part in parts]) for name in first}
    return first
