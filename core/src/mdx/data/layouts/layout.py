"""Readers of folders: BIDS, plain folders, published collections. Each turns a folder into the rows of a table.

A plugin adds one in its manifest: ``[provides.layouts]``, ``cc359 = "mdx_fda.layouts:CC359"``. The name is also the
scheme of an address: ``mdx run fda --data cc359:/data/CC359``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

from mdx import console
from mdx.errors import DataError, PluginError, UsageError, nearest
from mdx.interfaces.dataset import Case

ONE_SITE = "site1"
BUILT_IN = {
    "bids": "mdx.data.layouts.bids:Bids",
    "folder": "mdx.data.layouts.folder:Folder",
    "ixi": "mdx.data.layouts.published:IXI",
    "msd": "mdx.data.layouts.published:Decathlon",
    "prostate": "mdx.data.layouts.published:Prostate",
}


@dataclass
class InitResult:
    """What was found in a folder, what was left out and why, and what the user may want to know."""

    cases: list[Case]
    skipped: list[tuple[str, str]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def reasons(self) -> str:
        """The commonest reasons for leaving something out, with how often."""
        counts = Counter(reason for _, reason in self.skipped)
        return "; ".join(f"{reason} ({n})" for reason, n in counts.most_common(3))


class Layout(Protocol):
    """A reader of one layout; made without arguments.

    Attributes:
        summary: one line that says what it reads.
        options: name -> meaning of what ``?name=value`` in an address, and nothing else, may set.
    """

    summary: str
    options: Mapping[str, str]

    def recognises(self, folder: Path) -> bool:
        """Whether ``folder`` is in this layout, from names alone; true only where another reading would lose facts."""
        ...

    def read(self, folder: Path, options: Mapping[str, str]) -> InitResult:
        """The cases with absolute paths; columns as texts. Raises DataError where there are none."""
        ...


def layouts() -> Mapping[str, Callable[[], Layout]]:
    """Name -> function that imports and makes the reader: those of working plugins and the built-in ones.

    A plugin cannot replace a built-in one.
    """
    from mdx.plugins.discovery import provided

    def own(target: str) -> Layout:
        module, _, attribute = target.partition(":")
        return getattr(import_module(module), attribute)()

    of_plugins = {name: lambda make=make: make()() for name, make in provided("layouts").items()}
    return {**of_plugins, **{name: lambda target=target: own(target) for name, target in BUILT_IN.items()}}


def recognise(folder: Path) -> str:
    """The name of the layout that ``folder`` is in: a published one, else ``bids``, else ``folder``.

    A reader of a plugin that fails is named and left out. Raises UsageError where several claim it.
    """
    known = layouts()
    claimed = [name for name in known if name not in ("folder", "bids") and _recognises(name, known[name], folder)]
    if len(claimed) > 1:
        raise UsageError(f"is in the layout of {' and of '.join(claimed)}", "choose one with --layout", folder)
    return claimed[0] if claimed else "bids" if known["bids"]().recognises(folder) else "folder"


def _recognises(name: str, make: Callable[[], Layout], folder: Path) -> bool:
    if name in BUILT_IN:
        return make().recognises(folder)
    try:
        return bool(make().recognises(folder))
    except (Exception, SystemExit) as error:  # somebody else's reader, asked about a folder that need not be its own
        what = error if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
        console.note(f"warning: the layout '{name}' of a plugin cannot be asked and is left out: {what}")
        return False


def read_layout(name: str, folder: Path, options: Mapping[str, str]) -> InitResult:
    """The cases of ``folder`` in the layout ``name``; ``none`` is a plain folder.

    Raises UsageError for an unknown layout and an unknown option.
    """
    known = layouts()
    name = "folder" if name == "none" else name
    if name not in known:
        raise UsageError(f"there is no layout '{name}'", nearest(name, known))
    reader = known[name]()
    wrong = [key for key in options if key not in reader.options]
    if wrong:
        raise UsageError(
            f"'{wrong[0]}' is no option of the layout {name}",
            f"{nearest(wrong[0], reader.options)} (its options: {', '.join(reader.options) or 'none'})", folder,
        )  # fmt: skip
    return reader.read(folder.absolute(), options)


def split_address(text: str) -> tuple[str, dict[str, str]]:
    """``/study?suffix=T1w,FLAIR&label=lesion`` as the path and its options; ``%26`` stands for ``&``."""
    path, mark, query = text.partition("?")
    if not mark or Path(text).exists():
        return text, {}
    options: dict[str, str] = {}
    for part in query.split("&"):
        key, equals, value = part.partition("=")
        if not equals:
            raise DataError(f"'{part}' is no option", "write key=value, joined with &", text)
        options[key] = unquote(value)
    return path, options
