"""The run directory: its name, who owns it, and the plain files in it."""

from __future__ import annotations

import csv
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mdx.errors import DataError, MdxError, ResourceError, UsageError
from mdx.files import cannot_write, write_atomically, write_json
from mdx.spreadsheets import read_frame


def claim(out: Path, name: str, digest: str, again: bool = False) -> Path:
    """The directory of the run ``digest`` under ``out``: the one that exists, or a new one.

    One that was made and left before anything was recorded in it is taken, on whatever day that was.

    Raises ResourceError where it cannot be made.
    """
    existing = [path for path in sorted(out.glob(f"*_{name}_{digest}*")) if path.is_dir()]
    begun = [path for path in existing if is_run(path)]
    bare = [path for path in existing if re.fullmatch(rf".*_{digest}(-\d+)?", path.name)]
    if (begun or bare) and not again:
        return (begun or bare)[-1]
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
        for patience_s in (0.1, 0.1, 0.0):  # 'mdx runs' holds it for a moment when it looks
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not patience_s:
                    raise HeldError(
                        "another process is working on this run", "wait for it, or make a second one with --again",
                        directory,
                    ) from None  # fmt: skip
                time.sleep(patience_s)
            except OSError:
                break  # a network file system without locks
        yield
    finally:
        os.close(handle)


def is_run(path: Path) -> bool:
    """Whether a folder is the directory of a run."""
    return (path / "provenance.json").is_file()


def is_folds(path: Path) -> bool:
    """Whether a folder holds the runs of a cross-validation, scored as one."""
    return (path / FOLDS).is_file()


def remove_leftovers(directory: Path) -> None:
    """Remove temporary files of a process that was killed while it wrote; only for who holds the directory."""
    for path in directory.rglob(".*"):
        if LEFTOVER.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


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
    directory = find_run(run)
    if is_folds(directory):
        remedy = f"name one of them: {directory / 'folds' / '0'}"
        raise UsageError("holds the networks of several folds, and one is needed", remedy, directory)
    path = directory / "checkpoints" / "final.safetensors"
    if not path.exists():
        raise DataError("the run has not finished training", f"go on with 'mdx resume {run}'", run)
    return path


FOLDS = "folds.json"
"""In a folder of folds: ``members``, the run of each fold by its path from there."""
LEFTOVER = re.compile(r"\..+-[a-z0-9_]{8}(\.\w+)*")
"""Names that ``mdx.files.replacing`` gives to what is not finished."""
AGAIN = "copy the whole run directory, or run again"
KINDS: dict[str, type] = {
    "provenance.json": dict, "summary.json": list, "sweep.json": dict, "reproduction.json": dict,
    "comparison.json": dict, "status.json": dict, "timings.json": dict, "confounding.json": dict, "details.json": dict,
    "notes.json": list, "seen.json": dict, "evaluation.json": dict, "fingerprint.json": dict,
    "pictures.json": dict, "intensities.json": dict, "folds.json": dict,
}  # fmt: skip
"""What each JSON file holds."""
ROWS: dict[str, type] = {"summary.json": dict, "notes.json": str}
"""What those that hold a list list."""
ENTRIES: dict[str, dict[str, type | tuple[type, ...]]] = {
    "provenance.json": {
        "plugin": str, "variant": str, "baselines": list, "target_labels": str, "seed": int, "data": str,
        "cohorts": dict, "task": dict, "layers": list, "notes": list, "versions": dict, "identity": str, "paper": dict,
        "roles": dict,
    },
    "summary.json": {
        **dict.fromkeys(("metric", "better", "group"), str),
        **dict.fromkeys(("n_cases", "n_subjects", "n_undefined"), int),
        **dict.fromkeys(("mean", "std", "median", "low", "high"), (int, float, type(None))),
    },
    "sweep.json": {"jobs": list},
    "seen.json": {"digests": list, "subjects": list},
    "status.json": {"state": str},
    "folds.json": {"members": list},
}  # fmt: skip
"""What these keys of an object, or of each object of a list, hold."""


class Record(dict[str, Any]):
    """An object of a JSON file of a run; a key that is not there is a fault of that file."""

    path: Path

    def __missing__(self, key: str) -> Any:
        raise DataError(f"is damaged: it lacks '{key}'", AGAIN, self.path)


def read_json(path: Path) -> Any:
    """A JSON file of a run. Raises DataError, which names the file, for one that is missing or damaged.

    Of the objects in it, a key that is asked for and missing raises the same.
    """

    def record(raw: dict[str, Any]) -> Record:
        made = Record(raw)
        made.path = path
        return made

    try:
        found = json.loads(path.read_text(encoding="utf-8"), object_hook=record)
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", AGAIN, path) from error
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, brackets without end
        raise DataError(f"is damaged ({error})", AGAIN, path) from error
    objects = found if isinstance(found, list) else [found]
    if not isinstance(found, KINDS.get(path.name, object)):
        raise DataError(f"is damaged: it holds {found!r:.60}", AGAIN, path)
    row_kind = ROWS.get(path.name, object)
    for row in found if isinstance(found, list) else []:
        if not isinstance(row, row_kind):
            raise DataError(f"is damaged: it lists {row!r:.60}", AGAIN, path)
    for key, kind in ENTRIES.get(path.name, {}).items():
        for each in objects:
            if isinstance(each, dict) and key in each and not isinstance(each[key], kind):
                raise DataError(f"is damaged: '{key}' is {each[key]!r:.60}", AGAIN, path)
    return found


def read_settings(directory: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """config.yaml of a run, namespace -> key -> ``value`` and ``from``. Raises DataError if it is gone or damaged."""
    import yaml

    path = directory / "config.yaml"
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", AGAIN, path) from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise DataError(f"is damaged ({str(error).splitlines()[0]})", AGAIN, path) from error
    spaces = list(found.values()) if isinstance(found, dict) else [None]
    entries = [e for space in spaces for e in (space.values() if isinstance(space, dict) else [None])]
    if not all(isinstance(entry, dict) and {"value", "from"} <= set(entry) for entry in entries):
        raise DataError("is damaged: it does not hold settings with their values and origins", AGAIN, path)
    return found


def read_splits(directory: Path) -> Any:
    """splits.csv of a run as a DataFrame of texts. Raises DataError if it is missing, damaged or empty."""
    needs = ("case", "subject", "site", "split", "role")
    return read_frame(directory / "splits.csv", needs, dtype=str, na_values=[])


def read_scores(directory: Path) -> Any:
    """scores.csv of a run as a DataFrame; only scores can be missing in it. Raises DataError as ``read_splits``."""
    texts = ("case", "subject", "site", "split", "role", "truth", "predicted")
    facts = read_json(directory / "provenance.json") if is_run(directory) else {}
    regression = facts.get("task", {}).get("kind") == "regression"
    kinds = {name: str for name in texts if not (regression and name in ("truth", "predicted"))}
    groups = {name: str for name in _header(directory / "scores.csv") if name.startswith("group:")}
    table = read_frame(directory / "scores.csv", ("case", "subject", "site"), dtype=kinds | groups)
    return table.assign(**{name: table[name].fillna("") for name in kinds if name in table})


def _header(path: Path) -> list[str]:
    """The names of the columns of a CSV file; none where there is no such file."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", errors="replace", newline="") as stream:
        return next(csv.reader(stream), [])


def is_done(directory: Path) -> bool:
    """Whether the run has finished."""
    return (directory / "done").exists()


def finish(directory: Path) -> None:
    """Say that the run has finished."""
    write_atomically(directory / "done", now() + "\n")
    set_status(directory, "done")


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
