"""Worker processes that carry out jobs, each one job after the other.

A worker takes several runs, so that libraries are imported once. It is a program of its own (``mdx.sweeps.worker``)
rather than a forked or spawned copy of the caller: it works from notebooks and from scripts without a main guard, and
never copies a process that already runs torch's threads.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from mdx.data.files.facts import cores
from mdx.errors import StoppedError
from mdx.sweeps.jobs import Job, turns

FINISHED = ("done", "found")
PATIENCE = 60.0  # seconds that a run may take to reach its next step and save, once it is asked to stop


@dataclass(frozen=True)
class Outcome:
    """How a job ended: ``done``, ``found`` (it had been finished before), ``stopped``, ``failed`` or ``killed``."""

    state: str
    directory: str = ""
    seconds: float = 0.0
    message: str = ""
    exit_code: int = 0

    @property
    def reason(self) -> str:
        """The first line of the message."""
        return self.message.partition("\n")[0]


Tell = Callable[[int, str, Outcome | None], None]
"""Called with the index of a job, ``started`` or how it ended, and the outcome."""


def run_all(
    jobs: Sequence[Job], out: Path, count: int, logs: Path, tell: Tell, threads: int | None = None
) -> list[Outcome]:
    """Carry out ``jobs`` in ``count`` processes; an outcome for each, in their order.

    Each process has ``threads``, or its share of the cores, and one GPU where there are some. One failure stops no
    other job. Ctrl-C and SIGTERM stop the running jobs, so that the same command goes on; then StoppedError is raised
    (exit code 130 or 75).
    """
    count = max(1, min(count, len(jobs)))
    threads = threads or max(1, cores() // count)
    gpus = _gpus()
    logs.mkdir(parents=True, exist_ok=True)
    waiting = turns(jobs)
    outcomes: dict[int, Outcome] = {}
    with _Stop() as stop:
        workers = [_Worker(out, threads, gpus[i % len(gpus)] if gpus else None, logs) for i in range(count)]
        try:
            while (waiting and not stop.asked) or any(w.index is not None for w in workers):
                for worker in workers:
                    if worker.index is None and waiting and not stop.asked:
                        index = waiting.pop(0)
                        worker.give(index, jobs[index])
                        tell(index, "started", None)
                busy = [w for w in workers if w.index is not None]
                for ready in wait([w.pipe for w in busy], timeout=0.5):
                    index, outcome = next(w for w in busy if w.pipe is ready).take(stop.asked)
                    outcomes[index] = outcome
                    tell(index, outcome.state, outcome)
                if stop.asked and not stop.passed_on:
                    stop.passed_on = True
                    for worker in workers:
                        worker.process.terminate()  # a run stops at its next step and can be resumed
        finally:
            for worker in workers:
                worker.close()
    if stop.asked:
        ended = sum(outcome.state != "stopped" for outcome in outcomes.values())
        error = StoppedError(
            f"stopped by {stop.name}; {ended} of {len(jobs)} runs had ended", "the same command goes on with the rest"
        )
        error.exit_code = 130 if stop.name == "SIGINT" else error.exit_code
        raise error
    return [outcomes[i] for i in range(len(jobs))]


class _Worker:
    """A process, and the index of the job that it has."""

    def __init__(self, out: Path, threads: int, gpu: str | None, logs: Path) -> None:
        self.arguments = [str(out), str(threads), str(logs)]
        self.environment = {
            **os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads),
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), **({"CUDA_VISIBLE_DEVICES": gpu} if gpu else {}),
        }  # fmt: skip
        self.index: int | None = None
        self._start()

    def _start(self) -> None:
        self.pipe, theirs = Pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "mdx.sweeps.worker", str(theirs.fileno()), *self.arguments],
            stdin=subprocess.PIPE,  # its end tells the worker that the sweep has gone
            pass_fds=[theirs.fileno()], env=self.environment, start_new_session=True,  # Ctrl-C is ours to pass on
        )  # fmt: skip
        theirs.close()  # so that the worker's death is the end of the pipe

    def give(self, index: int, job: Job) -> None:
        if self.process.poll() is not None:
            self.close()
            self._start()
        self.index = index
        self.pipe.send(job)

    def take(self, stopping: bool) -> tuple[int, Outcome]:
        """The outcome of the job; of one whose process died, ``killed``, or ``stopped`` when it was to."""
        assert self.index is not None  # asked only of a busy worker
        index, self.index = self.index, None
        try:
            return index, self.pipe.recv()
        except (EOFError, OSError):
            code = self.process.wait()
            if stopping:
                return index, Outcome("stopped", exit_code=75)
            name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            return index, Outcome("killed", message=f"its process ended with {name}", exit_code=6)

    def close(self) -> None:
        """Let the process go: it ends, or stops its run, when its pipes close."""
        self.pipe.close()
        assert self.process.stdin is not None  # opened as a pipe
        self.process.stdin.close()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class _Stop:
    """SIGINT and SIGTERM as a question that the loop asks; a second one raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self.asked, self.passed_on, self.name, self.since = False, False, "", 0.0
        self.before: dict[int, Any] = {}

    def __enter__(self) -> _Stop:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.before[number] = signal.signal(number, self._ask)
        return self

    def _ask(self, number: int, frame: object) -> None:
        if self.asked and time.monotonic() - self.since > 1.0:  # one kill may reach us twice, as a group and by name
            raise KeyboardInterrupt
        self.asked, self.name, self.since = True, signal.Signals(number).name, time.monotonic()

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)


def _gpus() -> list[str]:
    """The GPUs that jobs may use: what ``CUDA_VISIBLE_DEVICES`` names, else all that the driver shows."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip()]
    return sorted(path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*"))
