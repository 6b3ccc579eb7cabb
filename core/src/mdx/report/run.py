"""The page of a run."""

from __future__ import annotations

from html import escape
from pathlib import Path

from mdx.files import write_atomically
from mdx.report.text import summary_table


def write_report(directory: Path) -> Path:
    """report.html of a run directory."""
    path = directory / "report.html"
    write_atomically(path, f"<!doctype html><pre>{escape(str(summary_table(directory)))}</pre>")
    return path
