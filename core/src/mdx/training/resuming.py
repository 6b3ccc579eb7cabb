"""The checkpoints of one run: what is in them, where they lie, and the stages shared between runs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mdx.cache import cache_dir
from mdx.errors import MdxError
from mdx.files import replacing
from mdx.interfaces.adapter import Adapter
from mdx.interfaces.model import Model
from mdx.runs.checkpoint import load_tree, save_tree
from mdx.training import processes
from mdx.training.registry import Registry


class Checkpoints:
    """Saves and restores networks, the method's state, optimisers, and the counters of a run.

    Attributes:
        counters: plain values that are part of every checkpoint: steps and notes.
        only_training: names of networks that the final checkpoint leaves out.
    """

    def __init__(
        self, directory: Path, adapter: Adapter[Any], model: Model, device: torch.device, rank: int, world: int
    ) -> None:
        self.folder = directory / "checkpoints"
        self.adapter, self.model, self.device, self.rank, self.world = adapter, model, device, rank, world
        self.registry = Registry()
        self._reserved: int | None = None
        self.counters: dict[str, Any] = {"steps": 0, "notes": []}
        self.only_training: set[str] = set()
        self.folder.mkdir(parents=True, exist_ok=True)
        if rank == 0:
            for leftover in self.folder.glob(".*"):
                leftover.unlink(missing_ok=True)  # of a process that was killed while it wrote

    def digest(self, networks: Sequence[str]) -> str:
        """A hash of what some networks and all optimisers hold now: where a stage starts from."""
        held = {k: v for k, v in self.model.state_dict().items() if k.split(".")[0] in networks}
        return digest_of_tensors({**held, **_tensors(self.registry.states()["optimizers"], "optimizer")})

    def path(self, name: str) -> Path:
        """The file of a checkpoint: ``last``, ``best``, ``final`` or a stage's name."""
        return self.folder / f"{name}.safetensors"

    def load(self, name: str) -> dict[str, Any] | None:
        """A checkpoint's content; None if there is none."""
        path = self.path(name)
        return load_tree(path) if path.exists() else None

    def save(self, name: str, record: Mapping[str, Any]) -> Path:
        """Write everything as it is now, with the facts of ``record``; as ``final`` what ``apply`` needs."""
        left_out = self.only_training if name == "final" else ()
        tree = {
            **record,
            **self.counters,
            "model": {k: v for k, v in self.model.state_dict().items() if k.split(".")[0] not in left_out},
            "adapter": self.adapter.state(),
            **self.registry.states(),
        }
        if self.rank == 0:
            save_tree(self.path(name), tree)
        processes.barrier(self.world)
        return self.path(name)

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Go back to a checkpoint; the method's own state comes first, so that it can resize networks."""
        if tree["adapter"] is not None:
            self.adapter.restore(tree["adapter"], self.model)
        self.model.load_saved(tree["model"])
        self.model.to(self.device)
        notes = list(dict.fromkeys([*self.counters["notes"], *tree["notes"]]))
        self.counters = {**{name: tree[name] for name in self.counters}, "notes": notes}
        self.registry.restore(tree)

    def restore_weights(self, name: str) -> None:
        """Only the networks of a checkpoint."""
        tree = self.load(name)
        if tree is not None:
            self.model.load_saved(tree["model"])

    def reserve(self, stage: str, key: str) -> bool:
        """Whether this process may train a shared stage: no other one is at it. A killed process holds nothing."""
        if self.rank != 0 or self._reserved is not None:
            return True
        import fcntl

        try:
            handle = os.open(cache_dir("stages") / f"{stage}-{key}.lock", os.O_CREAT | os.O_RDWR)
        except (OSError, MdxError):
            return True  # a cache that cannot be written to: nothing is shared, and nobody else trains for it
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        except OSError:
            pass  # a network file system without locks: the stage may be trained twice
        self._reserved = handle
        return True

    def release(self) -> None:
        """Let others train, or take, the stage that was reserved."""
        if self._reserved is not None:
            os.close(self._reserved)
            self._reserved = None

    def share(self, stage: str, key: str, networks: Sequence[str]) -> None:
        """Keep some networks of a finished stage for other runs, whose method may be another one."""
        if self.rank == 0:
            tree = load_tree(self.path(stage))
            weights = {name: value for name, value in tree["model"].items() if name.split(".")[0] in networks}
            shared = {
                **tree,
                "model": weights,
                "adapter": None,
                "notes": [],
            }
            save_tree(cache_dir("stages") / f"{stage}-{key}.safetensors", shared)

    def fetch(self, stage: str, key: str) -> bool:
        """Take a stage that an equal run has finished; whether there was one."""
        shared = cache_dir("stages") / f"{stage}-{key}.safetensors"
        found = shared.exists()
        if found and self.rank == 0:
            with replacing(self.path(stage)) as temporary:
                temporary.write_bytes(shared.read_bytes())
        processes.barrier(self.world)
        return found


def digest_of_tensors(tensors: Mapping[str, torch.Tensor]) -> str:
    """A hash of the content of named tensors."""
    found = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _tensors(tree: Any, name: str) -> dict[str, torch.Tensor]:
    """The tensors of a tree of mappings, by their path."""
    if isinstance(tree, torch.Tensor):
        return {name: tree}
    parts = tree.items() if isinstance(tree, Mapping) else ()
    return {k: t for key, part in parts for k, t in _tensors(part, f"{name}.{key}").items()}
