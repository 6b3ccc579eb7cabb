"""What the processes of one run must agree on: first weights, the gradients of each step, buffers after each epoch.

Gradients are averaged by hand rather than by wrapping networks in DistributedDataParallel: a step that moves only some
networks then needs no special care, and a bare parameter that no wrapped ``forward`` has seen is synchronised too.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, distributed

BUCKET_ELEMENTS = 8_000_000


def rank_of_launch() -> int:
    """This process's number among those that torchrun has started; 0 where it has not."""
    return int(os.environ.get("RANK", "0") or 0)


def leave_group() -> None:
    """End the process group, if there is one; its processes must not wait for each other when one has failed."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def average_gradients(params: Sequence[Tensor], world: int) -> None:
    """Replace each gradient by its mean over the processes; a parameter that no process used keeps None."""
    if world == 1:
        return
    used = torch.tensor([p.grad is not None for p in params], dtype=torch.int32, device=params[0].device)
    distributed.all_reduce(used, op=distributed.ReduceOp.MAX)
    wanted = [p for p, flag in zip(params, used.tolist(), strict=True) if flag]
    for p in wanted:
        if p.grad is None:
            p.grad = torch.zeros_like(p)
    bucket: list[Tensor] = []
    for i, p in enumerate(wanted):
        assert p.grad is not None
        bucket.append(p.grad)
        if i + 1 == len(wanted) or sum(g.numel() for g in bucket) >= BUCKET_ELEMENTS:
            _average(bucket, world)
            bucket = []


def _average(gradients: Sequence[Tensor], world: int) -> None:
    flat = torch.cat([g.flatten().float() for g in gradients])
    distributed.all_reduce(flat)
    flat /= world
    offset = 0
    for g in gradients:
        g.copy_(flat[offset : offset + g.numel()].view_as(g))
        offset += g.numel()


def broadcast(tensors: Iterable[Tensor], world: int) -> None:
    """Give every process the first one's tensors."""
    if world > 1:
        for tensor in tensors:
            distributed.broadcast(tensor.detach(), src=0)


def of_the_first(value: float, world: int, device: torch.device) -> float:
    """The first process's number: what is decided by it must not hang on a last digit that differs."""
    if world == 1:
        return value
    number = torch.tensor(value, dtype=torch.float64, device=device)
    distributed.broadcast(number, src=0)
    return float(number)


def barrier(world: int) -> None:
    """Wait for the others."""
    if world > 1:
        distributed.barrier()
