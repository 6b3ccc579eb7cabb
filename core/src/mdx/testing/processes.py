"""Runs in processes of their own: killed where a test says, or two of one run with gloo.

They are forked from a server that has imported everything once, so that a process costs no import of torch.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mdx.config import RunSettings
from mdx.plugins.hooks import hookimpl
from mdx.runs.checkpoint import load_tree, save_tree
from mdx.training.device import Place, take_place
from mdx.training.run import Run
from mdx.training.stages import Epoch, Monitor

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

PRELOADED = ["mdx.testing.processes", "mdx.cli.app", "mdx.workflow.execution"]


def in_new_processes(*works: Callable[[], None]) -> list[int]:
    """The exit codes of these functions, each in a process of its own; when one fails, the others are ended.

    A function must lie in a module that a fresh process can import.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    processes: list[BaseProcess] = [context.Process(target=work) for work in works]
    for process in processes:
        process.start()
    waiting = list(processes)
    while waiting:
        wait([process.sentinel for process in waiting])
        waiting = [process for process in waiting if process.is_alive()]
        if any(process.exitcode not in (None, 0) for process in processes):
            for process in waiting:  # it would wait for the one that has failed
                process.kill()
    for process in processes:
        process.join()
    return [int(process.exitcode or 0) for process in processes]


# --- killed ----------------------------------------------------------------------------------------------------------


def run_and_be_killed(words: Sequence[str], at_step: int) -> None:
    """Give a command line in a new process, which is killed before its step ``at_step``, or at the end of ``fit``.

    Raises AssertionError where the process has ended otherwise.
    """
    (code,) = in_new_processes(partial(_be_killed, list(words), at_step, dict(os.environ)))
    assert code == -signal.SIGKILL, f"exit code {code}: the process was meant to be killed at step {at_step}"


def _be_killed(words: list[str], at_step: int, environment: Mapping[str, str]) -> None:
    step = Run.step

    def die(run: Run) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def step_or_die(run: Run, *args: Any, **options: Any) -> None:
        if run.steps >= at_step:
            die(run)
        step(run, *args, **options)

    setattr(Run, "step", step_or_die)  # noqa: B010 - the process is this function's own
    setattr(Run, "finish", die)  # noqa: B010
    os.environ |= environment
    _run(words)


def _run(words: list[str]) -> None:
    """The command line in this process, which then ends with its exit code."""
    from mdx.cli.app import run_cli

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    code = run_cli(words)
    sys.stdout.flush()
    sys.exit(code)


# --- two of one run --------------------------------------------------------------------------------------------------


def two_processes(work: Callable[[int, int, str], None], folder: Path) -> list[dict[str, Any]]:
    """What ``work(rank, port, folder)`` left in each of two processes. It lies in a module that both can import."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    codes = in_new_processes(*(partial(work, rank, port, str(folder)) for rank in (0, 1)))
    assert codes == [0, 0]
    return [load_tree(folder / f"rank{rank}.safetensors") for rank in (0, 1)]


def run_as_one_of_two(words: Sequence[str], environment: Mapping[str, str], rank: int, port: int, folder: str) -> None:
    """One of two processes that carry out one command line; it leaves its networks, steps and monitored values."""
    os.environ |= environment
    _launched(rank, port)
    update, finish, seen = Monitor.update, Run.finish, list[float]()

    def update_and_note(monitor: Monitor, epoch: Epoch) -> bool:
        seen.extend([epoch.metrics[monitor.name]] if monitor.name in epoch.metrics else [])
        return update(monitor, epoch)

    def finish_and_leave(run: Run) -> None:
        finish(run)
        leave(run, rank, folder, steps=run.steps, monitored=seen)

    setattr(Monitor, "update", update_and_note)  # noqa: B010 - the process is this function's own
    setattr(Run, "finish", finish_and_leave)  # noqa: B010
    _run(list(words))


def in_two_processes(words: Sequence[str], folder: Path) -> list[dict[str, Any]]:
    """What each of two processes of one command line leaves: ``model``, ``steps`` and ``monitored``."""
    return two_processes(partial(run_as_one_of_two, list(words), dict(os.environ)), folder)


def _launched(rank: int, port: int) -> None:
    """Tell this process that it is one of two, as torchrun would have."""
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "test",
    }  # fmt: skip


def place_of(rank: int, port: int) -> Place:
    """The place of one of the two."""
    _launched(rank, port)
    torch.set_num_threads(1)
    return take_place(RunSettings.model_validate({"device": "cpu", "processes": 2}))


class Watch:
    """Notes what a process monitors."""

    def __init__(self, run: Run, metric: str) -> None:
        self.metric, self.seen = metric, list[float]()
        run.hooks.register(self, "watch")

    @hookimpl
    def mdx_metrics(self, metrics: Mapping[str, float]) -> None:
        """Note the value of an epoch."""
        self.seen.append(metrics[self.metric])


def leave(run: Run, rank: int, folder: str, **more: Any) -> None:
    """Save the networks of a process, and more."""
    save_tree(Path(folder) / f"rank{rank}.safetensors", {"model": dict(run.model.state_dict()), **more})


def assert_one_training(first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
    """Both took the same steps, monitored the same values and ended with the same networks."""
    assert first["steps"] == second["steps"]
    assert first["monitored"] == second["monitored"], "each would keep the weights of another epoch"
    assert first["model"].keys() == second["model"].keys()
    for name, tensor in first["model"].items():
        assert torch.equal(tensor, second["model"][name]), name
