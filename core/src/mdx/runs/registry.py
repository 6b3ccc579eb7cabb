"""What is checkpointed besides weights: optimisers, schedulers and registered objects, by kind and name."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

KINDS = ("registered", "optimizers", "schedulers")


class Registry:
    """Things with ``state_dict`` and ``load_state_dict``, and the saved state that waits for those not made yet.

    A method may make "main" anew in each stage. The count of creations of a name tells the two apart, so that a resumed
    run gives saved state to the same creation and lets the next one start fresh, as the uninterrupted run did.

    Args:
        names: gives the names of the model's parameters as they are now, by ``id``.
    """

    def __init__(self, names: Callable[[], Mapping[int, str]]) -> None:
        self.names = names
        self.moments: Mapping[str, Mapping[str, Any]] = {}
        self.things: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
        self.creations: dict[tuple[str, str], int] = {}
        self.saved: Mapping[str, Mapping[str, Any]] = {kind: {} for kind in KINDS}

    def add(self, kind: str, name: str, thing: Any) -> bool:
        """Remember ``thing``; True if saved state was waiting for it and has been loaded."""
        self.things[kind][name] = thing
        self.creations[kind, name] = self.creations.get((kind, name), 0) + 1
        if self.load(kind, name):
            return True
        if kind == "optimizers" and name in self.moments:
            self._give_moments(thing, self.moments[name])
        return False

    def load(self, kind: str, name: str) -> bool:
        """Load the saved state of this creation of ``name``, if there is one."""
        saved = self.saved[kind].get(name)
        if saved is None or saved["creation"] != self.creations[kind, name]:
            return False
        self.things[kind][name].load_state_dict(saved["state"])
        return True

    def take_moments(self, optimizers: Mapping[str, Mapping[str, Any]]) -> None:
        """What another run's optimisers remember goes to those of the same name, whether made already or later."""
        self.moments = optimizers
        for name, optimizer in self.things["optimizers"].items():
            if name in optimizers:
                self._give_moments(optimizer, optimizers[name])

    def _give_moments(self, optimizer: Any, saved: Mapping[str, Any]) -> None:
        """State of parameters by name and shape; groups, with their learning rates, stay as they were made."""
        remembered, names = saved["state"]["state"], self.names()
        known = {name: remembered[i] for i, name in enumerate(saved["names"]) if name and i in remembered}
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                state = known.get(names.get(id(parameter), ""), {})
                shapes = {v.shape for v in state.values() if isinstance(v, Tensor) and v.ndim}
                if state and shapes <= {parameter.shape}:
                    optimizer.state[parameter] = {
                        k: v.to(parameter.device, copy=True) if isinstance(v, Tensor) and v.ndim else copy.copy(v)
                        for k, v in state.items()
                    }

    def _names(self, thing: Any) -> list[str]:
        names = self.names()
        return [names.get(id(p), "") for group in getattr(thing, "param_groups", ()) for p in group["params"]]

    def states(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            kind: {
                n: {"creation": self.creations[kind, n], "state": t.state_dict(), "names": self._names(t)}
                for n, t in things.items()
            }
            for kind, things in self.things.items()
        }

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Load a checkpoint's states into the things that exist; the others get theirs when they are added."""
        self.saved = {kind: tree[kind] for kind in KINDS}
        for kind in KINDS:
            for name in self.things[kind]:
                self.load(kind, name)
