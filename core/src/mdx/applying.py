"""What can be done with a finished run: apply it to files, score it on labelled cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mdx.config import RunSettings
from mdx.errors import ConfigError, DataError, UsageError, nearest
from mdx.files import cannot_write, folder_and_part, write_atomically
from mdx.interfaces.adapter import Prediction, Reference
from mdx.interfaces.dataset import Dataset, Task
from mdx.plugins.manager import HookCaller, installed_hooks
from mdx.runs.device import make_fabric
from mdx.runs.directory import find_run, read_json
from mdx.runs.loading import LoadedRun, load_run


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
    return load_run(directory, make_fabric(RunSettings.model_validate({"device": device})).device)


def apply_files(
    run: Path,
    files: Sequence[str],
    out: Path,
    *,
    variant: str | None = None,
    site: str | None = None,
    device: str = "cpu",
) -> dict[str, list[Path]]:
    """Apply a run to files; given name -> files written.

    Raises DataError for a file that cannot be read and for two files that would be written to one name; every file is
    looked for before the first is predicted.
    """
    loaded = _loaded(run, variant, device)
    columns = loaded.settings.data.image
    jobs: dict[str, dict[str, Path]] = {}
    for text in files:
        parts = [Path(p) for p in text.split(",")] if len(columns) > 1 else [Path(text)]
        if len(parts) != len(columns):
            raise UsageError(f"'{text}' names {len(parts)} file(s), the run needs {len(columns)}: {', '.join(columns)}")
        for part in parts:
            if not part.is_file() and folder_and_part(part) is None:  # a folder holds a DICOM series
                raise DataError("there is no such file", "check the path", part)
        name = case_name(parts[0])
        if name in jobs:
            raise DataError(f"two files are named '{name}'", "apply them one by one with different --out", text)
        jobs[name] = dict(zip(columns, parts, strict=True))
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(out, error) from error
    written: dict[str, list[Path]] = {}
    rows: list[dict[str, Any]] = []
    for (name, images), text in zip(jobs.items(), files, strict=True):
        prediction = loaded.apply(images, Reference(site=site) if site else None)
        written[text] = loaded.write(prediction, out, name)
        rows.append({"file": name, **said(prediction, loaded.task)})
    if len(rows[0]) > 1:
        _write_rows(out / "predictions.csv", rows)
        written = {text: [*paths, out / "predictions.csv"] for text, paths in written.items()}
    return written


def said(prediction: Prediction, task: Task) -> dict[str, Any]:
    """What a prediction says in words and numbers: class and probabilities, or value, and facts."""
    made: dict[str, Any] = {}
    if prediction.classes is not None:
        made["predicted"] = task.classes[int(prediction.classes.argmax())]
        made |= {f"p_{c}": float(p) for c, p in zip(task.classes, prediction.classes, strict=True)}
    if prediction.value is not None:
        made["predicted"] = float(prediction.value)
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
    writer.writerows(rows)
    write_atomically(path, text.getvalue())


def case_name(path: Path) -> str:
    """The file's name without its suffixes: ``scan.nii.gz`` is ``scan``."""
    return path.name.removesuffix(".gz").rsplit(".", 1)[0]


def evaluate_run(
    run: Path, uri: str | None, out: Path | None, *, variant: str | None = None, device: str = "cpu"
) -> tuple[Path, list[dict[str, Any]]]:
    """Score a run on the labelled cases of ``uri`` (or its own test cases); the folder and the rows of summary.json."""
    from mdx.data.open import open_dataset
    from mdx.scores import score

    loaded = _loaded(run, variant, device)
    facts = read_json(loaded.directory / "provenance.json")
    settings = loaded.settings
    if uri is None:
        data, name = open_dataset(facts["data"], settings.data), "own-test-cases"
    else:
        # sites of another table need not be those of the run
        elsewhere = settings.data.model_copy(update={"source": (), "target": (), "reference": None})
        data, name = open_dataset(uri, elsewhere), case_name(Path(uri.partition(":")[2] or uri))
    if data.task.classes != loaded.task.classes:
        raise DataError(f"the classes are {data.task.classes}, the run knows {loaded.task.classes}", "use equal labels")
    folder = out or loaded.directory / "evaluations" / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    hooks: HookCaller = installed_hooks(print)
    score(loaded, _test_cases(data, uri), folder, hooks)
    return folder, read_json(folder / "summary.json")


def _test_cases(data: Dataset, uri: str | None) -> Dataset:
    """The run's own test cases; all cases of another table, unless that table itself has a split."""
    given = uri is None or any("split" in case.columns for case in data.cases)
    return data.where(split="test") if given else data
