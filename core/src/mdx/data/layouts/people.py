"""Who is who in a folder: files of one name in several places, and one number at several sites."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mdx.data.layouts.layout import InitResult
from mdx.interfaces.dataset import Case


def name_after_folders(
    result: InitResult, folder: Path, names: set[str], folders_of: Callable[[Case], list[str]]
) -> set[str]:
    """Where one file name occurs in several folders of a site, the subject is the first folder below the site.

    Args:
        names: the subjects that only a file's name gave.
        folders_of: the folders of a case below its site, without those that only say that images are in them.

    Returns:
        The new subjects.
    """
    places: dict[tuple[str, str], set[tuple[str, ...]]] = defaultdict(set)
    for case in result.cases:
        if case.subject in names:
            places[case.site, case.subject].add(tuple(folders_of(case)))
    shared = {key for key, of in places.items() if len(of) > 1 and all(of)}
    if not shared:
        return set()
    told: dict[str, list[str]] = defaultdict(list)
    for i, case in enumerate(result.cases):
        if (case.site, case.subject) in shared:
            told[case.subject].append(folders_of(case)[0])
            result.cases[i] = replace(case, subject=folders_of(case)[0])
    name, found = next(iter(told.items()))
    result.messages.append(
        f"{len(told)} name(s) occur in several folders of a site, such as {name}: their subjects are the folders "
        f"({', '.join(sorted(set(found))[:3])}{', ...' if len(set(found)) > 3 else ''}); --subject-from gives others"
    )
    return {subject for subjects in told.values() for subject in subjects}


def part_people(result: InitResult, numbers: set[str]) -> None:
    """Two people with one number at two sites are two people: their subjects get the site before the number.

    ``numbers`` are the subjects that only the name of a file or folder within a site gave.
    """
    sites: dict[str, set[str]] = defaultdict(set)
    for case in result.cases:
        if case.subject in numbers:
            sites[case.subject].add(case.site)
    shared = sorted(name for name, of in sites.items() if len(of) > 1)
    if not shared:
        return
    result.cases = [
        replace(case, subject=f"{case.site}_{case.subject}") if case.subject in set(shared) else case
        for case in result.cases
    ]
    first = shared[0]
    result.messages.append(
        f"{len(shared)} name(s) occur at several sites, such as {first} ({', '.join(sorted(sites[first]))}): taken for "
        f"different people, {' and '.join(f'{site}_{first}' for site in sorted(sites[first])[:2])}; if they are "
        "travelling subjects, --subject-from with an expression for the file's name makes them one"
    )
