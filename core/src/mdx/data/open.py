"""From a URI to a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mdx import console
from mdx.data.batches.loading import TableLoader
from mdx.data.budgets import within_budget
from mdx.data.cells import TABLES
from mdx.data.config import DataConfig
from mdx.data.files.images import header_of
from mdx.data.folds import assign_fold, folds_of, require_folds
from mdx.data.labels import UNLABELLED, find_label, label_of
from mdx.data.splits import assign_roles, assign_splits
from mdx.data.table import cases_as_rows, read_table, rows_as_cases
from mdx.errors import DataError, nearest
from mdx.interfaces.dataset import Case, Dataset, Task


def open_dataset(uri: str, config: DataConfig, tasks: Sequence[str] = ()) -> Dataset:
    """The dataset of an address: ``csv:PATH`` or a bare path to a table; a layout and its folder (``bids:/study``,
    ``folder:/images``, ``cc359:/data``), read as ``mdx data init`` reads it; or a scheme of a plugin (``sim:brain``).

    Args:
        tasks: kinds that are preferred where the data have labels of several.

    Labels beyond a budget (``data.labelled``) are hidden. Raises DataError for an unknown scheme and for everything
    wrong with the table.
    """
    return within_budget(_open(uri, config, tasks), config)


def _open(uri: str, config: DataConfig, tasks: Sequence[str]) -> Dataset:
    scheme, colon, rest = uri.partition(":")
    if scheme == "csv" and colon:
        return open_table(Path(rest).expanduser(), config, tasks)
    named = colon and scheme.isidentifier() and len(scheme) > 1  # C:\data is a path
    if uri.lower().endswith(TABLES) and (not named or Path(uri).exists()):
        return open_table(uri, config, tasks)
    from mdx.data.layouts.layout import layouts
    from mdx.plugins.discovery import provided
    from mdx.plugins.manager import installed_hooks

    folders = layouts()
    if colon and scheme in folders:
        return open_folder(scheme, rest, config, tasks)
    providers = provided("datasets")
    if not colon or scheme not in providers:
        hooks = installed_hooks(lambda sentence: None)  # a broken plugin is reported by the run itself
        opened = hooks.call("mdx_open_dataset", scheme=scheme, rest=rest, config=config)
        if opened is not None:
            return _unlabelled(opened, config, tasks)
        raise DataError(
            f"'{uri}' names no data that can be opened: {nearest(scheme, {*providers, *folders, 'csv'})}",
            "give a table (.csv, .tsv, .parquet) or one of "
            + ", ".join(f"{name}:" for name in sorted({*providers, *folders, "csv"})),
        )
    return _unlabelled(providers[scheme]()(rest, config), config, tasks)


def open_table(path: str | Path, config: DataConfig, tasks: Sequence[str] = ()) -> Dataset:
    """The dataset of a table: cases with splits and roles, and the task that its label column makes it."""
    return _dataset(read_table(path, config), path, config, tasks)


def open_folder(layout: str, rest: str, config: DataConfig, tasks: Sequence[str] = ()) -> Dataset:
    """The dataset of a folder in a layout, with options: ``open_folder("bids", "/study?suffix=T1w,FLAIR", config)``.

    It is the dataset of the table that ``mdx data init`` would write. Contrasts become the columns of images unless
    ``config`` names these itself. What was left out is counted on one line of the standard error output.
    """
    cases, folder, config = read_folder(layout, rest, config)
    return _dataset(cases, folder, config, tasks)


def read_folder(layout: str, rest: str, config: DataConfig) -> tuple[list[Case], Path, DataConfig]:
    """The cases of ``open_folder`` without splits and roles of mdx's own; the folder; the columns of their images."""
    from mdx.data.layouts.init import find_cases
    from mdx.data.layouts.layout import split_address

    path, options = split_address(rest)
    folder = Path(path).expanduser().absolute()
    if not folder.is_dir():
        raise DataError("is no folder", f"give the folder of the data after '{layout}:'", folder)
    result = find_cases(layout, folder, options)
    left = f", {len(result.skipped)} left out ({result.reasons()})" if result.skipped else ""
    console.note(f"{layout}:{path}: {len(result.cases)} cases{left}")
    if "image" not in config.model_fields_set:
        config = config.model_copy(update={"image": tuple(result.cases[0].images)})
    return rows_as_cases(*cases_as_rows(result.cases, folder), folder, folder, config), folder, config


def _unlabelled(data: Dataset, config: DataConfig, tasks: Sequence[str]) -> Dataset:
    """Data that a plugin has opened, without their labels where only images are asked for."""
    wanted = [task for task in tasks if task in UNLABELLED]
    if not wanted or data.task.kind in tasks:
        return data
    task = replace(data.task, kind=wanted[0], label="", classes=(), label_values=())
    loader = TableLoader(data.loader.config, task) if isinstance(data.loader, TableLoader) else data.loader
    shown = [label_of(task).shown(case, config) for case in data.cases]
    made = Dataset(task, shown, loader, data.cohorts)
    made.split_given = data.split_given
    return made


def _dataset(cases: Sequence[Case], path: str | Path, config: DataConfig, tasks: Sequence[str]) -> Dataset:
    given = any(case.split for case in cases)
    try:
        whole = cases
        cases = with_splits(cases, config, tasks)
        cases = assign_roles(cases, config.source, config.target, config.reference)
        if config.folds is not None:
            label, column = find_label(whole, config, tasks)
            require_folds(cases, folds_of(whole, config, label, column), config, label, column)
    except DataError as error:
        raise error if error.where else DataError(error.what, error.remedy, path) from error
    task = infer_task(cases, config, tasks)
    made = Dataset(task, [label_of(task).shown(case, config) for case in cases], TableLoader(config, task))
    made.split_given = given
    return made


def with_splits(cases: Sequence[Case], config: DataConfig, tasks: Sequence[str] = ()) -> list[Case]:
    """Every case with its split: that of a fold where folds are asked for."""
    if config.folds is None:
        return assign_splits(cases, config)
    return assign_fold(cases, config, *find_label(cases, config, tasks))


def infer_task(cases: Sequence[Case], config: DataConfig, tasks: Sequence[str] = ()) -> Task:
    """What a table's labels make the task, from the columns, one image's header and, for ``each``, the masks.

    Among several labels those of ``tasks`` come first, then masks, classes and numbers, unless ``data.label`` names a
    column. Raises DataError for a label column that does not exist.
    """
    dims, channels = _first_readable(cases, config)
    sites = tuple(sorted({case.site for case in cases}))
    label, column = find_label(cases, config, tasks)
    more = {"classes": (), **label.details(cases, column, config)}
    return Task(label.kind, channels=channels, dims=dims, sites=sites, label=column, **more)


def _first_readable(cases: Sequence[Case], config: DataConfig) -> tuple[int, tuple[str, ...]]:
    """Dimensions and channel names from the first case whose files can be read; ``check`` names those that cannot."""
    first_error: DataError | None = None
    for case in cases:
        try:
            headers = {column: header_of(case.images[column]) for column in config.image}
        except DataError as error:
            first_error = first_error or error
            continue
        names = tuple(column if n == 1 else f"{column}[{i}]" for column, (_, n) in headers.items() for i in range(n))
        return next(iter(headers.values()))[0], names
    raise first_error or DataError("no case is left", "check the sites given as source and target")
