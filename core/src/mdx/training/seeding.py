"""Random numbers that depend on nothing but the seed, the stage, the epoch and a name."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive(seed: int, *parts: int | str) -> int:
    """A 63-bit seed from ``seed`` and what it is for; the same on every machine."""
    words = [p if isinstance(p, int) else zlib.crc32(p.encode()) for p in parts]
    state = np.random.SeedSequence([seed, len(words), *words]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


class RandomState:
    """Torch, numpy, python and named generators, all set anew at each epoch's start."""

    def __init__(self, seed: int, rank: int) -> None:
        self.seed, self.rank = seed, rank
        self.named: dict[str, np.random.Generator] = {}
        self.moment: tuple[str | int, ...] = ("start",)

    def reseed(self, *moment: str | int) -> None:
        """Set every generator for this moment, such as ``("train", 3)``."""
        self.moment = moment
        value = derive(self.seed, *moment, self.rank)
        torch.manual_seed(value)
        np.random.seed(value % 2**32)  # noqa: NPY002 - libraries that plugins call still use the global generator
        random.seed(value)
        for name, generator in self.named.items():
            generator.bit_generator.state = self._fresh(name).bit_generator.state

    def generator(self, name: str) -> np.random.Generator:
        """The generator ``name``; one object for the whole run, reseeded in place."""
        if name not in self.named:
            self.named[name] = self._fresh(name)
        return self.named[name]

    @contextmanager
    def aside(self, name: str, device: torch.device) -> Iterator[None]:
        """Torch's generators set for something beside training, equally in all processes, and put back afterwards."""
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(derive(self.seed, *self.moment, name))
            yield

    def _fresh(self, name: str) -> np.random.Generator:
        return np.random.default_rng(derive(self.seed, *self.moment, "rng", name, self.rank))
