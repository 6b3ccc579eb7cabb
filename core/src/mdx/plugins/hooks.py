"""What happens when: the hooks of mdx, all on this page.

A module named in a manifest's ``hooks`` implements any of them with ``mdx.plugins.hooks.hookimpl``.
Observers (from ``mdx_run_started`` on) are told what happened and may not change it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from torch.optim import Optimizer

    from mdx.interfaces.adapter import Prediction
    from mdx.interfaces.dataset import Case, Dataset, Task
    from mdx.interfaces.evaluator import Evaluator
    from mdx.interfaces.geometry import FileLayout

hookspec = pluggy.HookspecMarker("mdx")
hookimpl = pluggy.HookimplMarker("mdx")


class Hooks:
    """The hook specifications."""

    @hookspec(firstresult=True)
    def mdx_open_dataset(self, scheme: str, rest: str, config: Any) -> Dataset | None:
        """Open ``scheme:rest``; None if the scheme is not yours."""

    @hookspec(firstresult=True)
    def mdx_read_image(self, path: Path) -> tuple[np.ndarray, FileLayout] | None:
        """Read a file whose format mdx does not know: (C, *spatial) in the file's own order, and how it lies in space.

        None if the format is not yours. ``layout.suffix`` is what predictions for it are written as.
        """

    @hookspec(firstresult=True)
    def mdx_write_image(self, path: Path, values: np.ndarray, layout: FileLayout | None) -> bool | None:
        """Write (C, *spatial), ordered as the file with ``layout``, to ``path``; None if the suffix is not yours."""

    @hookspec
    def mdx_image_suffixes(self) -> Sequence[str]:
        """Suffixes that your ``mdx_read_image`` reads, such as ``.nrrd``, so that folders can be searched for them."""
        return ()

    @hookspec(firstresult=True)
    def mdx_make_optimizer(self, name: str, params: Any, options: Mapping[str, Any]) -> Optimizer | None:
        """Make the optimiser called ``name``, or None."""

    @hookspec
    def mdx_evaluators(self, task: Task) -> Sequence[Evaluator]:
        """More evaluators for a task."""
        return ()

    @hookspec
    def mdx_report_sections(self, directory: Path) -> Sequence[tuple[str, str]]:
        """More sections of the report: (title, HTML)."""
        return ()

    @hookspec
    def mdx_doctor(self) -> Sequence[tuple[str, bool, str]]:
        """Checks of the installation: (what, fine, detail)."""
        return ()

    @hookspec
    def mdx_run_started(self, directory: Path, config: Mapping[str, Any]) -> None:
        """A run has claimed its directory."""

    @hookspec
    def mdx_run_finished(self, directory: Path, summary: Sequence[Mapping[str, Any]]) -> None:
        """A run has written ``done``."""

    @hookspec
    def mdx_run_failed(self, directory: Path, error: BaseException) -> None:
        """A run has ended with an error, or was stopped."""

    @hookspec
    def mdx_stage_started(self, stage: str, epochs: int) -> None:
        """The first epoch of a stage is about to run."""

    @hookspec
    def mdx_stage_finished(self, stage: str) -> None:
        """A stage has ended and its checkpoint is written."""

    @hookspec
    def mdx_step(self, stage: str, step: int, losses: Mapping[str, float]) -> None:
        """Losses were logged at an optimiser step."""

    @hookspec
    def mdx_metrics(self, stage: str, epoch: int, metrics: Mapping[str, float]) -> None:
        """An epoch's metrics were logged."""

    @hookspec
    def mdx_checkpoint_saved(self, path: Path) -> None:
        """A checkpoint was written."""

    @hookspec
    def mdx_case_predicted(self, case: Case, prediction: Prediction) -> None:
        """A test case was predicted."""
