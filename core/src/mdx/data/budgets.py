"""Label budgets: only so many training subjects keep their labels, the others are shown without."""

from __future__ import annotations

import hashlib
from collections import defaultdict

from mdx.data.config import DataConfig
from mdx.errors import DataError
from mdx.interfaces.dataset import Dataset

Subjects = dict[str, list[str]]
"""Subjects by the site, or the sites together, at which they were scanned."""


def within_budget(data: Dataset, config: DataConfig) -> Dataset:
    """``data`` with the labels hidden that ``config.labelled`` does not allow; all of them without it.

    The budget is divided between sites by their numbers of subjects, each having one where it reaches that far; a
    subject at several sites counts as a site of its own kind. Subjects are drawn by a hash of ``config.labelled_seed``
    and their name. Those of a budget are among those of a larger one. Raises DataError where fewer subjects have labels
    than are to keep theirs.
    """
    if config.labelled is None:
        return data
    subjects = _subjects(data, config)
    kept = _divide(subjects, _number(subjects, config))
    chosen = {subject for site, count in kept.items() for subject in subjects[site][:count]}
    candidates = _candidates(data, config).cases
    hidden = [case.id for case in candidates if case.subject not in chosen]
    made = data.without_labels(id=hidden)
    made.split_given = data.split_given
    return made


def said(data: Dataset, config: DataConfig) -> str:
    """The budget of ``data`` (as ``within_budget`` returned it) in words; empty without one."""
    if config.labelled is None:
        return ""
    subjects = _subjects(data.revealed(), config)
    shown = {case.subject for case in _candidates(data, config).cases}
    sites = {site: (sum(name in shown for name in names), len(names)) for site, names in sorted(subjects.items())}
    kept, total = (sum(pair[i] for pair in sites.values()) for i in (0, 1))
    return (
        f"{kept} of {total} training subjects{_of_role(config)} keep their labels (data.labelled={config.labelled}, "
        f"data.labelled_seed={config.labelled_seed}): {_listed({s: f'{k} of {n}' for s, (k, n) in sites.items()})}"
    )


def _candidates(data: Dataset, config: DataConfig) -> Dataset:
    """The labelled training cases that the budget counts."""
    found = data.where(split="train").labelled
    return found if config.labelled_role == "all" else found.where(role=config.labelled_role)


def _subjects(data: Dataset, config: DataConfig) -> Subjects:
    """The subjects that the budget counts, those first that are to keep their labels first."""
    sites: dict[str, set[str]] = defaultdict(set)
    for case in _candidates(data, config).cases:
        sites[case.subject].add(case.site)
    found: Subjects = defaultdict(list)
    for subject in sorted(sites, key=lambda name: _hash(config, name)):
        found[" and ".join(sorted(sites[subject]))].append(subject)
    return dict(sorted(found.items(), key=lambda pair: (-len(pair[1]), _hash(config, pair[0]))))


def _hash(config: DataConfig, name: str) -> bytes:
    return hashlib.sha256(f"{config.labelled_seed}/labelled/{name}".encode()).digest()


def _number(subjects: Subjects, config: DataConfig) -> int:
    """How many subjects keep their labels."""
    text, total = str(config.labelled), sum(map(len, subjects.values()))
    wanted = max(1, round(total * float(text[:-1]) / 100)) if text.endswith("%") else int(text)
    if wanted > total:
        there = f" ({_listed({s: str(len(n)) for s, n in sorted(subjects.items())})})" if total else ""
        raise DataError(
            f"{wanted} training subject(s){_of_role(config)} are to keep their labels, and {total} have one{there}",
            "lower data.labelled, or set it to null for all labels; data.labelled_role says whose are counted",
        )
    return wanted


def _divide(subjects: Subjects, wanted: int) -> dict[str, int]:
    """How many subjects of each site: one after the other where the site's share is furthest behind (Sainte-Laguë)."""
    kept = dict.fromkeys(subjects, 0)
    for _ in range(wanted):
        behind = {s: len(names) / (kept[s] + 0.5) if kept[s] else float("inf") for s, names in subjects.items()}
        kept[max((s for s in kept if kept[s] < len(subjects[s])), key=behind.__getitem__)] += 1
    return kept


def _of_role(config: DataConfig) -> str:
    return "" if config.labelled_role == "all" else f" of the {config.labelled_role}"


def _listed(sites: dict[str, str]) -> str:
    return ", ".join(f"{site} {text}" for site, text in sites.items())
