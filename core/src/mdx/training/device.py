"""From the words of the command line to a device, a precision and a process group."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from mdx.config import RunSettings
from mdx.errors import ResourceError

if TYPE_CHECKING:
    import torch
    from lightning_fabric import Fabric


_default_threads: list[int] = []


def threads_of(settings: RunSettings) -> int:
    """The threads that a run computes with: those asked for, or torch's own number when the process began.

    Sums of floats depend on their number, and so do scores.
    """
    import torch

    if not _default_threads:
        _default_threads.append(torch.get_num_threads())
    return settings.threads or _default_threads[0]


def take_threads(count: int) -> None:
    """Let ``count`` be the number of threads where none is asked for: that of a run which is gone on with."""
    _default_threads[:] = [count]


def that_of_the_run(device: str) -> str:
    """The device that a run was made on, where this machine has it, else the CPU."""
    import torch

    if device in ("auto", "cuda") and torch.cuda.is_available():
        return "cuda"
    return "mps" if device in ("auto", "mps") and torch.backends.mps.is_available() else "cpu"


def check_device(settings: RunSettings) -> str:
    """The accelerator that ``settings`` mean. Raises ResourceError if this machine lacks it."""
    import torch

    accelerator = settings.device
    if accelerator == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if accelerator == "cuda" and not torch.cuda.is_available():
        raise ResourceError(
            "there is no CUDA device that torch can use",
            "use --device cpu, or look at 'mdx doctor' (driver, CUDA build of torch)",
        )
    if accelerator == "mps" and not torch.backends.mps.is_available():
        raise ResourceError("there is no Apple GPU that torch can use", "use --device cpu")
    return accelerator


def device_alone(settings: RunSettings) -> torch.device:
    """The device and threads of these settings for one process that trains nothing: Fabric takes a second to import."""
    import torch

    accelerator = check_device(settings)
    torch.set_num_threads(threads_of(settings))
    return torch.device("cpu") if accelerator == "cpu" else torch.device(accelerator, 0)


def make_fabric(settings: RunSettings) -> Fabric:
    """Lightning Fabric for these settings, launched. Raises ResourceError for a device that is not there."""
    import torch
    from lightning_fabric import Fabric

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it advises on matrix products at every start
    accelerator = check_device(settings)
    torch.set_num_threads(threads_of(settings))
    if settings.processes > 1 and "WORLD_SIZE" not in os.environ:
        raise ResourceError(
            f"run.processes={settings.processes} but this is a single process",
            f"start it with: torchrun --nproc-per-node {settings.processes} -m mdx run ...",
        )
    fabric = Fabric(
        accelerator=accelerator,
        devices=settings.processes,
        strategy="ddp" if settings.processes > 1 else "auto",
        precision=settings.precision,
    )
    fabric.launch()
    return fabric
