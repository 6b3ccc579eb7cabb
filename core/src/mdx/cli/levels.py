"""``-q`` and ``-v``: before any verb, and after those that take their time."""

from __future__ import annotations

from collections.abc import Sequence

from mdx.console import Level
from mdx.errors import UsageError

LEVELS: dict[str, Level] = {"-q": "quiet", "--quiet": "quiet", "-v": "verbose", "--verbose": "verbose"}
AFTER = ("run", "resume", "sweep", "reproduce", "apply", "evaluate")


def split_level(argv: Sequence[str]) -> tuple[Level, list[str]]:
    """How much is to be told, and the words without the options that say so. Raises UsageError for both at once."""
    verb = next((i for i, word in enumerate(argv) if not word.startswith("-")), len(argv))
    last = len(argv) if argv[verb : verb + 1] and argv[verb] in AFTER else verb
    asked: set[Level] = {LEVELS[word] for word in argv[:last] if word in LEVELS}
    if len(asked) > 1:
        raise UsageError("--quiet and --verbose do not go together", "leave one of them out")
    level: Level = asked.pop() if asked else "normal"
    return level, [w for i, w in enumerate(argv) if i >= last or w not in LEVELS]
