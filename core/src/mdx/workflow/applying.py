"""What can be done with a finished run: apply it to files, score it on labelled cases."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mdx.config import RunSettings
from mdx.data.batches.loading import prediction_paths
from mdx.data.files.formats import stem, suffix_of
from mdx.data.labels import label_of
from mdx.data.table import files_of
from mdx.errors import ConfigError, DataError, RefusedError, UsageError, nearest
from mdx.files import cannot_write, folder_and_part, refuse_to_replace, write_atomically, write_json
from mdx.interfaces.adapter import Prediction, Reference
from mdx.interfaces.dataset import Dataset, Task
from mdx.plugins.manager import HookCaller, installed_hooks
from mdx.runs.folders import find_run, is_run, read_json
from mdx.runs.loading import LoadedRun, load_run
from mdx.runs.seen import read_seen
from mdx.spreadsheets import defused
from mdx.training.device import device_alone
from mdx.workflow.records import absolute_uri


def _loaded(run: Path, variant: str | None, device: str) -> LoadedRun:
    directory = find_run(run)
    if variant is not None and variant != read_json(directory / "provenance.json")["variant"]:
        beside = directory / "baselines" / variant
        if not beside.is_dir():
            names = [p.name for p in (directory / "baselines").glob("*")]
            raise UsageError(f"the run has no baseline '{variant}'", nearest(variant, names), run)
        directory = beside
    if device not in ("cpu", "cuda", "mps"):
        raise ConfigError(f"there is no device '{device}'", "use cpu, cuda or mps")
    return load_run(directory, device_alone(RunSettings.model_validate({"device": device})))


def apply_files(
    run: Path,
    files: Sequence[str],
    out: Path,
    *,
    variant: str | None = None,
    site: str | None = None,
    reference: str | None = None,
    device: str = "cpu",
    force: bool = False,
) -> dict[str, list[Path]]:
    """Apply a run to files; given name -> files written.

    Args:
        site: of the files, or, for a task of images, whose look they are given.
        reference: ``FILE`` or ``FILE:SLICE``, an image whose look they are given.

    Every file, and every place that would be written to, is looked at before the first is predicted. Raises DataError
    for a file that cannot be read and for two files that would be written to one name, UsageError where an input, or
    without ``force`` another file, would be replaced.
    """
    loaded = _loaded(run, variant, device)
    columns = loaded.settings.data.image
    wanted = _reference(loaded, site, reference)
    jobs: dict[str, dict[str, Path]] = {}
    for text in files:
        parts = [Path(p) for p in text.split(",")] if len(columns) > 1 else [Path(text)]
        if len(parts) != len(columns):
            raise UsageError(f"'{text}' names {len(parts)} file(s), the run needs {len(columns)}: {', '.join(columns)}")
        for part in parts:
            require_image(part)
        name = case_name(parts[0])
        if name in jobs:
            raise DataError(f"two files are named '{name}'", "apply them one by one with different --out", text)
        jobs[name] = dict(zip(columns, parts, strict=True))
    inputs = [path for images in jobs.values() for path in images.values()]
    rows_path = out / "predictions.csv"
    planned = [p for name, images in jobs.items() for p in prediction_paths(images[columns[0]], out, name)]
    if label_of(loaded.task).says_rows:
        planned.append(rows_path)
    refuse_to_replace([*planned, *([out] if out.is_file() else [])], inputs, force)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(out, error) from error
    written: dict[str, list[Path]] = {}
    rows: list[dict[str, Any]] = []
    for (name, images), text in zip(jobs.items(), files, strict=True):
        prediction = loaded.apply(images, wanted)
        written[text] = loaded.write(prediction, out, name)
        rows.append({"file": name, **said(prediction, loaded.task)})
    if len(rows[0]) > 1:
        _write_rows(rows_path, rows)
        written = {text: [*paths, rows_path] for text, paths in written.items()}
    return written


def _reference(loaded: LoadedRun, site: str | None, text: str | None) -> Reference | None:
    """What ``--site`` and ``--reference`` ask for. Raises UsageError where the task takes no reference image."""
    if text is None:
        require_known_site(loaded, site)
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


def require_image(path: Path) -> None:
    """Raise DataError for a path that leads to no image: neither a regular file nor a folder with a DICOM series."""
    try:
        found = path.is_file() or folder_and_part(path) is not None
    except (OSError, ValueError) as error:  # a name too long, or with a zero in it
        raise DataError(f"is no path ({error})", "check the path", repr(str(path))[:80]) from error
    if not found:
        raise DataError("there is no such file", "check the path", path)


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
    sys.stderr.write(
        f"warning: {what}; {loaded.plugin.name} asks for calibration at a new site: train a run that has cases of it\n"
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


def case_name(path: Path) -> str:
    """What predictions for a file are called: ``scan`` of ``scan.nii.gz``; a folder of DICOM files keeps its name."""
    if suffix_of(path):
        return stem(path)
    return path.name if folder_and_part(path) is not None else path.stem


def evaluate_run(
    run: Path,
    uri: str | None,
    out: Path | None,
    *,
    variant: str | None = None,
    device: str = "cpu",
    force: bool = False,
) -> tuple[Path, list[dict[str, Any]]]:
    """Score a run on the labelled cases of ``uri`` (or its own test cases); the folder and the rows of summary.json.

    Cases that the run was trained or validated on, by the content of their images or by their subject, are left out and
    counted. Raises RefusedError where no other case is left, UsageError where scores would be replaced.
    """
    from mdx.data.open import open_dataset
    from mdx.workflow.scores import score

    loaded = _loaded(run, variant, device)
    facts = read_json(loaded.directory / "provenance.json")
    settings = loaded.settings
    if uri is None:
        own = open_dataset(facts["data"], settings.data, (loaded.task.kind,))
        data, name = own.where(split="test"), "own-test-cases"
    else:
        # sites of another table need not be those of the run
        elsewhere = settings.data.model_copy(update={"source": (), "target": (), "reference": None, "labelled": None})
        data, name = open_dataset(uri, elsewhere, (loaded.task.kind,)), case_name(Path(uri.partition(":")[2] or uri))
        data = _with_roles_of_the_run(_unseen(_test_cases(data), loaded), facts)
    if data.task.classes != loaded.task.classes:
        raise DataError(f"the classes are {data.task.classes}, the run knows {loaded.task.classes}", "use equal labels")
    for site in sorted({case.site for case in data.cases}):
        require_known_site(loaded, site)
    folder = out or loaded.directory / "evaluations" / name
    if is_run(folder):
        raise UsageError("is the directory of a run, which has scores of its own", "give another --out", folder)
    read = [*files_of(data.cases), Path((uri or "").removeprefix("csv:")).expanduser()]
    targets = [folder / name for name in ("scores.csv", "summary.json", "evaluation.json")]
    refuse_to_replace(targets, read, force or _same_evaluation(folder, uri))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    hooks: HookCaller = installed_hooks(print)
    write_json(folder / "evaluation.json", {"data": absolute_uri(uri) if uri else None, "n_cases": len(data)})
    score(loaded, data, folder, hooks)
    return folder, read_json(folder / "summary.json")


def _same_evaluation(folder: Path, uri: str | None) -> bool:
    """Whether the scores in a folder are of these very data: they may be made again."""
    path = folder / "evaluation.json"
    return path.is_file() and read_json(path).get("data") == (absolute_uri(uri) if uri else None)


def _test_cases(data: Dataset) -> Dataset:
    """All cases of another table, or its test cases where it has a split of its own."""
    return data.where(split="test") if data.split_given else data


def _unseen(data: Dataset, loaded: LoadedRun) -> Dataset:
    """The cases that had no part in the run's training; says which had. Raises RefusedError if all had."""
    seen = read_seen(loaded.directory)
    ids = seen.cases_of(data)
    if not ids:
        return data
    named = f"{len(ids)} of {len(data)} cases ({', '.join(ids[:3])}{'...' if len(ids) > 3 else ''})"
    if len(ids) == len(data):
        raise RefusedError(
            f"all {len(ids)} cases, or their subjects, trained this run or chose its weights",
            "evaluate on other subjects; without --data the run's own test cases are scored", loaded.directory.name,
        )  # fmt: skip
    sys.stderr.write(
        f"warning: {named} are left out: they, or scans of their subjects, trained this run or chose its weights\n"
    )
    return data.where(id=[case.id for case in data.cases if case.id not in set(ids)])


def _with_roles_of_the_run(data: Dataset, facts: Mapping[str, Any]) -> Dataset:
    """A site has the role that it had in the run, and none where it is new."""
    roles: Mapping[str, str] = facts.get("roles", {})
    return Dataset(data.task, [replace(c, role=roles.get(c.site)) for c in data.cases], data.loader)
