"""mdx: published methods for domain adaptation of medical images, run the same way on your own data.

The public names are loaded when they are first used, so that ``import mdx`` stays cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mdx.interfaces.adapter import Adapter, MethodConfig, Prediction, Reference
    from mdx.interfaces.dataset import Batch, Case, Dataset, Sample, Task
    from mdx.interfaces.evaluator import Evaluator
    from mdx.interfaces.model import Model
    from mdx.interfaces.weights import Weights
    from mdx.report.comparison import compare
    from mdx.runs.loading import load_run
    from mdx.runs.run import Run
    from mdx.sweeps.reproduction import reproduce
    from mdx.sweeps.sweep import sweep
    from mdx.workflow import run

__version__ = "0.1.0"

_HOME = {
    "Adapter": "mdx.interfaces.adapter",
    "MethodConfig": "mdx.interfaces.adapter",
    "Prediction": "mdx.interfaces.adapter",
    "Reference": "mdx.interfaces.adapter",
    "Batch": "mdx.interfaces.dataset",
    "Case": "mdx.interfaces.dataset",
    "Dataset": "mdx.interfaces.dataset",
    "Sample": "mdx.interfaces.dataset",
    "Task": "mdx.interfaces.dataset",
    "Evaluator": "mdx.interfaces.evaluator",
    "Model": "mdx.interfaces.model",
    "Weights": "mdx.interfaces.weights",
    "Run": "mdx.runs.run",
    "compare": "mdx.report.comparison",
    "load_run": "mdx.runs.loading",
    "reproduce": "mdx.sweeps.reproduction",
    "run": "mdx.workflow",
    "sweep": "mdx.sweeps.sweep",
}

__all__ = [
    "Adapter", "Batch", "Case", "Dataset", "Evaluator", "MethodConfig", "Model", "Prediction", "Reference", "Run",
    "Sample", "Task", "Weights", "compare", "load_run", "reproduce", "run", "sweep",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'mdx' has no attribute '{name}'")
