"""A stop is a stop: SIGTERM, and a queue's SIGUSR1, end the process with exit code 75 whatever it is doing.

The signal becomes an exception. Files are replaced whole, so that what was finished stays and the rest is made again
when the run is resumed, as after a ``kill -9``. Python drops an exception that is raised inside a destructor or a
callback; therefore a timer raises it again until somebody has heard it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

NUMBERS = tuple(number for name in ("SIGTERM", "SIGUSR1") if (number := getattr(signal, name, None)) is not None)
AGAIN_S = 1.0


class StopSignal(BaseException):
    """The process was asked to stop. No ``except Exception`` on the way holds it up."""

    exit_code = 75


class _State:
    process: int = 0  # which has asked to be told; children inherit handlers, and end as they otherwise would
    asked = False
    asked_in: int = 0
    directory: Path | None = None
    several: bool = False


_state = _State()


def listen() -> None:
    """From now on a signal to stop raises ``StopSignal`` in this process; does nothing outside its main thread."""
    if threading.current_thread() is not threading.main_thread():
        return
    _state.process, _state.asked = os.getpid(), False
    for number in NUMBERS:
        signal.signal(number, _heard)
    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, _heard)


@contextmanager
def listening() -> Iterator[None]:
    """Listen for the time of a block, unless this process does already."""
    if _state.process == os.getpid() or threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers: list[Any] = [*NUMBERS, *([signal.SIGALRM] if hasattr(signal, "SIGALRM") else [])]
    before = {number: signal.getsignal(number) for number in numbers}
    listen()
    try:
        yield
    finally:
        _state.process = 0
        for number, handler in before.items():
            signal.signal(number, handler)


def _heard(number: int, frame: FrameType | None) -> None:
    if os.getpid() != _state.process:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return
    if number in NUMBERS:
        if _state.asked:
            return  # it is on its way
        _state.asked, _state.asked_in = True, os.getpid()
    if _state.asked:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
        raise StopSignal


def acknowledge() -> None:
    """The exception has arrived: it need not be raised again."""
    if _state.asked and hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)


def asked() -> bool:
    """Whether this process was asked to stop: what goes wrong afterwards is the stop, in whatever it was raised."""
    return _state.asked and _state.asked_in == os.getpid()


def forget() -> None:
    """The command has ended; another one of this process was not asked to stop."""
    _state.asked = False


def ignore() -> None:
    """From now on a signal to stop does nothing: all is done, and the interpreter's own end takes a second or two."""
    if _state.process == os.getpid():
        acknowledge()  # the timer of one that nobody has heard would end the process
        _state.process = 0
        for number in (*NUMBERS, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)


def check() -> None:
    """Raise ``StopSignal`` if this process was asked to stop."""
    if asked() and _state.process == os.getpid():
        raise StopSignal


def working_on(directory: Path | None) -> None:
    """Say which run the process is at, for the message of a stop."""
    _state.directory = directory


@contextmanager
def one_of_several() -> Iterator[None]:
    """For the time of a block the runs are parts of one command, which goes on where it is given again."""
    _state.several = True
    try:
        yield
    except BaseException as error:
        if not isinstance(error, (StopSignal, KeyboardInterrupt)):
            _state.several = False
        raise
    _state.several = False


def message() -> str:
    """What a stopped command says: that nothing is lost, and the command that goes on."""
    if _state.directory is None or not (_state.directory / "provenance.json").exists():
        return "stopped before a run had begun\n  -> give the same command again"
    if _state.several:
        _state.several = False
        return "stopped; what was finished is kept\n  -> go on with the same command"
    return f"stopped; what was finished is kept\n  -> go on with: mdx resume {_state.directory}"
