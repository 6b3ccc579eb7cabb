"""What a run has seen in training: the images and subjects that no later test of it may hold."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from mdx.data.files.facts import FileFacts, read_facts
from mdx.files import write_json
from mdx.interfaces.dataset import Case, Dataset
from mdx.runs.folders import read_json

FILE = "seen.json"


@dataclass(frozen=True)
class Seen:
    """Digests of the images, and the (subject, site) of the cases, that trained a run or chose its weights."""

    digests: frozenset[str]
    subjects: frozenset[tuple[str, str]]

    def cases_of(self, data: Dataset) -> list[str]:
        """The ids of the cases of ``data`` whose image or subject is among them."""
        found = digests(data.cases)
        return [
            case.id for case in data.cases
            if (case.subject, case.site) in self.subjects or any(d in self.digests for d in found[case.id])
        ]  # fmt: skip


def digests(cases: Iterable[Case]) -> dict[str, list[str]]:
    """Case id -> a hash of the values of each of its images; an image that cannot be read has none."""
    cases = list(cases)
    facts = read_facts([path for case in cases for path in case.images.values()], "image")
    return {
        case.id: [f.digest for path in case.images.values() if isinstance(f := facts[path], FileFacts)]
        for case in cases
    }


def record_seen(data: Dataset, directory: Path) -> None:
    """Write down the train and val cases of a dataset and of its cohorts."""
    cases = [c for part in (data, *data.cohorts.values()) for c in part.where(split=["train", "val"]).cases]
    found = digests(cases)
    subjects = {(c.subject, c.site) for c in cases}
    write_seen({d for each in found.values() for d in each}, subjects, directory)


def write_seen(digests: AbstractSet[str], subjects: AbstractSet[tuple[str, str]], directory: Path) -> None:
    """Write down what trained whatever is in a directory."""
    write_json(directory / FILE, {"digests": sorted(digests), "subjects": sorted(subjects)})


def read_seen(directory: Path) -> Seen:
    """What ``record_seen`` wrote of a run. Raises DataError if it is missing or damaged."""
    facts = read_json(directory / FILE)
    return Seen(frozenset(facts["digests"]), frozenset((s, site) for s, site in facts["subjects"]))
