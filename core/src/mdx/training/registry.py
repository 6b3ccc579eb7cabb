"""What is checkpointed besides weights: optimisers and schedulers, by kind and name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KINDS = ("optimizers", "schedulers")


class Registry:
    """Things with ``state_dict`` and ``load_state_dict``, and the saved state that waits for those not made yet.

    A method may make "main" anew in each stage. The count of creations of a name tells the two apart, so that a resumed
    run gives saved state to the same creation and lets the next one start fresh, as the uninterrupted run did.
    """

    def __init__(self) -> None:
        self.things: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
        self.creations: dict[tuple[str, str], int] = {}
        self.saved: Mapping[str, Mapping[str, Any]] = {kind: {} for kind in KINDS}

    def add(self, kind: str, name: str, thing: Any) -> bool:
        """Remember ``thing``; True if saved state was waiting for it and has been loaded."""
        self.things[kind][name] = thing
        self.creations[kind, name] = self.creations.get((kind, name), 0) + 1
        return self.load(kind, name)

    def load(self, kind: str, name: str) -> bool:
        """Load the saved state of this creation of ``name``, if there is one."""
        saved = self.saved[kind].get(name)
        if saved is None or saved["creation"] != self.creations[kind, name]:
            return False
        self.things[kind][name].load_state_dict(saved["state"])
        return True

    def states(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            kind: {n: {"creation": self.creations[kind, n], "state": t.state_dict()} for n, t in things.items()}
            for kind, things in self.things.items()
        }

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Load a checkpoint's states into the things that exist; the others get theirs when they are added."""
        self.saved = {kind: tree[kind] for kind in KINDS}
        for kind in KINDS:
            for name in self.things[kind]:
                self.load(kind, name)
