"""A finished run in a second place, without a second copy of its files."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path

from mdx.files import cannot_write
from mdx.runs.folders import is_done

NOT_SHARED = (".lock",)


def linked_tree(source: Path, target: Path, without: Collection[str] = ()) -> None:
    """Make ``target`` a tree of hard links to the files of ``source``; copies where the disk has no such links.

    The files of a finished run are replaced and never changed, so what is written into one place later stays there.

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


def take_over(out: Path, name: str, digest: str) -> Path | None:
    """Link a finished equal run into ``out``, if a folder of runs beside it has one: ``runs`` and those of sweeps.

    Looked through are ``runs/`` and ``sweeps/*/runs/`` of the folder that holds ``out``. None where ``out`` has such a
    run itself, or nobody has.
    """
    pattern = f"*_{name}_{digest}*"
    if any(out.glob(pattern)):
        return None
    for beside in _folders_of_runs(out.absolute()):
        for found in sorted(path for path in beside.glob(pattern) if is_done(path)):
            out.mkdir(parents=True, exist_ok=True)
            unfinished = Path(tempfile.mkdtemp(prefix=".", dir=out))
            try:
                linked_tree(found, unfinished / found.name)
                (unfinished / found.name).replace(out / found.name)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
            return out / found.name
    return None


def _folders_of_runs(out: Path) -> list[Path]:
    """The other folders of runs of the place where ``runs/`` or ``sweeps/NAME/runs/`` lies."""
    if out.name != "runs":
        return []
    of_sweep = out.parent.parent.name == "sweeps"
    root = out.parent.parent.parent if of_sweep else out.parent
    return [path for path in (root / "runs", *sorted(root.glob("sweeps/*/runs"))) if path != out]
