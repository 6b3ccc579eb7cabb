"""The table of all test cases below the scores of a run's page, and what is shown of each case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mdx.report.text import Method


def cases_of(directory: Path, methods: list[Method]) -> dict[str, Any]:
    """What ``cases.html.j2`` draws of a run's test cases; empty where there is nothing to show."""
    return {}
