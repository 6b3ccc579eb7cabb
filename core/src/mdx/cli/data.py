"""``mdx data``: write a table from a folder, check what it names, divide its subjects."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mdx.errors import PluginError
from mdx.plugins.discovery import provided

if TYPE_CHECKING:
    from mdx.data.config import DataConfig
    from mdx.interfaces.dataset import Dataset

SHOWN = 20
ANYTHING = {"ignore_unknown_options": True, "allow_extra_args": True}

data_app = typer.Typer(
    help="Write, check and divide the table of a cohort.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)


@data_app.command("init")
def init_command(
    folder: str = typer.Argument(
        help="A folder, or an address with options such as 'bids:/study?suffix=T1w,FLAIR'.", metavar="FOLDER"
    ),
    out: Path = typer.Option(Path("cohort.csv"), help="The table to write."),
    layout: str = typer.Option(
        None, metavar="NAME", help="bids, msd, ixi, prostate or a plugin's; found by itself; none: a plain folder."
    ),
    site_from: str = typer.Option(
        None,
        metavar="RULE",
        help="Site: a column of the joined table, 'folder', or a REGEX (first group, in the path).",
    ),
    subject_from: str = typer.Option(None, metavar="RULE", help="Subject: the same."),
    class_from: str = typer.Option(None, metavar="RULE", help="Class: the same."),
    join: Path = typer.Option(None, metavar="TABLE", help="A table with more columns, such as a manifest with sites."),
    on: str = typer.Option(None, metavar="COLUMN", help="Its column that names files or subjects."),
    force: bool = typer.Option(False, "--force", help="Write over a table that is there."),
) -> None:
    """Write a table from a folder of images and masks, and list what was left out."""
    from mdx.data.layouts.init import init_table

    result = init_table(
        folder, out, layout=layout, site_from=site_from, subject_from=subject_from, class_from=class_from, join=join,
        on=on, overwrite=force,
    )  # fmt: skip
    sites = Counter(case.site for case in result.cases)
    masks = sum(case.mask is not None for case in result.cases)
    classes = Counter(str(c.columns["class"]) for c in result.cases if c.columns.get("class") is not None)
    typer.echo(f"{out}: {len(result.cases)} cases of {len({c.subject for c in result.cases})} subjects, {masks} masks")
    for site, n in sorted(sites.items()):
        typer.echo(f"  site {site}: {n}")
    if classes:
        listed = ", ".join(f"{name} {n}" for name, n in classes.most_common(SHOWN))
        typer.echo(f"  classes: {listed}" + (f" and {len(classes) - SHOWN} more" if len(classes) > SHOWN else ""))
    for message in result.messages:
        typer.echo(f"note: {message}")
    for name, reason in result.skipped[:SHOWN]:
        typer.echo(f"skipped: {name}: {reason}")
    for reason, n in Counter(reason for _, reason in result.skipped[SHOWN:]).most_common():
        typer.echo(f"skipped: {n} more: {reason}")
    typer.echo(f"next: mdx data check {out}")


@data_app.command("check")
def check_command(
    data: str = typer.Argument(help="A table, or a URI such as sim:brain.", metavar="URI"),
    assignments: list[str] = typer.Option(None, "--set", metavar="KEY=VALUE", help="A setting of the data."),
    page: Path = typer.Option(None, "--page", metavar="FILE.html", help="Write what was found as a page, too."),
    force: bool = typer.Option(False, "--force", help="Write over a page that is there."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Read every file and name everything that is wrong with it, with the remedy. Exit code 4 if there is an error."""
    from mdx.data.checks import check
    from mdx.data.confounding import confounding_table
    from mdx.data.open import open_dataset
    from mdx.data.overview import HEADS, far_apart, overview
    from mdx.data.table import files_of
    from mdx.errors import DataError
    from mdx.files import refuse_to_replace

    config = _config(assignments)
    dataset = open_dataset(data, config)
    if page:
        refuse_to_replace([page], [*files_of(dataset.cases), Path(data.removeprefix("csv:")).expanduser()], force)
    report = check(dataset, config)
    sites = overview(dataset)
    report.notes.extend(far_apart(sites, config.intensity))
    confounding = confounding_table(dataset.revealed())
    if page:
        from mdx.report.dataset import write_dataset_page

        write_dataset_page(page, data, dataset, report, sites, confounding)
    if as_json:
        found = {**report.as_dict(), "confounding": confounding, "sites": [vars(site) for site in sites]}
        typer.echo(json.dumps(found, indent=1))
    else:
        for title, problems in (("error", report.errors), ("warning", report.warnings), ("note", report.notes)):
            for problem in problems:
                typer.echo(f"{title}: {problem}")
        _print_table([list(HEADS), *(site.cells() for site in sites)])
        if confounding is not None:
            _print_confounding(confounding)
        warnings = len(report.warnings) + (confounding is not None and bool(confounding["warning"]))
        typer.echo(f"{report.cases} cases, {report.files} files: {len(report.errors)} errors, {warnings} warnings")
        if page:
            typer.echo(f"page: {page}")
        if not report.errors and (following := _next(data, dataset, assignments or [])):
            typer.echo(f"next: {following}")
    if report.errors:
        raise typer.Exit(DataError.exit_code)


