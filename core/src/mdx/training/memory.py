"""How much memory a process has taken at the most."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

OF_PROCESS, OF_GPU = "peak_memory_bytes", "peak_gpu_memory_bytes"


def peak_of_process() -> int:
    """The largest resident set of this process since it began, in bytes."""
    try:  # what a process was before it became this program is not in it, other than in getrusage
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration, ValueError):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def begin_gpu_peak() -> None:
    """What is measured of the GPU begins here."""
    import torch

    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()


def peaks(before: Mapping[str, Any]) -> dict[str, int]:
    """What ``timings.json`` keeps: the highest of this process and of those before it that wrote ``before``."""
    import torch

    found = {OF_PROCESS: peak_of_process()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        found[OF_GPU] = torch.cuda.max_memory_allocated()
    return {name: max(value, int(before.get(name, 0))) for name, value in found.items()}
