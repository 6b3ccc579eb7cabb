"""Pages: one HTML file each that needs no other file, without names of folders."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mdx.files import write_atomically

TEMPLATES = Path(__file__).parent / "templates"
CONTENTS = "<!-- contents -->"
"""Where a template wants the list of its headings."""
FEWEST_HEADINGS = 3


def write_page(path: Path, template: str, context: Mapping[str, Any], folder: Path = TEMPLATES) -> Path:
    """Fill a template of ``folder``, which may extend those of core, and put the page in place; its path."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([folder, TEMPLATES]), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    write_atomically(path, with_contents(environment.get_template(template).render(context)))
    return path


def with_contents(page: str) -> str:
    """The page with a place to jump to before each ``<h2>``, and their list where ``CONTENTS`` stands."""
    if CONTENTS not in page:
        return page
    names: dict[str, str] = {}

    def marked(found: re.Match[str]) -> str:
        title = html.unescape(re.sub(r"<[^>]+>", "", found[1])).strip()
        base = re.sub(r"\W+", "-", title.lower()).strip("-") or "part"
        name, n = base, 1
        while name in names:
            name, n = f"{base}-{n + 1}", n + 1
        names[name] = title
        return f'<a class="place" id="{name}"></a>{found[0]}'

    page = re.sub(r"<h2>(.*?)</h2>", marked, page, flags=re.DOTALL)
    links = "".join(f'<li><a href="#{name}">{html.escape(title)}</a></li>' for name, title in names.items())
    listed = f'<nav class="contents" aria-label="Contents"><ul>{links}</ul></nav>'
    return page.replace(CONTENTS, listed if len(names) >= FEWEST_HEADINGS else "", 1)


def names_as_code(text: str, names: Iterable[str]) -> Any:
    """``text`` as HTML, with each of ``names`` that stands in single quotes set as code: no name reads as a word."""
    from markupsafe import Markup, escape

    made = str(escape(text))
    for name in names:
        made = made.replace(str(escape(f"'{name}'")), f"<code>{escape(name)}</code>")
    return Markup(made)


def data_uri(content: bytes, kind: str) -> str:
    """A picture (``kind`` png or jpeg) as a data URI, so that a page is one file."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def without_folders(text: str) -> str:
    """Paths in ``text`` by their last part: a page is sent to people who should not see folders' names."""
    return re.sub(r"[^=:,]*[/\\](?=[^/\\])", "", text)
