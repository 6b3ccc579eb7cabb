"""mdx: published methods for domain adaptation of medical images, run the same way on your own data.

What a plugin may import is here and in ``mdx.errors``, ``mdx.views``, ``mdx.layouts`` and ``mdx.metrics``, for its
tests also in ``mdx.testing``; everything else is the inside of mdx and may change.

The public names are loaded when they are first used, so that ``import mdx`` stays cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mdx.config import Settings
    from mdx.data.files.images import read_image
    from mdx.interfaces.adapter import Adapter, MethodConfig, Prediction, Reference
    from mdx.interfaces.batch import Batch
    from mdx.interfaces.cases import Case, Sample, Task
    from mdx.interfaces.dataset import Dataset
    from mdx.interfaces.evaluator import Evaluator
    from mdx.interfaces.model import Model
    from mdx.interfaces.own_network import OwnNetwork
    from mdx.interfaces.weights import Weights
    from mdx.plugins.hooks import hookimpl
    from mdx.report.comparison import compare
    from mdx.runs.loading import load_run
    from mdx.sweeps.folds import run
    from mdx.sweeps.reproduction import reproduce
    from mdx.sweeps.sweep import sweep
    from mdx.training.loader import Loader
    from mdx.training.outputs import Outputs
    from mdx.training.run import Run
    from mdx.training.stages import Epoch

__version__ = "0.1.0"

_HOME = {
    "Settings": "mdx.config",
    "read_image": "mdx.data.files.images",
    "Adapter": "mdx.interfaces.adapter",
    "MethodConfig": "mdx.interfaces.adapter",
    "Prediction": "mdx.interfaces.adapter",
    "Reference": "mdx.interfaces.adapter",
    "Batch": "mdx.interfaces.batch",
    "Case": "mdx.interfaces.cases",
    "Dataset": "mdx.interfaces.dataset",
    "Sample": "mdx.interfaces.cases",
    "Task": "mdx.interfaces.cases",
    "Evaluator": "mdx.interfaces.evaluator",
    "Model": "mdx.interfaces.model",
    "OwnNetwork": "mdx.interfaces.own_network",
    "Weights": "mdx.interfaces.weights",
    "hookimpl": "mdx.plugins.hooks",
    "compare": "mdx.report.comparison",
    "load_run": "mdx.runs.loading",
    "reproduce": "mdx.sweeps.reproduction",
    "sweep": "mdx.sweeps.sweep",
    "Loader": "mdx.training.loader",
    "Outputs": "mdx.training.outputs",
    "Run": "mdx.training.run",
    "Epoch": "mdx.training.stages",
    "run": "mdx.sweeps.folds",
}

__all__ = [
    "Adapter", "Batch", "Case", "Dataset", "Epoch", "Evaluator", "Loader", "MethodConfig", "Model", "Outputs",
    "OwnNetwork", "Prediction", "Reference", "Run", "Sample", "Settings", "Task", "Weights", "compare",
    "hookimpl", "load_run", "read_image", "reproduce", "run", "sweep",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'mdx' has no attribute '{name}'")
