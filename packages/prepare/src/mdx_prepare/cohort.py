"""All cases of a table: several at a time, each once, the faulty ones named and the rest carried through."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from mdx import __version__
from mdx.data.cells import TABLES
from mdx.data.config import DataConfig
from mdx.data.files.facts import cores
from mdx.data.files.images import suffix_of
from mdx.data.layouts.layout import layouts
from mdx.data.open import open_dataset, read_folder
from mdx.data.table import read_table, write_table
from mdx.errors import DataError, ResourceError, UsageError, nearest
from mdx.files import cannot_write, write_json
from mdx.interfaces.dataset import Case
from mdx_prepare.case import CaseFiles, prepare_case
from mdx_prepare.config import PrepareConfig
from mdx_prepare.origin import Origin
from mdx_prepare.page import write_preparation_page
from mdx_prepare.template import ICBM152, load_template

FOLDERS = ("images", "masks", "brain", "transforms", "qc", "records")
Say = Callable[[str, dict[str, Any] | DataError, int], None]


def open_cases(uri: str, config: DataConfig) -> tuple[list[Case], Path]:
    """The rows of a table, or the cases of another address, and the folder where relative paths start.

    Nothing is added to them: splits and roles are the user's to give.
    """
    path = Path(uri.removeprefix("csv:")).expanduser()
    if path.suffix.lower() not in TABLES:
        scheme, colon, rest = uri.partition(":")
        if colon and scheme in layouts():
            return read_folder(scheme, rest, config)[0], Path.cwd()
        return list(open_dataset(uri, config).cases), Path.cwd()
    cases = read_table(path, config)
    if config.label != "mask":  # a mask column of another name keeps it
        cases = [
            replace(case, mask=None, columns={**case.columns, config.label: str(case.mask)})
            if case.mask and config.label not in case.columns else case
            for case in cases
        ]  # fmt: skip
    return cases, path.parent


@dataclass(frozen=True)
class Prepared:
    """What came of a table.

    Attributes:
        records: by case.
        failed: the reason of each case that failed.
        kept: how many were there already.
        again: why each of those that had been prepared was not kept.
    """

    records: Mapping[str, dict[str, Any]]
    failed: Mapping[str, DataError]
    kept: int
    again: Mapping[str, str]


def prepare_cohort(
    cases: Sequence[Case], folder: Path, config: PrepareConfig, out: Path, jobs: int = 1, say: Say | None = None
) -> Prepared:
    """Prepare every case and write images, table.csv, prepared.json and qc.html under ``out``.

    A case whose files hold what they held, and whose settings are as they were, is kept, so a command that was stopped
    goes on when it is given again. ``say`` is told of each case as it ends: its name, its record or error, and how many
    are left.

    Args:
        folder: where relative paths in columns other than the images start.

    Raises UsageError for a column that does not exist and for results that would replace their own sources,
    ResourceError for a full disk or a process that was killed; what is finished then is kept.
    """
    files = [_files_of(case, folder, config, cases) for case in cases]
    _refuse_own_sources(files, out)
    if config.needs_template:
        load_template(config.template)  # a template that cannot be used is said once, not for each case
    empty = [] if any(one.labels for one in files) else ["masks"]
    for name in [n for n in FOLDERS if n not in empty and (n != "brain" or config.strips)]:
        try:
            (out / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(out / name, error) from error
    records: dict[str, dict[str, Any]] = {}
    failed: dict[str, DataError] = {}
    waiting, again = [], {}
    for one in files:
        try:
            origin = Origin.of(one, config)
        except DataError as error:
            failed[one.id] = error
            continue
        known, reason = _recall(one.id, origin, out)
        if known is None:
            waiting.append((one, origin))
            again |= {one.id: reason} if reason else {}
        else:
            records[one.id] = known
    kept = len(records)
    try:
        for n, (name, result) in enumerate(_carry_out(waiting, config, out, jobs), start=1):
            if isinstance(result, DataError):
                failed[name] = result
            else:
                records[name] = result
            if say:
                say(name, result, len(waiting) - n)
    finally:
        _write_results(cases, records, failed, config, out)
    return Prepared(records, failed, kept, again)


def _files_of(case: Case, folder: Path, config: PrepareConfig, cases: Sequence[Case]) -> CaseFiles:
    """The files of a case; every column that names volumes is a mask that moves with the images."""
    labels = {"mask": case.mask} if case.mask else {}
    brain = None
    if config.mask_column is not None:
        columns = {name for other in cases for name in other.columns} | (
            {"mask"} if any(c.mask for c in cases) else set()
        )
        if config.mask_column not in columns:
            raise UsageError(
                f"--mask {config.mask_column}: the table has no such column: {nearest(config.mask_column, columns)}",
                "give simple, none, or a column that names brain masks",
            )
    for name, value in case.columns.items():
        if isinstance(value, str) and suffix_of(value) in (".nii", ".nii.gz"):
            labels[name] = Path(os.path.join(folder, Path(value).expanduser()))  # noqa: PTH118 (absolute ones stay)
    if config.mask_column is not None:
        brain = labels.pop(config.mask_column, None)
    return CaseFiles(case.id, dict(case.images), labels, brain)


def _refuse_own_sources(files: Sequence[CaseFiles], out: Path) -> None:
    inside = out.resolve()
    for one in files:
        for path in (*one.images.values(), *one.labels.values(), *([one.brain] if one.brain else [])):
            if path.resolve().is_relative_to(inside):
                raise UsageError(f"the scan {path.name} lies in the folder of the results", "give another --out", out)


def _recall(name: str, origin: Origin, out: Path) -> tuple[dict[str, Any] | None, str]:
    """The record of a case that was prepared from equal files in the same way, or why it must be prepared again."""
    try:
        record = json.loads((out / "records" / f"{name}.json").read_text(encoding="utf-8"))
        changed = origin.changed_since(record.get("origin", {"version": None}))
        written = [path for kind in record["files"].values() for path in kind.values()]
    except FileNotFoundError:
        return None, ""
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None, "its record is damaged"
    if not all((out / path).is_file() for path in [*written, f"qc/{name}.jpg"]):
        changed.append("a result is missing")
    return (None, ", ".join(changed)) if changed else (record, "")


Waiting = Sequence[tuple[CaseFiles, Origin]]


def _carry_out(
    waiting: Waiting, config: PrepareConfig, out: Path, jobs: int
) -> Iterator[tuple[str, dict[str, Any] | DataError]]:
    threads = max(1, cores() // max(1, jobs))
    if jobs <= 1:
        for one, origin in waiting:
            yield one.id, prepare_and_record(one, origin, config, out, threads)
        return
    pool = ProcessPoolExecutor(min(jobs, len(waiting) or 1), mp_context=get_context("spawn"))
    try:
        names = {pool.submit(prepare_and_record, one, o, config, out, threads): one.id for one, o in waiting}
        for done in as_completed(names):
            yield names[done], done.result()
    except BrokenProcessPool as error:
        raise ResourceError(
            "a process was killed, which usually means that memory ran out",
            "the same command goes on from here; use fewer --jobs",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def prepare_and_record(
    files: CaseFiles, origin: Origin, config: PrepareConfig, out: Path, threads: int
) -> dict[str, Any] | DataError:
    """Prepare a case and keep its record; a DataError is returned, so that the others go on."""
    import SimpleITK as sitk  # noqa: N813 (the name that its own pages use)

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    try:
        made_from = origin.record()  # before they are read: what is changed meanwhile is seen the next time
        record = {"origin": made_from, **prepare_case(files, config, out)}
    except DataError as error:
        return error
    except RuntimeError as error:  # of SimpleITK: its last line says what
        return DataError(str(error).strip().splitlines()[-1], "look at the scan in a viewer", files.id)
    write_json(out / "records" / f"{files.id}.json", record)
    return record


def _write_results(
    cases: Sequence[Case],
    records: Mapping[str, dict[str, Any]],
    failed: Mapping[str, DataError],
    config: PrepareConfig,
    out: Path,
) -> None:
    """Write the table of the cases that are ready, prepared.json and the page."""
    ready = [_prepared_row(case, records[case.id], config, out) for case in cases if case.id in records]
    if ready:
        write_table(ready, out / "table.csv")
    facts = {
        "mdx": __version__, "simpleitk": version("simpleitk"),
        "template": (config.template.name if config.template else f"{ICBM152} (of nilearn {version('nilearn')})")
        if config.needs_template else None,
        "settings": {**asdict(config), "template": config.template and config.template.name},
        "cases": {case.id: {k: v for k, v in records[case.id].items() if k != "origin"}
                  for case in cases if case.id in records},
        "failed": {case.id: {"what": failed[case.id].what, "remedy": failed[case.id].remedy}
                   for case in cases if case.id in failed},
        "waiting": [case.id for case in cases if case.id not in records and case.id not in failed],
        "sites": {case.id: case.site for case in cases},
    }  # fmt: skip
    write_json(out / "prepared.json", facts)
    write_preparation_page(out)


def _prepared_row(case: Case, record: Mapping[str, Any], config: PrepareConfig, out: Path) -> Case:
    files = record["files"]
    masks = dict(files["masks"])
    mask = masks.pop("mask", None)
    columns = {**case.columns, **masks}
    if files["brain"]:
        columns[config.mask_column if config.mask_column not in (None, "mask") else "brain"] = files["brain"]["brain"]
    images = {name: out / path for name, path in files["images"].items()}
    return replace(case, images=images, mask=out / mask if mask else None, columns=columns)
