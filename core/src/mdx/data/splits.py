"""Who is trained on, validated and tested; and which sites are source and target. Always by subject."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path

from mdx.data.config import DataConfig, SplitCounts
from mdx.errors import DataError, nearest
from mdx.files import write_atomically
from mdx.interfaces.dataset import Case
from mdx.spreadsheets import defused

PURPOSE = {"val": "validate", "test": "test"}


def assign_splits(cases: Sequence[Case], config: DataConfig) -> list[Case]:
    """Give every case a split: the table's own, or by subject within each site, determined by ``config.split_seed``.

    A table may name all splits, none, or only its test or only its val cases (the others are then divided into train
    and the third). A subject at several sites counts as a site of its own kind and has one split everywhere. A site's
    subjects are ordered by a hash of seed and name, so a subject that is added moves few others. Numbers of subjects in
    place of fractions hold at the sites of a role. Raises DataError for a table that is divided otherwise, and for a
    site with fewer subjects than the numbers ask for.
    """
    given: dict[str, str] = {case.subject: case.split for case in cases if case.split is not None}
    lacking = [case for case in cases if case.split is None and case.subject not in given]
    if not lacking:
        return [replace(case, split=given[case.subject]) for case in cases]
    if set(given.values()) not in (set(), {"test"}, {"val"}):
        raise DataError(
            f"{len(lacking)} case(s) have no split, such as {lacking[0].id}, others have",
            "fill the column 'split' for all, for the test cases only, for the val cases only, or for none",
        )
    sites_of: dict[str, set[str]] = defaultdict(set)
    for case in lacking:
        sites_of[case.subject].add(case.site)
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for subject, sites in sites_of.items():
        groups[tuple(sorted(sites))].append(subject)
    counts = {"source": config.source_counts, "target": config.target_counts}
    roles = roles_of_sites(cases, config) if any(c != SplitCounts() for c in counts.values()) else {}
    chosen = dict(given)
    for sites, subjects in groups.items():
        of_sites = {roles.get(site, "") for site in sites}
        asked = counts.get(of_sites.pop(), SplitCounts()) if len(of_sites) == 1 else SplitCounts()
        chosen |= _divide(" and ".join(sites), subjects, config, set(given.values()), asked)
    return [replace(case, split=chosen[case.subject]) for case in cases]


def roles_of_sites(cases: Sequence[Case], config: DataConfig) -> dict[str, str]:
    """Site -> role, of the sites that have one."""
    return {case.site: case.role for case in assign_roles(cases, config.source, config.target) if case.role}


def _divide(
    site: str, subjects: Iterable[str], config: DataConfig, given: AbstractSet[str], counts: SplitCounts
) -> dict[str, str]:
    """Subjects of one site to the splits that are not given; someone is always left to train on, and test is filled
    before val.
    """
    ordered = sorted(subjects, key=lambda s: hashlib.sha256(f"{config.split_seed}/{s}".encode()).digest())
    n = len(ordered)
    fractions = {"test": config.test_fraction, "val": config.val_fraction}
    # a fraction means a part of all cases, also of those that the table names
    rest = 1 - sum(fractions.pop(split) for split in given)
    numbers = {split: getattr(counts, split) for split in fractions if getattr(counts, split) is not None}
    if any(numbers.values()) and sum(numbers.values()) >= n:
        asked = " and ".join(f"{number} to {PURPOSE[split]}" for split, number in numbers.items())
        raise DataError(
            f"the site {site} has {n} subject(s), and {asked} are asked for, which leaves none to train on",
            "lower data.source_counts or data.target_counts, or set them to null for the fractions: "
            "--set data.target_counts.val=null data.target_counts.test=null",
        )
    names: list[str] = []
    for split, fraction in fractions.items():
        wanted = numbers.get(split, share(n, fraction / rest))
        names += [split] * min(wanted, n - len(names) - 1)
    return dict(zip(ordered, [*names, *["train"] * (n - len(names))], strict=True))


def share(n: int, fraction: float) -> int:
    """How many of ``n`` subjects a fraction is: at least one, unless it is 0."""
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
            whole = next((site for site in sorted(sites) if name in (part.strip() for part in site.split(","))), None)
            remedy = f"a name with a comma stands in quotes: '\"{whole}\"'" if whole else nearest(name, sites)
            raise DataError(f"there is no site '{name}' in the table", remedy)
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


def write_splits(cases: Iterable[Case], path: Path, labelled: AbstractSet[str] | None = None) -> None:
    """Write case, subject, site, split and role of every case as CSV.

    With ids of ``labelled`` cases, those whose label may be read, also a column ``labelled`` of yes and no.
    """
    import csv
    import io

    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    more = [] if labelled is None else ["labelled"]
    writer.writerow(["case", "subject", "site", "split", "role", *more])
    for c in cases:
        said = [] if labelled is None else ["yes" if c.id in labelled else "no"]
        writer.writerow([c.id, defused(c.subject), defused(c.site), c.split, c.role, *said])
    write_atomically(path, stream.getvalue())
