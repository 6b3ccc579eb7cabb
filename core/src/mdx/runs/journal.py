"""What a run writes down while it goes: metrics.jsonl, log.txt and the progress line."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from mdx.files import plain, write_atomically

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
            with self.metrics_path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(plain(row)) + "\n")

    def forget_epochs(self, stage: str, first: int) -> None:
        """Drop rows of epochs that will be run again."""
        if not self.writes or not self.metrics_path.exists():
            return
        rows = []
        for line in self.metrics_path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue  # the last line of a killed process
            if row.get("stage") != stage or row.get("epoch", -1) < first:
                rows.append(line)
        write_atomically(self.metrics_path, "".join(f"{row}\n" for row in rows))

    def say(self, text: str) -> None:
        """A line for the user and for log.txt."""
        if not self.writes:
            return
        with self.log_path.open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
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


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
