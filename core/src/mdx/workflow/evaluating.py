"""A finished run scored on labelled cases that it has not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mdx import console
from mdx.data.open import open_dataset
from mdx.data.table import files_of
from mdx.errors import DataError, RefusedError, UsageError
from mdx.files import cannot_write, refuse_to_replace, write_json
from mdx.interfaces.dataset import Dataset
from mdx.plugins.manager import HookCaller, installed_hooks
from mdx.runs.folders import is_folds, is_run, read_json
from mdx.runs.loading import LoadedRun
from mdx.runs.seen import read_seen
from mdx.workflow.applying import loaded_for, require_known_site
from mdx.workflow.inputs import case_name
from mdx.workflow.records import absolute_uri
from mdx.workflow.scores import score


def evaluate_run(
    run: Path,
    uri: str | None,
    out: Path | None,
    *,
    variant: str | None = None,
    device: str = "auto",
    force: bool = False,
) -> tuple[Path, list[dict[str, Any]]]:
    """Score a run on the labelled cases of ``uri`` (or its own test cases); the folder and the rows of summary.json.

    Cases that the run was trained or validated on, by the content of their images or by their subject, are left out and
    counted. Raises RefusedError where no other case is left, UsageError where scores would be replaced.
    """
    loaded = loaded_for(run, variant, device)
    facts = read_json(loaded.directory / "provenance.json")
    settings = loaded.settings
    if uri is None:
        _refuse_own_cases_of_folds(loaded)
        own = open_dataset(facts["data"], settings.data, (loaded.task.kind,))
        data, name = own.where(split="test"), "own-test-cases"
    else:
        # sites of another table need not be those of the run
        elsewhere = settings.data.elsewhere()
        data, name = open_dataset(uri, elsewhere, (loaded.task.kind,)), case_name(Path(uri.partition(":")[2] or uri))
        data = _with_roles_of_the_run(_unseen(_test_cases(data), loaded), facts)
        for column in settings.data.groups:
            if not any(case.columns.get(column) is not None for case in data.cases):
                console.note(f"note: no case has a value of '{column}' (data.groups): no score is given by it")
    if data.task.classes != loaded.task.classes:
        raise DataError(f"the classes are {data.task.classes}, the run knows {loaded.task.classes}", "use equal labels")
    for site in sorted({case.site for case in data.cases}):
        require_known_site(loaded, site)
    folder = out or loaded.directory / "evaluations" / name
    if is_run(folder):
        raise UsageError("is the directory of a run, which has scores of its own", "give another --out", folder)
    read = [*files_of(data.cases), *([Path(uri.removeprefix("csv:")).expanduser()] if uri else [])]
    _refuse_to_write_over(folder, read, force or _same_evaluation(folder, uri))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    hooks: HookCaller = installed_hooks(print)
    write_json(folder / "evaluation.json", {"data": absolute_uri(uri) if uri else None, "n_cases": len(data)})
    score(loaded, data, folder, hooks)
    return folder, read_json(folder / "summary.json")


def _refuse_own_cases_of_folds(loaded: LoadedRun) -> None:
    """Raise RefusedError for an ensemble: whoever is tested in one fold has trained the others."""
    if is_folds(loaded.directory):
        raise RefusedError(
            "every case has trained some of the folds; scores.csv holds its score by the run that had not seen it",
            "give other cases with --data", loaded.directory.name,
        )  # fmt: skip


def _refuse_to_write_over(folder: Path, read: Sequence[Path], force: bool) -> None:
    """Raise UsageError where ``folder`` holds something else than this evaluation, or what is read from."""
    targets = [folder / name for name in ("scores.csv", "summary.json", "evaluation.json", "details.json",
                                          "timings.json", "intensities.json", "embeddings.npz")]  # fmt: skip
    refuse_to_replace(targets, read, force)
    own = [(folder / name).resolve() for name in ("predictions", "figures")]
    for path in read:
        if any(part in path.resolve().parents for part in own):
            raise UsageError("is read from, and lies where scores and predictions go", "give another --out", path)
    if not force and folder.is_dir() and any(folder.iterdir()):
        raise UsageError("is not empty and holds no evaluation of these data", "give another --out, or --force", folder)


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
    console.note(
        f"warning: {named} are left out: they, or scans of their subjects, trained this run or chose its weights"
    )
    return data.where(id=[case.id for case in data.cases if case.id not in set(ids)])


def _with_roles_of_the_run(data: Dataset, facts: Mapping[str, Any]) -> Dataset:
    """A site has the role that it had in the run, and none where it is new."""
    roles: Mapping[str, str] = facts.get("roles", {})
    return Dataset(data.task, [replace(c, role=roles.get(c.site)) for c in data.cases], data.loader)
