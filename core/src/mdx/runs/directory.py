"""The run directory: its name, who owns it, and the plain files in it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mdx.errors import DataError, MdxError, ResourceError, UsageError
from mdx.files import cannot_write, write_atomically, write_json


def claim(out: Path, name: str, digest: str, again: bool = False) -> Path:
    """The directory of the run ``digest`` under ``out``: the one that exists, or a new one.

    Raises ResourceError where it cannot be made.
    """
    existing = sorted(p for p in out.glob(f"*_{name}_{digest}*") if (p / "provenance.json").exists())
    if existing and not again:
        return existing[-1]
    base = f"{time.strftime('%Y-%m-%d')}_{name}_{digest}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, 1000):
            folder = out / (base if attempt == 1 else f"{base}-{attempt}")
            try:
                folder.mkdir()
            except FileExistsError:
                if again or (folder / "provenance.json").exists():
                    continue
            return folder
    except OSError as error:
        raise cannot_write(out, error) from error
    raise ResourceError("holds a thousand runs of the same name", "give another folder with --out", out)


class HeldError(ResourceError):
    """Another process is working on the run."""


@contextmanager
def owned(directory: Path) -> Iterator[None]:
    """Hold the directory for this process; HeldError if another process holds it."""
    import fcntl

    path = directory / ".lock"
    try:
        handle = os.open(path, os.O_CREAT | os.O_RDWR)
    except OSError as error:
        raise cannot_write(directory, error) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HeldError(
                "another process is working on this run", "wait for it, or make a second one with --again", directory
            ) from None
        except OSError:
            pass  # a network file system without locks
        yield
    finally:
        os.close(handle)


def is_run(path: Path) -> bool:
    """Whether a folder is the directory of a run."""
    return (path / "provenance.json").is_file()


def find_run(path: str | Path) -> Path:
    """The run directory at ``path``. Raises UsageError if there is none."""
    folder = Path(path)
    if (folder / "provenance.json").is_file():
        return folder
    inside = sorted(p.parent.name for p in folder.glob("*/provenance.json")) if folder.is_dir() else []
    hint = f"it holds the runs {', '.join(inside[-3:])}" if inside else "runs lie under runs/ unless --out was given"
    raise UsageError("is not the directory of a run", hint, folder)


def final_checkpoint(run: Path) -> Path:
    """The checkpoint that ``apply`` uses. Raises DataError if the run never finished training."""
    path = find_run(run) / "checkpoints" / "final.safetensors"
    if not path.exists():
        raise DataError("the run has not finished training", f"go on with 'mdx resume {run}'", run)
    return path


def read_json(path: Path) -> Any:
    """A JSON file of a run. Raises DataError for one that is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise DataError(f"cannot be read ({error})", "copy the whole run directory, or run again", path) from error


def is_done(directory: Path) -> bool:
    """Whether the run has finished."""
    return (directory / "done").exists()


def set_status(directory: Path, state: str, **facts: Any) -> None:
    """Write status.json: ``running``, ``done``, ``stopped`` or ``failed``."""
    write_json(directory / "status.json", {"state": state, "at": now(), "pid": os.getpid(), **facts})


def now() -> str:
    """The local time with its zone, ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def write_yaml(path: Path, value: Any) -> None:
    """Write ``value`` as YAML in the order given."""
    import yaml

    write_atomically(path, yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120))


def record_failure(directory: Path, error: BaseException) -> None:
    """The traceback into log.txt and the state into status.json; never raises, the first error matters more."""
    import traceback
    from contextlib import suppress

    state = "stopped" if isinstance(error, KeyboardInterrupt) or getattr(error, "exit_code", 1) == 75 else "failed"
    with suppress(OSError, MdxError):
        with (directory / "log.txt").open("a", encoding="utf-8") as log:
            log.write("".join(traceback.format_exception(error)))
        set_status(directory, state, error=f"{type(error).__name__}: {error}".splitlines()[0])
