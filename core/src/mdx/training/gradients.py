"""Gradients and steps: each optimiser's own, the same in all processes, of losses that are finite."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mdx.errors import DivergedError
from mdx.training import processes
from mdx.training.resuming import Checkpoints

CHECK_EVERY = 25  # steps between looks at whether a loss on an accelerator was finite: each look waits for the device


class Gradients:
    """What ``Run.step`` and ``Run.backward`` do.

    Args:
        saved: counts the steps and knows the optimisers.
        where: says which epoch is going on.
    """

    def __init__(self, saved: Checkpoints, where: Callable[[], str]) -> None:
        self.saved, self.where = saved, where
        self._pending: set[int] = set()
        self._bad: Tensor | None = None
        self._of_parts: dict[str, Any] = {}

    def step(
        self,
        optimizer: Optimizer,
        loss: Tensor | None,
        clip_norm: float | None,
        clip_value: float | None,
        retain_graph: bool,
    ) -> None:
        """See ``Run.step``."""
        params = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
        if id(optimizer) not in self._pending:
            optimizer.zero_grad(set_to_none=True)
        self._pending.discard(id(optimizer))
        if loss is not None:
            self._check_finite(loss)
            torch.autograd.backward(loss, inputs=params, retain_graph=retain_graph)
        processes.average_gradients(params, self.saved.world)
        if clip_value is not None:
            nn.utils.clip_grad_value_(params, clip_value)
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(params, clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        self.saved.counters["steps"] += 1

    def backward(self, loss: Tensor, optimizers: tuple[Optimizer, ...], retain_graph: bool) -> None:
        """See ``Run.backward``."""
        self._check_finite(loss)
        chosen = optimizers or tuple(self.saved.registry.things["optimizers"].values())
        for optimizer in chosen:
            if id(optimizer) not in self._pending:
                optimizer.zero_grad(set_to_none=True)
                self._pending.add(id(optimizer))
        params = {id(p): p for o in chosen for g in o.param_groups for p in g["params"] if p.requires_grad}
        torch.autograd.backward(loss, inputs=list(params.values()), retain_graph=retain_graph)

    def remember(self, values: Mapping[str, Any], share: float) -> None:
        """Add what is to be logged of a part, by its share of the batch."""
        for name, value in values.items():
            value = value.detach() if isinstance(value, Tensor) else value
            self._of_parts[name] = self._of_parts.get(name, 0.0) + value * share

    def remembered(self) -> dict[str, Any]:
        """The sums over the parts since the last call."""
        values, self._of_parts = self._of_parts, {}
        return values

    def _check_finite(self, loss: Tensor) -> None:
        bad = ~torch.isfinite(loss.detach()).all()
        self._bad = bad if self._bad is None else self._bad | bad
        if self.saved.device.type == "cpu" or self.saved.counters["steps"] % CHECK_EVERY == 0:
            self.raise_if_diverged()

    def raise_if_diverged(self) -> None:
        """Raise DivergedError if a loss was not finite."""
        if self._bad is not None and bool(self._bad):
            raise DivergedError(
                f"the loss is not finite in {self.where()}",
                "lower the learning rate (the method's, or --set optimizer.lr=...), clip gradients, or look for odd "
                "scans with 'mdx data check'; the last good epoch is kept",
            )
