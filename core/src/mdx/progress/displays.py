"""How progress is shown: one live bar on a terminal, a line now and then in a pipe, or not at all."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from mdx import console
from mdx.progress.now import Now

if TYPE_CHECKING:
    from rich.progress import Progress

PIPED_INTERVAL_S = 20.0
TERMINAL_INTERVAL_S = 0.25


class Display(Protocol):
    """Shows what a command is at."""

    interval: float
    """Seconds between two looks at it."""

    def show(self, now: Now, share: float | None, changed: bool) -> None:
        """Show it; ``share`` of the phase is done, where that is known; ``changed``: it is another phase."""
        ...

    def close(self) -> None:
        """End, and leave the screen as it was."""
        ...


def display() -> Display:
    """What fits where stderr goes to."""
    if console.level() == "quiet":
        return Nothing()
    if sys.stderr.isatty() and os.environ.get("TERM", "") not in ("dumb", ""):
        return Bar()
    return Lines()


class Nothing:
    """For ``-q``."""

    interval = float("inf")

    def show(self, now: Now, share: float | None, changed: bool) -> None:
        """Not shown."""

    def close(self) -> None:
        """Nothing is open."""


class Lines:
    """Plain lines: one at each change of phase, and one every 20 s."""

    interval = PIPED_INTERVAL_S

    def __init__(self) -> None:
        self._last = ""

    def show(self, now: Now, share: float | None, changed: bool) -> None:
        """Write a line, unless it would be the last one again."""
        line = now.line()
        if line and line != self._last:
            self._last = line
            with suppress(OSError, ValueError):  # whoever read it has gone
                sys.stderr.write(f"{line}\n")
                sys.stderr.flush()

    def close(self) -> None:
        """Nothing is open."""


class Bar:
    """One line of ``rich`` at the bottom of the terminal; what else is written to stderr scrolls above it.

    It has no thread of its own: a process that trains may fork.
    """

    interval = TERMINAL_INTERVAL_S

    def __init__(self) -> None:
        self._bar: Progress | None = None

    def show(self, now: Now, share: float | None, changed: bool) -> None:
        """Draw it anew."""
        counted = f"{now.method} {now.index}/{now.methods}" if now.methods > 1 else now.method
        words = " · ".join(filter(None, [counted, now.phase, *now.parts]))
        began = self._bar is not None
        self._bar = self._bar or _bar()
        self._bar.update(
            self._bar.task_ids[0], description=words, left=now.left, completed=100 * (share or 0),
            total=None if share is None else 100,
        )  # fmt: skip
        if began:
            self._bar.refresh()
        else:
            self._bar.start()

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    made = Progress(
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
        BarColumn(bar_width=12),
        TextColumn("{task.fields[left]}", markup=False, table_column=Column(no_wrap=True)),
        console=Console(stderr=True), transient=True, auto_refresh=False, redirect_stdout=False,
    )  # fmt: skip
    made.add_task("", total=None, left="")
    return made
