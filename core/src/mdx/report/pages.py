"""Pages: one HTML file each, without scripts, links to other files, or names of folders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mdx.files import write_atomically

TEMPLATES = Path(__file__).parent / "templates"


def write_page(path: Path, template: str, context: Mapping[str, Any], folder: Path = TEMPLATES) -> Path:
    """Fill a template of ``folder``, which may extend those of core, and put the page in place; its path."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([folder, TEMPLATES]), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    write_atomically(path, environment.get_template(template).render(context))
    return path


def without_folders(text: str) -> str:
    """Paths in ``text`` by their last part: a page is sent to people who should not see folders' names."""
    return re.sub(r"[^=:,]*[/\\](?=[^/\\])", "", text)
