"""Whose code failed: an error that nobody foresaw is told to those who can mend it."""

from __future__ import annotations

from pathlib import Path

from mdx.plugins.discovery import Plugin, discover

CORE = Path(__file__).resolve().parents[1]


def plugin_at_fault(error: BaseException) -> tuple[Plugin, str] | None:
    """The plugin whose code was the last of ours to run before ``error``, and the line; None where that was core's.

    Libraries below do not count: what they raise was caused by whoever called them.
    """
    folders = {p.manifest.folder.resolve(): p for p in discover().values() if p.manifest is not None}
    found: tuple[Plugin, str] | None = None
    trace = error.__traceback__
    while trace is not None:
        file = Path(trace.tb_frame.f_code.co_filename)
        plugin = next((p for folder, p in folders.items() if file.is_relative_to(folder)), None)
        if plugin is not None:
            found = plugin, f"{file.name} line {trace.tb_lineno}"
        elif file.is_relative_to(CORE):
            found = None
        trace = trace.tb_next
    return found
