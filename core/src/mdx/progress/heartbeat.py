"""``progress.json``: what a run is at, for ``mdx runs`` and for whoever looks from outside."""

from __future__ import annotations

import json
import math
import os
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from mdx.errors import MdxError
from mdx.files import write_json
from mdx.progress.now import Now

FILE = "progress.json"
INTERVAL_S = 5.0
STUCK_S = 600.0
"""Without a sign for so long a running process is said to seem stuck."""


class Heartbeat:
    """Replaces the file of one run as a whole. It ends no run: a disk that is full is said by what matters."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE
        self._written = float("-inf")

    def due(self, at: float) -> bool:
        """Whether it is time."""
        return at - self._written >= INTERVAL_S

    def write(self, now: Now, at: float) -> None:
        """Replace it."""
        self._written = at
        known = {k: v for k, v in now.plain().items() if not isinstance(v, float) or math.isfinite(v)}
        facts = {**known, "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "pid": os.getpid()}
        with suppress(OSError, MdxError):
            write_json(self.path, facts)

    def remove(self) -> None:
        """The run is done."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def read_heartbeat(directory: Path) -> tuple[dict[str, Any], float] | None:
    """The last sign of a run and the seconds since; None where there is none, or none that can be read."""
    try:
        facts = json.loads((directory / FILE).read_text(encoding="utf-8"))
        now = Now(**{k: v for k, v in facts.items() if k in Now.__dataclass_fields__})
        age = (datetime.now().astimezone() - datetime.fromisoformat(facts["at"])).total_seconds()
        return {**facts, "line": now.line()}, max(age, 0.0)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
