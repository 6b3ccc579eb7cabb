"""From a URI to a dataset."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from mdx.data.config import DataConfig
from mdx.data.facts import FileFacts, read_facts
from mdx.data.images import header_of
from mdx.data.loading import TableLoader
from mdx.data.splits import assign_roles, assign_splits
from mdx.data.table import MOST_CLASSES_OF_NUMBERS, TABLES, cases_as_rows, read_table, rows_as_cases
from mdx.errors import DataError, nearest
from mdx.interfaces.dataset import Case, Dataset, Task, TaskKind


def open_dataset(uri: str, config: DataConfig) -> Dataset:
    """The dataset of an address: ``csv:PATH`` or a bare path to a table; a layout and its folder (``bids:/study``,
    ``folder:/images``, ``cc359:/data``), read as ``mdx data init`` reads it; or a scheme of a plugin (``sim:brain``).

    Raises DataError for an unknown scheme and for everything wrong with the table.
    """
    scheme, colon, rest = uri.partition(":")
    if scheme == "csv" and colon:
        return open_table(Path(rest).expanduser(), config)
    named = colon and scheme.isidentifier() and len(scheme) > 1  # C:\data is a path
    if uri.lower().endswith(TABLES) and (not named or Path(uri).exists()):
        return open_table(uri, config)
    from mdx.data.layouts import layouts
    from mdx.plugins.discovery import provided
    from mdx.plugins.manager import installed_hooks

    folders = layouts()
    if colon and scheme in folders:
        return open_folder(scheme, rest, config)
    providers = provided("datasets")
    if not colon or scheme not in providers:
        hooks = installed_hooks(lambda sentence: None)  # a broken plugin is reported by the run itself
        opened = hooks.call("mdx_open_dataset", scheme=scheme, rest=rest, config=config)
        if opened is not None:
            return opened
        raise DataError(
            f"'{uri}' names no data that can be opened: {nearest(scheme, {*providers, *folders, 'csv'})}",
            "give a table (.csv, .tsv, .parquet) or one of "
            + ", ".join(f"{name}:" for name in sorted({*providers, *folders, "csv"})),
        )
    return providers[scheme]()(rest, config)


def open_table(path: str | Path, config: DataConfig) -> Dataset:
    """The dataset of a table: cases with splits and roles, and the task that its label column makes it."""
    return _dataset(read_table(path, config), path, config)


def open_folder(layout: str, rest: str, config: DataConfig) -> Dataset:
    """The dataset of a folder in a layout, with options: ``open_folder("bids", "/study?suffix=T1w,FLAIR", config)``.

    It is the dataset of the table that ``mdx data init`` would write. Contrasts become the columns of images unless
    ``config`` names these itself. What was left out is counted on one line of the standard error output.
    """
    cases, folder, config = read_folder(layout, rest, config)
    return _dataset(cases, folder, config)


def read_folder(layout: str, rest: str, config: DataConfig) -> tuple[list[Case], Path, DataConfig]:
    """The cases of ``open_folder`` without splits and roles of mdx's own; the folder; the columns of their images."""
    from mdx.data.init import find_cases
    from mdx.data.layouts import split_address

    path, options = split_address(rest)
    folder = Path(path).expanduser().absolute()
    if not folder.is_dir():
        raise DataError("is no folder", f"give the folder of the data after '{layout}:'", folder)
    result = find_cases(layout, folder, options)
    left = f", {len(result.skipped)} left out ({result.reasons()})" if result.skipped else ""
    sys.stderr.write(f"{layout}:{path}: {len(result.cases)} cases{left}\n")
    if "image" not in config.model_fields_set:
        config = config.model_copy(update={"image": tuple(result.cases[0].images)})
    return rows_as_cases(*cases_as_rows(result.cases, folder), folder, folder, config), folder, config


def _dataset(cases: Sequence[Case], path: str | Path, config: DataConfig) -> Dataset:
    given = any(case.split for case in cases)
    try:
        cases = assign_splits(cases, config)
        cases = assign_roles(cases, config.source, config.target, config.reference)
    except DataError as error:
        raise error if error.where else DataError(error.what, error.remedy, path) from error
    task = infer_task(cases, config)
    made = Dataset(task, cases, TableLoader(config, task))
    made.split_given = given
    return made


def infer_task(cases: Sequence[Case], config: DataConfig) -> Task:
    """What the label column makes the task, from the columns, one image's header and, for ``each``, the masks.

    Masks, unless another column is named as the label: segmentation. Texts, or whole numbers of which there are at most
    ten: classification. Other numbers: regression. Without the default column ``mask``, ``class`` and ``age`` are
    looked for; without any, the task is harmonisation. Raises DataError for a label column that does not exist.
    """
    dims, channels = _first_readable(cases, config)
    sites = tuple(sorted({case.site for case in cases}))
    is_mask = config.label == "mask" or not any(config.label in case.columns for case in cases)
    if is_mask and any(case.mask is not None for case in cases):
        classes, values = mask_classes(cases, config)
        return Task("segmentation", classes, channels, dims, sites, "mask", values)
    columns = {name for case in cases for name in case.columns}
    label = config.label
    if label == "mask":
        label = next((name for name in ("class", "age") if name in columns), "")
        if not label:
            return Task("harmonisation", (), channels, dims, sites, "")
    if label not in columns:
        raise DataError(f"the table has no column '{label}'", nearest(label, columns))
    values = [case.columns.get(label) for case in cases]
    if not any(value is not None for value in values):
        raise DataError(f"no case has a value in the column '{label}'", "fill it, or name another with data.label")
    if label == "age":
        return Task("regression", (), channels, dims, sites, label)  # few people have few ages
    kind, names = _kind_of(values)
    return Task(kind, names, channels, dims, sites, label)


def _kind_of(values: Sequence[object]) -> tuple[TaskKind, tuple[str, ...]]:
    found = {value for value in values if value is not None}
    if not found:
        raise DataError("the label column is empty", "fill it, or name another with --set data.label=COLUMN")
    is_text = any(isinstance(value, str) for value in found)
    if is_text or (all(isinstance(v, int) for v in found) and len(found) <= MOST_CLASSES_OF_NUMBERS):
        return "classification", tuple(str(value) for value in sorted(found, key=lambda v: (isinstance(v, str), v)))
    return "regression", ()


def mask_classes(cases: Sequence[Case], config: DataConfig) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """Names of the classes and the mask values of each; an empty tuple of values stands for every value above 0."""
    if config.classes == "foreground":
        return ("foreground",), ((),)
    if config.classes != "each":
        return tuple(config.classes), tuple((int(value),) for value in config.classes)
    facts = read_facts([case.mask for case in cases if case.mask is not None], "mask")
    found = sorted({value for f in facts.values() if isinstance(f, FileFacts) for value in f.labels})
    if not found:
        errors = [f for f in facts.values() if isinstance(f, DataError)]
        raise errors[0] if errors else DataError("every mask is empty", "check that the column 'mask' names masks")
    return tuple(map(str, found)), tuple((value,) for value in found)


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
