"""A made-up plugin that marks nothing, installed for a moment."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

MANIFEST = """api = 1
name = "{name}"
summary = "marks nothing"
adapter = "mdx_{name}.code:Nothing"
config = "mdx_{name}.code:Config"
default_variant = "plain"
{more}
[variants.plain]
[capabilities]
task = "segmentation"
unseen_sites = "{unseen_sites}"
"""
CODE = """
import numpy as np
import torch

from mdx.interfaces.adapter import Adapter, MethodConfig, Prediction
from mdx.interfaces.model import Model


class Config(MethodConfig):
    size: int = 1


class Nothing(Adapter[Config]):
    def build(self, task):
        self.classes = len(task.classes)
        return Model(net=torch.nn.Linear(1, 1))

    def fit(self, data, model, run):
        pass

    def state(self):
        return {"classes": self.classes}

    def restore(self, state, model):
        self.classes = int(state["classes"])

    def apply(self, sample, model, reference=None):
        nothing = np.zeros((self.classes, *sample.image.shape[1:]), np.float32)
        return Prediction(geometry=sample.geometry, segmentation=nothing)
"""


@contextlib.contextmanager
def installed(folder: Path, name: str, *, unseen_sites: str = "yes", more: str = "") -> Iterator[None]:
    """The plugin ``name`` is found inside; ``more`` are lines of its manifest."""
    from odd_plugins import install

    folder.mkdir()
    install(folder, name, MANIFEST.format(name=name, unseen_sites=unseen_sites, more=more), CODE)
    with on_the_path(folder):
        yield


@contextlib.contextmanager
def on_the_path(folder: Path) -> Iterator[None]:
    """Modules and plugins of a folder are found inside."""
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
