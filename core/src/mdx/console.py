"""What is told on stderr while a command goes on, and how much of it: ``mdx -q`` and ``mdx -v``.

Results go to stdout and errors to stderr whatever the level is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

Level = Literal["quiet", "normal", "verbose"]


class _State:
    level: Level = "normal"


_state = _State()


def level() -> Level:
    """How much is told in this process."""
    return _state.level


@contextmanager
def telling_as(wanted: Level) -> Iterator[None]:
    """Tell so much for the time of a block."""
    before, _state.level = _state.level, wanted
    try:
        yield
    finally:
        _state.level = before


def note(text: str) -> None:
    """A line for the user: a note, a warning, what has begun."""
    if _state.level != "quiet":
        _write(text)


def detail(text: str) -> None:
    """A line for who asks for details: what was loaded, what was found in the cache, how long it took."""
    if _state.level == "verbose":
        _write(f"  . {text}")


def _write(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
