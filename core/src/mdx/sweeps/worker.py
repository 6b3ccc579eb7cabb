"""A process that carries out runs of a sweep: ``python -m mdx.sweeps.worker PIPE OUT THREADS LOGS``.

Jobs come through the pipe and outcomes go back. What a run prints is in a log of its own. When the sweep is gone, the
standard input ends and the run stops at its next step.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

from mdx import stopping
from mdx.errors import MdxError, StoppedError
from mdx.runs.folders import HeldError
from mdx.sweeps.jobs import Job
from mdx.sweeps.pool import Outcome


def log_of(job: Job, logs: Path) -> Path:
    """Where a job's output goes."""
    return logs / (re.sub(r"[^\w.,+-]+", "_", job.name)[:150] + ".txt")


def main(pipe: Connection, out: Path, threads: int, logs: Path) -> None:
    """Carry out jobs from the pipe until it closes."""
    stopping.listen()
    threading.Thread(target=_stop_when_alone, daemon=True).start()
    while True:
        try:
            job: Job = pipe.recv()
            _print_into(log_of(job, logs))
            outcome = _carry_out(job, out, threads)
            sys.stdout.flush()
            pipe.send(outcome)
        except (EOFError, OSError, stopping.StopSignal):
            return  # the sweep has ended
        if outcome.state == "stopped":
            return


def _print_into(log: Path) -> None:
    """Both output streams to ``log``, also of libraries that do not print through Python."""
    with log.open("a", encoding="utf-8") as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())


def _stop_when_alone() -> None:
    os.read(0, 1)  # nothing is ever written: this returns when the other end is closed
    os.kill(os.getpid(), signal.SIGTERM)


def _carry_out(job: Job, out: Path, threads: int) -> Outcome:
    from mdx.workflow.execution import execute

    started = time.monotonic()

    def ended(state: str, directory: str = "", message: str = "", exit_code: int = 0) -> Outcome:
        return Outcome(state, directory, time.monotonic() - started, message, exit_code)

    try:
        plan = job.plan(threads)
        while True:
            try:
                result = execute(plan, out, command=job.command)
                return ended("found" if result.found else "done", result.directory.name)
            except HeldError as error:
                # another sweep has it, or what is left of one that was killed is about to stop: take it from there
                print(error.what, file=sys.stderr, flush=True)
                time.sleep(2)
    except (StoppedError, KeyboardInterrupt, stopping.StopSignal):
        stopping.acknowledge()
        return ended("stopped", exit_code=75)
    except MdxError as error:
        print(f"error: {error}", file=sys.stderr)
        return ended("failed", message=str(error), exit_code=error.exit_code)
    except MemoryError:
        return ended("failed", message="out of memory: use fewer jobs, a smaller batch or a smaller crop", exit_code=6)
    except Exception as error:
        traceback.print_exc()
        out_of_memory = type(error).__name__ == "OutOfMemoryError"  # of torch, which is not imported for its name
        return ended("failed", message=f"{type(error).__name__}: {error}", exit_code=6 if out_of_memory else 1)


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
