"""A finished run in a second place, without a second copy of its files."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from mdx.files import cannot_write
from mdx.runs.folders import is_done

NOT_SHARED = (".lock",)
APPENDED = ("log.txt", "metrics.jsonl")
"""Files of a run that grow in place: copied, for what is added to a link is added to the run that it leads to."""
UNFINISHED = ".linking-"
"""How the name of a folder begins in which a run is being linked."""
LEFT_BEHIND_S = 24 * 3600
"""An unfinished folder of this age is of a process that was killed."""


def linked_tree(source: Path, target: Path, without: Collection[str] = ()) -> None:
    """Make ``target`` a tree of hard links to the files of ``source``; copies where the disk has no such links.

    The files of a finished run are replaced and never changed, so what is written into one place later stays there;
    those that are appended to (``APPENDED``) are copied.

    Args:
        without: names of files and folders that are left out, at any depth.

    Raises ResourceError where it cannot be made.
    """
    left = {*NOT_SHARED, *without}
    try:
        target.mkdir(parents=True, exist_ok=True)
        for path in sorted(source.iterdir()):
            if path.name in left:
                continue
            if path.is_dir():
                linked_tree(path, target / path.name, without)
            elif path.name in APPENDED:
                copied(path, target / path.name)
            else:
                link(path, target / path.name)
    except OSError as error:
        raise cannot_write(target, error) from error


def link(source: Path, target: Path) -> None:
    """One file under a second name; what has that name is replaced."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without hard links
        shutil.copy2(source, target)


def copied(source: Path, target: Path) -> None:
    """One file a second time; what has the name of ``target`` is replaced."""
    target.unlink(missing_ok=True)  # not written through, where it is a link
    shutil.copy2(source, target)


def take_over(out: Path, name: str, digest: str, suits: Callable[[Path], bool]) -> Path | None:
    """Link a finished equal run into ``out``, if a folder of runs beside it has one: ``runs`` and those of sweeps.

    Looked through are ``runs/`` and ``sweeps/*/runs/`` of the folder that holds ``out``. None where ``out`` has such a
    run itself, or nobody has.

    Args:
        suits: whether a run of this name is what is asked for in what its name does not say.

    Raises ResourceError where it cannot be made.
    """
    pattern = f"*_{name}_{digest}*"
    if any(out.glob(pattern)):
        return None
    for beside in _folders_of_runs(out.absolute()):
        for found in sorted(beside.glob(pattern)):
            if is_done(found) and suits(found):
                return _linked_into(out, found)
    return None


def _linked_into(out: Path, run: Path) -> Path:
    """``run`` in ``out``, whole or not at all; as it is where another process has been faster."""
    made = out / run.name
    try:
        out.mkdir(parents=True, exist_ok=True)
        _remove_left_behind(out)
        unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=out))
        try:
            linked_tree(run, unfinished / run.name)
            (unfinished / run.name).replace(made)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        if not made.is_dir():
            raise cannot_write(out, error) from error
    return made


def _remove_left_behind(out: Path) -> None:
    """Remove what processes have left that were killed while they linked."""
    for path in out.glob(f"{UNFINISHED}*"):
        with suppress(FileNotFoundError):  # another process removes it as well
            if time.time() - path.stat().st_mtime > LEFT_BEHIND_S:
                shutil.rmtree(path, ignore_errors=True)


def _folders_of_runs(out: Path) -> list[Path]:
    """The other folders of runs of the place where ``runs/`` or ``sweeps/NAME/runs/`` lies."""
    if out.name != "runs":
        return []
    of_sweep = out.parent.parent.name == "sweeps"
    root = out.parent.parent.parent if of_sweep else out.parent
    return [path for path in (root / "runs", *sorted(root.glob("sweeps/*/runs"))) if path != out]
