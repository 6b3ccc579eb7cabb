"""A finished run applied to new files."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mdx import console
from mdx.config import RunSettings
from mdx.data.batches.loading import prediction_paths
from mdx.data.labels import label_of
from mdx.errors import ConfigError, DataError, RefusedError, UsageError, nearest
from mdx.files import cannot_write, refuse_to_replace, write_atomically
from mdx.interfaces.adapter import Prediction, Reference
from mdx.interfaces.dataset import Task
from mdx.runs.folders import find_run, read_json
from mdx.runs.loading import LoadedRun, load_run
from mdx.spreadsheets import defused
from mdx.training.device import device_alone, that_of_the_run
from mdx.workflow.inputs import Input, inputs_of, named, require_image


def loaded_for(run: Path, variant: str | None, device: str) -> LoadedRun:
    """The run, or a baseline of it, on a device."""
    directory = find_run(run)
    if variant is not None and variant != read_json(directory / "provenance.json")["variant"]:
        beside = directory / "baselines" / variant
        if not beside.is_dir():
            names = [p.name for p in (directory / "baselines").glob("*")]
            raise UsageError(f"the run has no baseline '{variant}'", nearest(variant, names), run)
        directory = beside
    if device not in ("auto", "cpu", "cuda", "mps"):
        raise ConfigError(f"there is no device '{device}'", "use auto, cpu, cuda or mps")
    if device == "auto":
        device = that_of_the_run(read_json(directory / "provenance.json").get("device", "cpu"))
    return load_run(directory, device_alone(RunSettings.model_validate({"device": device})))


@dataclass(frozen=True)
class Applied:
    """What became of the files: those that were written for each, what is said of it, and why the others failed."""

    written: dict[str, list[Path]]
    rows: list[dict[str, Any]]
    failed: dict[str, Exception]


def apply_files(
    run: Path,
    files: Sequence[str],
    out: Path,
    *,
    variant: str | None = None,
    site: str | None = None,
    reference: str | None = None,
    device: str = "auto",
    probabilities: bool = False,
    force: bool = False,
    tell: Callable[[str, Applied, int], None] | None = None,
) -> Applied:
    """Apply a run to files, folders, tables: see ``inputs_of``.

    Args:
        site: of the files, or, for a task of images, whose look they are given; a table says it itself.
        reference: ``FILE`` or ``FILE:SLICE``, an image whose look they are given.
        device: ``auto`` is that of the run, where this machine has it.
        probabilities: write those of each class beside the mask.
        tell: called after each case with its name, all that is done, and how many are left.

    Every place that would be written to is looked at before the first case is predicted. One that fails stops no other.
    Raises DataError for a file that is not there and for two that would be written to one name, UsageError where an
    input, or without ``force`` another file, would be replaced; the error of the only case.
    """
    loaded = loaded_for(run, variant, device)
    config, task = loaded.settings.data, loaded.task
    inputs = inputs_of(files, config, out)
    wanted = _reference(loaded, site, reference, {item.site for item in inputs})
    first = config.image[0]
    done = Applied({}, [], {})
    planned: list[Path] = []
    alone = len(inputs) == 1
    for item in list(inputs):
        try:
            planned += prediction_paths(
                item.images[first], out / item.place, item.name, task if probabilities else None
            )
        except DataError as error:  # a header that cannot be read
            if alone:
                raise
            done.failed[item.shown] = error
    inputs = [item for item in inputs if item.shown not in done.failed]
    rows_path = out / "predictions.csv"
    read = [path for item in inputs for path in item.images.values()]
    read += [path for text in files if (path := Path(text.removeprefix("csv:"))).is_file()]  # tables
    refuse_to_replace([*planned, *([out] if out.is_file() else [])], read, force)
    earlier = _earlier(rows_path, {_row_name(item) for item in inputs}, read, force) if label_of(task).says_rows else []
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(out, error) from error
    try:
        for left, item in zip(range(len(inputs) - 1, -1, -1), inputs, strict=True):
            try:
                _apply_one(loaded, item, wanted, out, probabilities, done)
            except Exception as error:
                if alone:
                    raise
                done.failed[item.shown] = error
            if tell is not None:
                tell(item.shown, done, left)
    finally:  # what was predicted before a stop is kept
        if done.rows and len(done.rows[0]) > 1:
            _write_rows(rows_path, [*earlier, *done.rows])
            for paths in done.written.values():
                paths.append(rows_path)
    return done


def _apply_one(
    loaded: LoadedRun, item: Input, reference: Reference | None, out: Path, probabilities: bool, done: Applied
) -> None:
    """Predict and write one case."""
    sample = loaded.load(item.images)
    sample = replace(sample, case=named(sample.case, item))
    prediction = loaded.predict(sample, reference)
    try:
        (out / item.place).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(out / item.place, error) from error
    done.written[item.shown] = loaded.write(prediction, out / item.place, item.name, probabilities)
    done.rows.append({"file": _row_name(item), **said(prediction, loaded.task)})


def _row_name(item: Input) -> str:
    return (item.place / item.name).as_posix()


def _earlier(path: Path, names: Set[str], read: Sequence[Path], force: bool) -> list[dict[str, Any]]:
    """The rows of other files that stand in the table already: they stay there.

    Raises UsageError for a table that says something of one of ``names``, or is none of predictions, without ``force``.
    """
    if not path.is_file():
        refuse_to_replace([path], read, force)
        return []
    import csv

    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows: list[dict[str, Any]] = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error):
        refuse_to_replace([path], read, force)
        return []
    others = [row for row in rows if row.get("file") and row["file"] not in names and None not in row]
    if len(others) < max(1, len(rows)):
        refuse_to_replace([path], read, force)
    return others


def _reference(
    loaded: LoadedRun, site: str | None, text: str | None, of_tables: Set[str | None] = frozenset()
) -> Reference | None:
    """What ``--site`` and ``--reference`` ask for. Raises UsageError where the task takes no reference image.

    Args:
        of_tables: the sites that tables say of their rows, None among them for files that no table has.
    """
    if text is None:
        for each in sorted({site} if site else of_tables or {None}, key=str):
            require_known_site(loaded, each)
        return Reference(site=site) if site else None
    if not label_of(loaded.task).takes_reference:
        raise UsageError(f"a {loaded.task.kind} has no reference image", "leave --reference out")
    file, colon, number = text.rpartition(":")
    index = int(number) if colon and file and number.isdecimal() else None
    path = Path(file if index is not None else text)
    require_image(path)
    columns = loaded.settings.data.image
    if len(columns) > 1:
        raise UsageError(f"the run needs {', '.join(columns)}, a reference is one file", "name a site with --site")
    sample = loaded.load(path)
    slices = sample.image.shape[-1]
    if index is not None and (loaded.task.dims == 2 or index >= slices):
        raise UsageError(f"there is no slice {index}", f"give one of 0 to {slices - 1}, of a volume", path)
    return Reference(site=site, sample=sample, slice_index=index)


def require_known_site(loaded: LoadedRun, site: str | None) -> None:
    """Hold a method to what it declares of sites that it has not seen (``unseen_sites`` of its manifest).

    ``no``: such a site, or none at all, is refused with a RefusedError. ``calibrate``: it is warned of.
    """
    manifest = loaded.plugin.manifest
    rule = manifest.capabilities.unseen_sites if manifest and manifest.capabilities else "yes"
    known = loaded.task.sites
    if rule == "yes" or site in known:
        return
    what = f"the site '{site}' was not in the run" if site else "no site is named"
    if rule == "no":
        raise RefusedError(
            f"{what}, and {loaded.plugin.name} is only for the sites that it was trained on",
            f"name the site with --site: {', '.join(known)}", loaded.directory.name,
        )  # fmt: skip
    console.note(
        f"warning: {what}; {loaded.plugin.name} asks for calibration at a new site: train a run that has cases of it"
    )


def said(prediction: Prediction, task: Task) -> dict[str, Any]:
    """What a prediction says in words and numbers: class and probabilities, or value, and facts."""
    made = label_of(task).said(prediction, task)
    if made:
        for name, fact in prediction.details.items():
            parts = {f"{name}_{k}": v for k, v in fact.items()} if isinstance(fact, dict) else {name: fact}
            made |= {k: v for k, v in parts.items() if isinstance(v, int | float | str)}
    return made


def _write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    import csv
    import io

    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)))
    writer.writeheader()
    writer.writerows({k: defused(v) if isinstance(v, str) else v for k, v in row.items()} for row in rows)
    write_atomically(path, text.getvalue())
