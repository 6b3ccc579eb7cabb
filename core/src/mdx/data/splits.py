"""Who is trained on, validated and tested; and which sites are source and target. Always by subject."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from mdx.data.config import DataConfig
from mdx.errors import DataError, nearest
from mdx.files import write_atomically
from mdx.interfaces.dataset import Case
from mdx.spreadsheets import defused


def assign_splits(cases: Sequence[Case], config: DataConfig) -> list[Case]:
    """Give every case a split: the table's own, or by subject within each site, determined by ``config.split_seed``.

    A table may name all splits, none, or only its test cases (the others are then divided into train and val). A
    subject at several sites counts as a site of its own kind and has one split everywhere. A site's subjects are
    ordered by a hash of seed and name, so a subject that is added moves few others. Raises DataError for a table that
    is divided in part.
    """
    given: dict[str, str] = {case.subject: case.split for case in cases if case.split is not None}
    lacking = [case for case in cases if case.split is None and case.subject not in given]
    if not lacking:
        return [replace(case, split=given[case.subject]) for case in cases]
    if set(given.values()) - {"test"}:
        raise DataError(
            f"{len(lacking)} case(s) have no split, such as {lacking[0].id}, others have",
            "fill the column 'split' for all, for the test cases only, or for none",
        )
    sites_of: dict[str, set[str]] = defaultdict(set)
    for case in lacking:
        sites_of[case.subject].add(case.site)
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for subject, sites in sites_of.items():
        groups[tuple(sorted(sites))].append(subject)
    chosen = dict(given)
    for subjects in groups.values():
        chosen |= _divide(subjects, config, with_test=not given)
    return [replace(case, split=chosen[case.subject]) for case in cases]


def _divide(subjects: Iterable[str], config: DataConfig, with_test: bool) -> dict[str, str]:
    """Subjects of one site to splits; someone is always left to train on, and test is filled before val."""
    ordered = sorted(subjects, key=lambda s: hashlib.sha256(f"{config.split_seed}/{s}".encode()).digest())
    n = len(ordered)
    n_test = min(_share(n, config.test_fraction), n - 1) if with_test else 0
    # where the test cases are given, val_fraction still means a part of all
    part = config.val_fraction if with_test else config.val_fraction / (1 - config.test_fraction)
    n_val = min(_share(n, part), n - n_test - 1)
    return {s: "test" if i < n_test else "val" if i < n_test + n_val else "train" for i, s in enumerate(ordered)}


def _share(n: int, fraction: float) -> int:
    return max(1, round(n * fraction)) if fraction > 0 else 0


def assign_roles(
    cases: Sequence[Case], source: Sequence[str], target: Sequence[str], reference: str | None = None
) -> list[Case]:
    """Give the named sites their roles; cases without a role are left out.

    Nothing named: the table's roles, or ``source`` for all where it has none. Only one of source and target named:
    every site that has no other role gets the other one. Raises DataError for a site that does not exist or has two
    roles.
    """
    sites = {case.site for case in cases}
    for name in (*source, *target, *([reference] if reference else [])):
        if name not in sites:
            raise DataError(f"there is no site '{name}' in the table", nearest(name, sites))
    both = sorted(set(source) & set(target))
    if both:
        raise DataError(f"the site '{both[0]}' is both source and target", "name each site once")
    if not source and not target:
        if any(case.role for case in cases):
            return [case for case in _with_reference(cases, reference) if case.role]
        return _with_reference([replace(case, role="source") for case in cases], reference)
    roles = dict.fromkeys(source, "source") | dict.fromkeys(target, "target")
    if reference is not None:
        roles.setdefault(reference, "reference")
    rest = "target" if not target else "source" if not source else None
    has_roles = any(case.role for case in cases)
    named = [replace(c, role=roles.get(c.site) or (c.role if has_roles and rest else rest)) for c in cases]
    return [case for case in named if case.role]


def _with_reference(cases: Sequence[Case], reference: str | None) -> list[Case]:
    if reference is None:
        return list(cases)
    return [replace(case, role="reference") if case.site == reference else case for case in cases]


def split_hash(cases: Iterable[Case]) -> str:
    """A hash of which case is in which split: equal for comparisons that are fair."""
    return hashlib.sha256(json.dumps(sorted((c.id, c.split or "") for c in cases)).encode()).hexdigest()[:16]


def write_splits(cases: Iterable[Case], path: Path) -> None:
    """Write case, subject, site, split and role of every case as CSV."""
    import csv
    import io

    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["case", "subject", "site", "split", "role"])
    writer.writerows([c.id, defused(c.subject), defused(c.site), c.split, c.role] for c in cases)
    write_atomically(path, stream.getvalue())
