"""The one place that knows what a command is at, and how long it may still take."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from mdx import console
from mdx.progress.displays import Display, display
from mdx.progress.heartbeat import Heartbeat
from mdx.progress.now import Now

T = TypeVar("T")
LOSS_INTERVAL_S = 1.0


class Teller:
    """Takes in what happens, and shows it when it is time.

    Args:
        shown: where to.
        clock: the time in seconds.
    """

    def __init__(self, shown: Display, clock: Callable[[], float] = time.monotonic) -> None:
        self.now, self.display, self.clock = Now(), shown, clock
        self.heartbeat: Heartbeat | None = None
        self._process = os.getpid()
        self._began = self._shown = clock()
        self._method_began: float | None = None
        self._loss_read = float("-inf")
        self._loss: Callable[[], float | None] = lambda: None
        self._measured: list[float] = []
        self._first_epoch, self._within = 1, 0.0

    def into(self, directory: Path) -> None:
        """From now on the run in ``directory`` has a heartbeat."""
        self.heartbeat = Heartbeat(directory)
        self._show(changed=True, aloud=False)

    def method(self, name: str, index: int, methods: int) -> None:
        """Method ``index`` of ``methods`` begins."""
        self._begin("")
        self.now.method, self.now.index, self.now.methods = name, index, methods
        self._method_began = self.clock()

    def method_ended(self, seconds: float | None = None) -> None:
        """The method has been scored; by processes before this one, if they have taken so many seconds."""
        spent = 0.0 if self._method_began is None else self.clock() - self._method_began
        self._measured.append(spent if seconds is None else seconds)
        self._method_began = None

    def phase(self, name: str, total: int | None = None, aloud: bool = True) -> None:
        """Another phase begins, of ``total`` parts where that is known; ``aloud``: it deserves a line in a pipe."""
        self._begin(name, total)
        if name:
            self._show(changed=True, aloud=aloud)

    def stage(self, name: str, epochs: int, first: int, loss: Callable[[], float | None]) -> None:
        """A stage of training begins with epoch ``first`` (from 1); ``loss`` reads the mean over the epoch so far."""
        self._begin(name)
        self._loss, self._first_epoch = loss, first
        self._set_epoch(first, epochs)
        self._show(changed=True)

    def epoch(self, number: int, epochs: int) -> None:
        """Epoch ``number`` of the stage begins."""
        self._set_epoch(number, epochs)
        self._show()

    def advance(self, done: int, total: int | None, unit: str = "") -> None:
        """So much of the epoch or of the phase is done."""
        self.now.done, self.now.total, self.now.unit = done, total, unit
        self._show()

    def close(self) -> None:
        """The command ends."""
        self._begin("")
        self.display.close()

    def _begin(self, phase: str, total: int | None = None) -> None:
        now = self.now
        if now.phase and phase != now.phase:
            console.detail(f"{now.phase}: {self.clock() - self._began:.1f} s")
        now.phase, now.epoch, now.epochs = phase, None, None
        now.done, now.total, now.unit = None if total is None else 0, total, ""
        now.loss, self._loss, self._began = None, lambda: None, self.clock()

    def _set_epoch(self, number: int, epochs: int) -> None:
        self.now.epoch, self.now.epochs, self._within = number, epochs, 0.0
        self.now.done, self.now.total, self.now.unit = None, None, ""

    @property
    def share(self) -> float | None:
        """How much of the phase is done; of a stage, of the epochs that this process trains. None: not known."""
        now = self.now
        part = now.done / now.total if now.done is not None and now.total else 0.0
        if now.epoch is None or now.epochs is None:
            return part if now.total else None
        if now.unit == "batch":
            self._within = max(self._within, min(part, 1.0))  # a second pass of an epoch does not turn it back
        return (now.epoch - 1 + self._within) / now.epochs

    def _left(self, at: float) -> tuple[float | None, bool]:
        """Seconds that are left, and whether they are those of the whole run."""
        now, share = self.now, self.share
        here = None
        if share:
            before = (self._first_epoch - 1) / now.epochs if now.epoch and now.epochs else 0.0
            here = (at - self._began) / (share - before) * (1 - share) if share > before else None
        if not self._measured or not now.methods:
            return here, False
        usual = sum(self._measured) / len(self._measured)
        of_method = 0.0 if self._method_began is None else usual - (at - self._method_began)
        this = max(of_method, here or 0.0)
        return this + usual * (now.methods - now.index), True

    def _show(self, changed: bool = False, aloud: bool = True) -> None:
        at = self.clock()
        beats = self.heartbeat is not None and (changed or self.heartbeat.due(at))
        shows = (changed and aloud) or at - self._shown >= self.display.interval
        if not (beats or shows) or os.getpid() != self._process:
            return
        if at - self._loss_read >= LOSS_INTERVAL_S:  # reading it waits for the device
            self._loss_read = at
            self.now.loss = self.now.loss if (loss := self._loss()) is None else loss
        share = self.share
        self.now.left_s, self.now.whole = self._left(at)
        if beats and self.heartbeat is not None:
            self.heartbeat.write(self.now, at)
        if shows:
            self._shown = at
            self.display.show(self.now, share, changed)


class _State:
    teller: Teller | None = None
    silent: bool = False


_state = _State()


@contextmanager
def telling(tells: bool = True) -> Iterator[Teller | None]:
    """Tell what happens in a block; in one within such a block it is told there. ``tells=False``: it is not told."""
    if _state.teller is not None or _state.silent:
        yield _state.teller
        return
    if not tells:
        _state.silent = True
        try:
            yield None
        finally:
            _state.silent = False
        return
    _state.teller = made = Teller(display())
    try:
        yield made
    finally:
        _state.teller = None
        made.close()


def current() -> Teller | None:
    """Who is told; None where nobody listens."""
    return _state.teller


def phase(name: str) -> None:
    """Say what begins now."""
    if _state.teller is not None:
        _state.teller.phase(name)


def each(items: Iterable[T], name: str, total: int | None = None, aloud: bool = True) -> Iterator[T]:
    """Pass ``items`` on and tell how far they are: as a phase of its own, or within the epoch that goes on.

    Args:
        total: how many there are, where ``items`` does not know.
        aloud: in a pipe it deserves a line when it begins.
    """
    if total is None and hasattr(items, "__len__"):
        total = len(items)  # type: ignore[arg-type]
    with telling() as teller:
        if teller is None:  # of a process that is not to tell anything
            yield from items
            return
        inside = teller.now.epoch is not None
        before = teller.now.done, teller.now.total, teller.now.unit
        if not inside:
            teller.phase(name, total, aloud)
        for done, item in enumerate(items):
            teller.advance(done, total, name if inside else "")
            yield item
        if inside:
            teller.now.done, teller.now.total, teller.now.unit = before
        else:
            teller.phase("")


def within(items: Iterable[T], unit: str, total: int | None) -> Iterator[T]:
    """Pass ``items`` on and tell how far they are within what goes on; not told where nothing does."""
    for done, item in enumerate(items):
        if _state.teller is not None:
            _state.teller.advance(done, total, unit)
        yield item


def measured(seconds: float | None) -> None:
    """A method has been scored, by processes before this one if they took so many seconds."""
    if _state.teller is not None:
        _state.teller.method_ended(seconds)


def finished() -> None:
    """The run is done: its heartbeat goes."""
    if _state.teller is not None and _state.teller.heartbeat is not None:
        _state.teller.heartbeat.remove()
        _state.teller.heartbeat = None
