"""What a run writes down while it goes: metrics.jsonl and log.txt."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from mdx import console
from mdx.files import cannot_write, plain, write_atomically


class Journal:
    """The text side of a run directory. Only rank 0 of several processes writes."""

    def __init__(self, directory: Path, writes: bool = True, stream: TextIO | None = None) -> None:
        self.metrics_path = directory / "metrics.jsonl"
        self.log_path = directory / "log.txt"
        self.writes = writes
        self.stream = stream

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
        if self.stream is None:
            console.note(text)
        else:
            self.stream.write(f"{text}\n")
            self.stream.flush()


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
