"""Cross-validation: every subject is tested once, by the run that neither trained on it nor chose its weights by it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace

from mdx.data.config import DataConfig, SplitCounts
from mdx.data.labels.base import Label
from mdx.data.splits import roles_of_sites, share
from mdx.errors import DataError
from mdx.interfaces.dataset import Case

Group = tuple[str, ...]
"""The sites at which a subject was scanned."""
REMEDY = "give a table without the column 'split' to divide all subjects anew, or run it without folds"


def folds_of(cases: Sequence[Case], config: DataConfig, label: Label, column: str) -> dict[str, int]:
    """Subject -> the fold that tests it, 0 to ``config.folds`` - 1; a subject has one fold at all its sites.

    Subjects in the order of their sites, their label (see ``Label.stratum``) and a hash of ``config.split_seed`` and
    their name are dealt out one after the other. So the numbers of a site, and of a class within a site, differ by at
    most one between folds, where every subject is of one site. Those who were scanned at the same several sites are
    dealt out as one more such group, so that the numbers of a site can differ by one for each group that it is in.
    Raises DataError for a table that has splits of its own.
    """
    assert config.folds is not None  # asked for only with folds
    given = next((case for case in cases if case.split), None)
    if given is not None:
        raise DataError(f"the table says itself who is tested (the split of {given.id} is '{given.split}')", REMEDY)
    sites, strata = _sites_of(cases), _strata_of(cases, label, column)
    order = sorted(sites, key=lambda s: (sites[s], strata[s], _hash(config, "fold", s)))
    return {subject: place % config.folds for place, subject in enumerate(order)}


def assign_fold(cases: Sequence[Case], config: DataConfig, label: Label, column: str) -> list[Case]:
    """Give every case a split: ``test`` in ``config.fold``, else ``val`` or ``train``.

    ``config.val_fraction`` is a share of all subjects of a site, as without folds, or ``val`` of the numbers of its
    role; they are drawn anew for each fold, from each class in turn. Someone is always left to train on.
    """
    fold_of = folds_of(cases, config, label, column)
    sites, strata = _sites_of(cases), _strata_of(cases, label, column)
    counts = {"source": config.source_counts, "target": config.target_counts}
    roles = roles_of_sites(cases, config) if any(c != SplitCounts() for c in counts.values()) else {}
    rest: dict[Group, list[str]] = defaultdict(list)
    for subject, fold in fold_of.items():
        if fold != config.fold:
            rest[sites[subject]].append(subject)
    split = dict.fromkeys(fold_of, "test")
    for group, subjects in rest.items():
        of_sites = {roles.get(site, "") for site in group}
        asked = counts.get(of_sites.pop(), SplitCounts()).val if len(of_sites) == 1 else None
        whole = sum(of == group for of in sites.values())
        wanted = share(whole, config.val_fraction) if asked is None else asked
        drawn = _from_each_class(subjects, strata, config)
        n = min(wanted, len(subjects) - 1)
        split |= dict.fromkeys(drawn[:n], "val") | dict.fromkeys(drawn[n:], "train")
    return [replace(case, split=split[case.subject]) for case in cases]


def require_folds(
    cases: Sequence[Case], fold_of: Mapping[str, int], config: DataConfig, label: Label, column: str
) -> list[str]:
    """What the numbers of subjects are too small for, a sentence for each source site.

    Args:
        cases: with roles, of the sites that take part.
        fold_of: subject -> the fold that tests it, as the whole table is divided (see ``folds_of``).

    Raises DataError where some fold would test no labelled subject of a target site, or none at all.
    """
    assert config.folds is not None  # asked for only with folds
    subjects: dict[tuple[str, str], set[str]] = defaultdict(set)
    for case in cases:
        if label.is_known(case, column):
            subjects[case.site, case.role or ""].add(case.subject)
    everyone = len(set().union(*subjects.values())) if subjects else 0
    few = {place: len(names) for place, names in sorted(subjects.items()) if len(names) < config.folds}
    testing = {place: {fold_of[name] for name in names if name in fold_of} for place, names in sorted(subjects.items())}
    targets = {site: n for (site, role), n in few.items() if role == "target"}
    if targets or everyone < config.folds:
        said = ", ".join(f"{site} {n}" for site, n in targets.items())
        who = f"of subjects with a label the target site(s) {said} have fewer" if targets else f"there are {everyone}"
        most = min(targets.values()) if targets else everyone
        remedy = f"at most --folds {most}" if most > 1 else "run it without folds, or add subjects"
        raise DataError(f"{config.folds} folds test at least one subject of each target site each, and {who}", remedy)
    _require_tests_in_each({site: of for (site, role), of in testing.items() if role == "target"}, config.folds)
    return [
        f"the {role or 'other'} site {site} has {len(subjects[site, role])} subject(s): "
        f"{config.folds - len(of)} of {config.folds} folds test none"
        for (site, role), of in testing.items() if len(of) < config.folds
    ]  # fmt: skip


def _require_tests_in_each(testing: Mapping[str, Set[int]], folds: int) -> None:
    """Raise DataError for a target site of which some fold would test no labelled subject.

    There can be enough of them and one fold without: where subjects were scanned at several sites, or have no label.
    """
    for site, of in testing.items():
        none = sorted(set(range(folds)) - of)
        if none:
            raise DataError(
                f"of {folds} folds, fold {', '.join(map(str, none))} would test no subject with a label of the target "
                f"site {site}",
                "give fewer --folds, or run it without folds",
            )


def _sites_of(cases: Sequence[Case]) -> dict[str, Group]:
    found: dict[str, set[str]] = defaultdict(set)
    for case in cases:
        found[case.subject].add(case.site)
    return {subject: tuple(sorted(sites)) for subject, sites in found.items()}


def _strata_of(cases: Sequence[Case], label: Label, column: str) -> Mapping[str, Group]:
    """What the labels of each subject's cases are."""
    found: dict[str, set[str]] = defaultdict(set)
    for case in cases:
        found[case.subject].add(label.stratum(case, column))
    return {subject: tuple(sorted(names)) for subject, names in found.items()}


def _from_each_class(subjects: Sequence[str], strata: Mapping[str, Group], config: DataConfig) -> list[str]:
    """The subjects in an order of which every beginning holds the classes by their shares."""
    of_class: dict[Group, list[str]] = defaultdict(list)
    for subject in sorted(subjects, key=lambda s: _hash(config, f"val {config.fold}", s)):
        of_class[strata[subject]].append(subject)
    place = {s: (i + 0.5) / len(names) for names in of_class.values() for i, s in enumerate(names)}
    return sorted(place, key=lambda s: (place[s], _hash(config, f"val {config.fold}", s)))


def _hash(config: DataConfig, purpose: str, subject: str) -> bytes:
    return hashlib.sha256(f"{config.split_seed}/{purpose}/{subject}".encode()).digest()