def _next(address: str, data: Dataset, assignments: list[str]) -> str:
    """A run of the first method that takes such data; nothing where none is installed."""
    from mdx.config import in_quotes
    from mdx.plugins.discovery import discover

    fit = [
        p.name for p in discover().values()
        if p.manifest and p.manifest.adapter and (c := p.manifest.capabilities)
        and data.task.kind in c.tasks and data.task.dims in c.dims
    ]  # fmt: skip
    if not fit:
        return ""
    sizes = Counter(case.site for case in data.cases).most_common()
    told = list(assignments)
    if len(sizes) > 1 and not any(case.role == "target" for case in data.cases):
        first, *others = (in_quotes(site) for site, _ in sizes)
        told += [f"source={first}", f"target={','.join(sorted(others))}"]
    return shlex.join(["mdx", "run", fit[0], "--data", address, *(["--set", *told] if told else [])])


def _print_table(rows: list[list[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    typer.echo("")
    for row in rows:
        typer.echo("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip())


def _print_confounding(table: dict) -> None:
    rows = table["table"]
    columns = list(next(iter(rows.values())))
    width = max(len("site"), *map(len, rows))
    typer.echo(f"\n{table['title']}")
    typer.echo("  ".join(["site".ljust(width), *columns]))
    for site, cells in rows.items():
        shown = [f"{cells[c]:.4g}" if isinstance(cells[c], float) else str(cells[c]) for c in columns]
        typer.echo("  ".join([site.ljust(width), *(s.rjust(len(c)) for s, c in zip(shown, columns, strict=True))]))
    if table["association"] is not None:
        typer.echo(f"{table['measure']}: {table['association']:.2f}")
    if table["warning"]:
        typer.echo(f"warning: {table['warning']}")
    typer.echo("")


@data_app.command("split")
def split_command(
    table: Path = typer.Argument(help="The table of a cohort."),
    out: Path = typer.Option(None, help="The table to write, with the column split; TABLE_split.csv if not given."),
    assignments: list[str] = typer.Option(None, "--set", metavar="KEY=VALUE", help="data.split_seed, test_fraction..."),
    force: bool = typer.Option(False, "--force", help="Write over a table that is there."),
) -> None:
    """Divide the subjects of each site into train, val and test, and write the table with its splits."""
    from mdx.data.open import with_splits
    from mdx.data.splits import split_hash
    from mdx.data.table import files_of, read_table, write_table
    from mdx.files import refuse_to_replace

    out = out or table.with_name(f"{table.stem}_split.csv")
    refuse_to_replace([out], [table], force)
    config = _config(assignments)
    cases = with_splits(read_table(table, config), config)
    refuse_to_replace([out], files_of(cases), force)
    write_table(cases, out)
    counts = Counter((case.site, case.split) for case in cases)
    for site in sorted({case.site for case in cases}):
        typer.echo(f"  site {site}: " + ", ".join(f"{counts[site, s]} {s}" for s in ("train", "val", "test")))
    typer.echo(f"{out}: {len(cases)} cases, split {split_hash(cases)}")


IN_PACKAGES = {"prepare": "mdx-prepare"}
"""Verbs of packages of mdx that need not be installed."""


def _lend_verbs() -> None:
    """Add the verbs that packages and plugins bring (``[provides.data_verbs]``).

    One that is missing or broken says so when it is asked for, and takes no other down.
    """
    own = {command.name for command in data_app.registered_commands}  # which nobody replaces
    brought = provided("data_verbs")
    for name in sorted({*IN_PACKAGES, *brought} - own):
        try:
            if name not in brought:
                package = IN_PACKAGES[name]
                raise PluginError(
                    f"'mdx data {name}' is in {package}, which is not installed", f"pip install {package}"
                )
            data_app.command(name)(brought[name]())
        except PluginError as error:
            data_app.command(name, help=error.what, context_settings=ANYTHING)(_refuses(error))


def _refuses(error: PluginError) -> Callable[..., None]:
    def refuse(context: typer.Context) -> None:
        raise error

    return refuse


def _config(assignments: list[str] | None) -> DataConfig:
    from mdx.config import Settings, parse_assignments, resolve
    from mdx.data.config import DataConfig

    return resolve([("--set", parse_assignments(assignments or []))], Settings, DataConfig).data


_lend_verbs()
