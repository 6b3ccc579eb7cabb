"""What a check finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """What is wrong with a case (or a site, or the whole table), and what to do."""

    case: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.case}: {self.what}" + (f" -> {self.remedy}" if self.remedy else "")
