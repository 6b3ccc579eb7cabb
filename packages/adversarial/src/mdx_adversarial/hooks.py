"""What every run gets from this package: the site probe, where a method gives embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mdx.plugins.hooks import hookimpl

if TYPE_CHECKING:
    from mdx.interfaces.dataset import Task
    from mdx.interfaces.evaluator import Evaluator


@hookimpl
def mdx_evaluators(task: Task) -> Sequence[Evaluator]:
    """The site probe, for classes and numbers at several sites: these methods give embeddings."""
    from mdx.data.labels import label_of
    from mdx_adversarial.probe import SiteProbe

    return [SiteProbe()] if label_of(task).of_the_case and len(task.sites) > 1 else []
