"""What a run writes down while it goes: metrics.jsonl, log.txt and the progress line."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from mdx.files import cannot_write, plain, write_atomically

PIPED_INTERVAL_S = 20.0
TERMINAL_INTERVAL_S = 0.2


class Journal:
    """The text side of a run directory. Only rank 0 of several processes writes."""

    def __init__(self, directory: Path, writes: bool = True, stream: TextIO | None = None) -> None:
        self.metrics_path = directory / "metrics.jsonl"
        self.log_path = directory / "log.txt"
        self.writes = writes
        self.stream = stream
        self._shown = 0.0
        self._line_open = False

    def metrics(self, row: dict[str, Any]) -> None:
        """Append one row to metrics.jsonl."""
        if self.writes:
            _append(self.metrics_path, json.dumps(plain(row)))

    def forget_epochs(self, stage: str, first: int) -> None:
        """Drop rows of epochs that will be run again."""
        if self.writes:
            kept = [r for r in rows_of(self.metrics_path) if r.get("stage") != stage or r.get("epoch", -1) < first]
            _write_rows(self.metrics_path, kept)

    def replace_rows(self, path: Path, tags: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
        """Let ``rows`` be those that ``path`` (JSON lines) has with these values of these keys."""
        if self.writes:
            others = [row for row in rows_of(path) if any(row.get(key) != value for key, value in tags.items())]
            _write_rows(path, [*others, *rows])

    def say(self, text: str) -> None:
        """A line for the user and for log.txt."""
        if not self.writes:
            return
        _append(self.log_path, f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}")
        stream = self.stream or sys.stderr
        if self._line_open:
            stream.write("\r\033[K")
            self._line_open = False
        stream.write(f"{text}\n")
        stream.flush()

    def progress(self, text: str, done: int, total: int | None, started: float, first: bool = False) -> None:
        """Show where a loop stands: one line rewritten on a terminal, now and then a line in a pipe."""
        if not self.writes:
            return
        stream = self.stream or sys.stderr
        terminal = stream.isatty()
        now = time.monotonic()
        if not first and now - self._shown < (TERMINAL_INTERVAL_S if terminal else PIPED_INTERVAL_S):
            return
        self._shown = now
        left = ""
        if total and done:
            left = f", about {_clock((now - started) / done * (total - done))} left"
        line = f"{text} {done}/{total}{left}" if total else f"{text} {done}"
        if terminal:
            stream.write(f"\r\033[K{line}")
            self._line_open = True
        else:
            stream.write(f"{line}\n")
        stream.flush()

    def close_line(self) -> None:
        """End a progress line that is still open."""
        if self._line_open:
            (self.stream or sys.stderr).write("\r\033[K")
            self._line_open = False


def _append(path: Path, line: str) -> None:
    """Raises ResourceError where the disk is full or the run's directory has gone."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError as error:
        raise cannot_write(path, error) from error


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines; the last line of a killed process may be cut off, and is left out."""
    found: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        with suppress(json.JSONDecodeError):
            found.append(json.loads(line))
    return found


def _write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    write_atomically(path, "".join(f"{json.dumps(plain(row))}\n" for row in rows))


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
