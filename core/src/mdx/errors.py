"""Every failure a user can meet: what happened, where, what to do about it, and the exit code."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MdxError(Exception):
    """A failure with a remedy. ``str(error)`` is the whole message shown to the user.

    Args:
        what: one sentence that says what is wrong, with the value that is wrong.
        remedy: one sentence that says what to do.
        where: a file, a setting or a case, if there is one.
    """

    exit_code = 1

    def __init__(self, what: str, remedy: str = "", where: object = None) -> None:
        self.what, self.remedy, self.where = what, remedy, where
        lines = [f"{where}: {what}" if where else what]
        if remedy:
            lines.append(f"  -> {remedy}")
        super().__init__("\n".join(lines))


class UsageError(MdxError):
    """The command line asks for something that does not exist."""

    exit_code = 2


class ConfigError(MdxError):
    """A setting is unknown or has a value that is not allowed."""

    exit_code = 3


class DataError(MdxError):
    """A table, an image or a mask cannot be used as it is."""

    exit_code = 4


class HiddenLabelError(DataError):
    """A method asked for labels that its declared ``target_labels`` does not allow it to read."""


class PluginError(MdxError):
    """A plugin is missing, broken or made for another version of mdx."""

    exit_code = 5


class ResourceError(MdxError):
    """Disk, memory or device: the machine cannot do what was asked."""

    exit_code = 6


class DivergedError(MdxError):
    """Training produced a loss that is not finite."""

    exit_code = 7


class RefusedError(MdxError):
    """A check failed, or a comparison would not be fair."""

    exit_code = 8


class StoppedError(MdxError):
    """The run was asked to stop; what it has done is saved and ``mdx resume`` goes on from there."""

    exit_code = 75


MOST_LISTED = 40


def nearest(name: str, known: Iterable[str]) -> str:
    """``"did you mean 'beta'?"`` where a known name is close to ``name`` or ends in it, else the known names."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    close = sorted((other for other in known if other.endswith(f".{name}")), key=len)[:1] or close
    if close:
        return f"did you mean '{close[0]}'?"
    if len(known) > MOST_LISTED:
        return f"none of {len(known)} is close to it"
    between = "; " if any("," in name for name in known) else ", "
    return "known: " + between.join(known) if known else "nothing is known here"
