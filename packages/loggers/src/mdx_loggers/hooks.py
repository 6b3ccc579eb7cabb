"""What a run tells its observers, as curves of TensorBoard."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdx.plugins.hooks import hookimpl

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

_writers: list[SummaryWriter] = []
"""That of the method that is being run; none where nobody has asked for curves."""


def asked() -> bool:
    """Whether this process writes curves: the first of a run, where ``MDX_LOGGERS`` names TensorBoard."""
    first = (os.environ.get("RANK") or "0") == "0"
    return first and "tensorboard" in os.environ.get("MDX_LOGGERS", "").split(",")


def _close() -> None:
    while _writers:
        _writers.pop().close()


@hookimpl
def mdx_run_started(directory: Path, config: Mapping[str, Any]) -> None:
    """Begin a folder; a run that goes on adds a file to it, which TensorBoard reads as one."""
    _close()
    if asked():
        from tensorboardX import SummaryWriter

        _writers.append(SummaryWriter(str(directory / "tensorboard")))


@hookimpl
def mdx_step(stage: str, step: int, losses: Mapping[str, float]) -> None:
    """Losses against the optimiser's steps."""
    for writer in _writers:
        for name, value in losses.items():
            writer.add_scalar(f"steps/{name}", value, step)


@hookimpl
def mdx_metrics(stage: str, epoch: int, metrics: Mapping[str, float]) -> None:
    """Metrics against the epochs of their stage."""
    for writer in _writers:
        for name, value in metrics.items():
            writer.add_scalar(f"{stage}/{name}", value, epoch)
        writer.flush()


@hookimpl
def mdx_run_finished(directory: Path, summary: Sequence[Mapping[str, Any]]) -> None:
    """The means of the test cases, by site."""
    for writer in _writers:
        for row in summary:
            if row["mean"] is not None:
                writer.add_scalar(f"test_{row['metric']}/{row['group'].replace('=', '_')}", row["mean"], 0)
    _close()


@hookimpl
def mdx_run_failed(directory: Path, error: BaseException) -> None:
    """What was written so far is kept."""
    _close()
