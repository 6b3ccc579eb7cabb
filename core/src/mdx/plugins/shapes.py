"""What a manifest may hold: each key with the kind of its value, so that a wrong one is named and never met later.

No validation library: this is read by every ``mdx list``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text_or_number(value: object) -> bool:
    return isinstance(value, str) or _number(value)


KINDS: Mapping[str, Callable[[object], bool]] = {
    "a text": lambda value: isinstance(value, str),
    "true or false": lambda value: isinstance(value, bool),
    "a number": _number,
    "a list of texts": _texts,
    "a list of numbers": lambda value: isinstance(value, list) and all(map(_number, value)),
    "a list of texts or numbers": lambda value: (
        isinstance(value, list) and all(_number(v) or _texts([v]) for v in value)
    ),
    "a text or a number": lambda value: isinstance(value, str) or _number(value),
    "a table": lambda value: isinstance(value, dict),
    "a table of texts": lambda value: isinstance(value, dict) and _texts(list(value.values())),
    "a table of tables": lambda value: isinstance(value, dict) and all(isinstance(v, dict) for v in value.values()),
}
"""The kinds of values, as they are named to the author of a manifest."""


class Faults:
    """What is wrong with a manifest, gathered while it is read."""

    def __init__(self, faults: list[str] | None = None) -> None:
        self.faults = [] if faults is None else faults

    def shaped(self, where: str, raw: object, shape: Mapping[str, str]) -> dict[str, Any]:
        """The entries of the table ``raw`` that are as ``shape`` (key -> one of ``KINDS``) says.

        Every other one is a fault and is left out, so that whoever reads on finds no value of another type.
        """
        if not isinstance(raw, dict):
            self.faults.append(f"{where} must be a table, not {_said(raw)}")
            return {}
        kept: dict[str, Any] = {}
        for key, value in raw.items():
            if key not in shape:
                self.faults.append(f"{where} has an unknown key '{key}'")
            elif not KINDS[shape[key]](value):
                self.faults.append(f"{where} has {key} = {_said(value)}, which must be {shape[key]}")
            else:
                kept[key] = value
        return kept

    def entries(self, where: str, raw: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        """The entries of a table whose values are tables; the others are faults."""
        self.faults.extend(f"{where} {k} must be a table" for k, v in raw.items() if not isinstance(v, dict))
        return [(k, v) for k, v in raw.items() if isinstance(v, dict)]

    def allowed(self, name: str, value: object, options: tuple[str, ...]) -> None:
        """A value that is none of ``options`` is a fault."""
        if value not in options:
            self.faults.append(f"{name} is '{value}', not one of {', '.join(options)}")


def _said(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
