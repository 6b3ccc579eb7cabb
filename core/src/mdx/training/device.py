"""From the words of the command line to a device, a precision and a process group."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mdx.config import RunSettings
from mdx.errors import ResourceError
from mdx.training import processes
from mdx.training.determinism import be_deterministic

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Place:
    """Where one process of a run computes.

    Attributes:
        rank: its number among the processes that train together, from 0.
        world: how many they are.
    """

    device: torch.device
    rank: int = 0
    world: int = 1


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
    """The device and threads of these settings for one process that works alone."""
    import torch

    accelerator = check_device(settings)
    torch.set_num_threads(threads_of(settings))
    return torch.device("cpu") if accelerator == "cpu" else torch.device(accelerator, 0)


def take_place(settings: RunSettings) -> Place:
    """This process's place, among those that torchrun has started where ``run.processes`` is above 1.

    Raises ResourceError for a device that is not there, and where other than ``run.processes`` were started.
    """
    import torch
    from torch import distributed

    device, wanted = device_alone(settings), settings.processes
    be_deterministic(settings.deterministic)
    if wanted == 1:
        return Place(device)
    started = int(os.environ.get("WORLD_SIZE") or 1)
    if started != wanted:
        raise ResourceError(
            f"run.processes={wanted} but this is {'a single process' if started == 1 else f'one of {started}'}",
            f"start it with: torchrun --nproc-per-node {wanted} -m mdx run ...",
        )
    if device.type == "cuda":
        local = int(os.environ.get("LOCAL_RANK") or 0)
        if local >= torch.cuda.device_count():
            raise ResourceError(
                f"{wanted} processes on {torch.cuda.device_count()} GPU(s)", "start one process a GPU (run.processes)"
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Place(device, processes.rank_of_launch(), wanted)
