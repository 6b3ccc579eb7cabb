"""Do the values of masks mean what is taken of them? A look at value, site and share of the cases.

``classes=each`` makes a class of every value. That is wrong where a site codes its classes in another way, where a mask
numbers objects, where saving or resizing has left values in between, and where a value is a slip of one file.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from mdx.data.config import DataConfig
from mdx.data.files.facts import FileFacts
from mdx.data.files.formats import suffix_of
from mdx.data.problems import Problem
from mdx.interfaces.dataset import Case

USUAL = 0.5
"""A value is usual at a site if this share of the site's masks holds it."""
RARE = 0.05
FEWEST_MASKS = 4
MANY_VALUES = 12
NEARLY_WHITE = 200
WHITE, SMALL_LABELS = 255, 32

Masks = Sequence[tuple[Case, Path, FileFacts]]


def mask_errors(masks: Masks, config: DataConfig) -> Iterator[Problem]:
    """Masks that would train something else than was meant."""
    for case, path, facts in masks:
        if suffix_of(path) in (".jpg", ".jpeg") and len(facts.labels) > 1:
            yield Problem(
                case.id,
                f"{path}: holds {len(facts.labels)} values above 0, {_span(facts.labels)}: a JPEG cannot hold labels, "
                "for saving changes its values",
                "save the masks as PNG from where they were drawn, or threshold them and save PNG",
            )
    if config.classes != "each":
        return
    drawn = [entry for entry in masks if suffix_of(entry[1]) not in (".jpg", ".jpeg")]
    smeared = _smeared(drawn)
    for case, path, facts in smeared:
        (first, n), *_ = sorted(facts.labels.items(), key=lambda item: -item[1])
        share = n / sum(facts.labels.values())
        yield Problem(
            case.id,
            f"{path}: holds {len(facts.labels)} values above 0, of which {first} has {share:.0%} of the voxels: values "
            "in between were left by lossy saving, smoothing or resizing",
            "threshold the mask and save it again (resize masks with nearest neighbours)",
        )
    numbered = [] if smeared else [entry for entry in drawn if _counts_up(entry[2].labels)]
    highest = sorted({max(facts.labels) for _, _, facts in numbered})
    if len(numbered) >= 0.8 * len(drawn) and len(highest) > 1 and highest[-1] >= max(MANY_VALUES, 2 * highest[0]):
        yield Problem(
            "the table", f"the masks number objects, 1 to {highest[0]} in one and 1 to {highest[-1]} in another, where "
            "a class for each value was expected",
            "--set data.classes=foreground makes them one class",
        )  # fmt: skip
    elif not smeared:
        yield from _coding(drawn, shared=False)
        yield from _never_together(drawn, certain=True)


def mask_warnings(masks: Masks, config: DataConfig) -> Iterator[Problem]:
    """Values that may be slips: in very few masks, or only along the border of two others."""
    if config.classes != "each":
        return
    holders: dict[int, list[tuple[Case, int]]] = defaultdict(list)
    for case, _, facts in masks:
        for value, n in facts.labels.items():
            holders[value].append((case, n))
    common = [value for value, found in holders.items() if len(found) >= USUAL * len(masks)]
    for value, found in sorted(holders.items()):
        if len(masks) >= FEWEST_MASKS and common and len(found) <= max(1, RARE * len(masks)):
            named = ", ".join(f"{case.id}: {n} voxel(s)" for case, n in found[:3])
            yield Problem(
                "the table", f"the mask value {value} is in {len(found)} of {len(masks)} masks only ({named})",
                "if it is a slip, correct it or name the classes with --set data.classes=...; else its scores rest on "
                "these",
            )  # fmt: skip
    yield from _coding(masks, shared=True)
    yield from _never_together(masks, certain=False)
    yield from _left_over(masks)
    rims: Counter[int] = Counter(value for _, _, facts in masks for value in facts.rims)
    for value, n in sorted(rims.items()):
        if n >= USUAL * len(holders[value]):
            yield Problem(
                "the table", f"in {n} of {len(holders[value])} masks the value {value} lies only along the border "
                "between a lower and a higher one, as interpolation leaves it",
                "resize masks with nearest neighbours",
            )  # fmt: skip


def _only_at(masks: Masks) -> Iterator[tuple[str, str, set[int], set[int], bool]]:
    """Pairs of sites with a usual value each that the other never has; these values, and whether any is shared."""
    found: dict[str, Counter[int]] = defaultdict(Counter)
    total: Counter[str] = Counter()
    for case, _, facts in masks:
        if facts.labels:
            found[case.site].update(facts.labels.keys())
            total[case.site] += 1
    usual = {site: {v for v, n in counts.items() if n >= USUAL * total[site]} for site, counts in found.items()}
    for one, other in combinations(sorted(usual), 2):
        only = usual[one] - set(found[other]), usual[other] - set(found[one])
        if all(only):
            yield one, other, *only, bool(usual[one] & usual[other])


def _coding(masks: Masks, shared: bool) -> Iterator[Problem]:
    """Sites that seem to code their classes differently; ``shared``: although they have some values in common."""
    for one, other, mine, theirs, common in _only_at(masks):
        if common == shared:
            yield Problem(
                f"sites {one} and {other}",
                f"the mask value {_values(mine)} is only at {one}, {_values(theirs)} only at {other}"
                + ("" if common else ", and no value is at both"),
                "if these are the same classes in two codings, write them alike"
                + ("" if common else ", or make all values above 0 one class with --set data.classes=foreground"),
            )


def _never_together(masks: Masks, certain: bool) -> Iterator[Problem]:
    """One value in some masks and another one in the others, at every site; ``certain`` if one of them is 255."""
    kinds = Counter(tuple(facts.labels) for _, _, facts in masks if facts.labels)
    values = sorted(value for of in kinds for value in of)
    if len(kinds) != 2 or len(values) != 2 or min(kinds.values()) < 2 or next(_only_at(masks), None):
        return
    if (values[1] == WHITE) == certain:
        one, other = ((value, kinds[(value,)]) for value in values)
        yield Problem(
            "the table",
            f"{one[1]} masks hold the value {one[0]} alone, {other[1]} the value {other[0]} alone",
            "if these are the same class in two codings, write them alike, or make them one with --set "
            "data.classes=foreground",
        )


def _left_over(masks: Masks) -> Iterator[Problem]:
    """255 beside a few small labels, with which many data sets mark what is to be ignored; masks without background."""
    beside = [
        case.id
        for case, _, facts in masks
        if WHITE in facts.labels and len(facts.labels) > 1 and sorted(facts.labels)[-2] <= SMALL_LABELS
    ]
    if beside:
        yield Problem(
            "the table",
            f"{len(beside)} mask(s) hold 255 beside small labels ({', '.join(beside[:3])}): it is a class",
            "if it marks what is to be ignored, name the classes with --set data.classes=...",
        )
    full = [case.id for case, _, facts in masks if sum(facts.labels.values()) == math.prod(facts.shape)]
    if full:
        yield Problem(
            "the table",
            f"{len(full)} mask(s) have no background ({', '.join(full[:3])}): every voxel is of a class",
            "the background is 0: if another value stands for it, write 0",
        )


def _smeared(masks: Masks) -> list[tuple[Case, Path, FileFacts]]:
    """Masks of which one or two values have nearly all voxels, where the many others differ from mask to mask.

    Labels of organs are the same in every mask; what smearing leaves is not. Fewer masks than four tell by their number
    of values alone, and pictures that are white for the most part by that.
    """
    several = [entry for entry in masks if len(entry[2].labels) > 3]
    white = [entry for entry in several if _share(entry[2].labels, lambda value, rank: value >= NEARLY_WHITE) >= 0.5]
    if white:
        return white
    found = [entry for entry in several if _share(entry[2].labels, lambda value, rank: rank < 2) >= 0.6]
    presence = Counter(value for _, _, facts in found for value in facts.labels)
    if len(masks) < FEWEST_MASKS:
        return [entry for entry in found if len(entry[2].labels) >= 2 * MANY_VALUES]
    in_few = sum(n <= USUAL * len(masks) for n in presence.values())
    return found if len(presence) >= MANY_VALUES and in_few >= USUAL * len(presence) else []


def _share(labels: Mapping[int, int], chosen: Callable[[int, int], bool]) -> float:
    """The part of the labelled voxels whose value, and its rank by number of voxels, is chosen."""
    ordered = sorted(labels.items(), key=lambda item: -item[1])
    return sum(n for rank, (value, n) in enumerate(ordered) if chosen(value, rank)) / sum(labels.values())


def _counts_up(labels: Mapping[int, int]) -> bool:
    return bool(labels) and sorted(labels) == list(range(1, max(labels) + 1))


def _span(labels: Mapping[int, int]) -> str:
    return f"{min(labels)} to {max(labels)}"


def _values(values: Iterable[int]) -> str:
    listed = sorted(values)
    return ", ".join(map(str, listed[:5])) + (" ..." if len(listed) > 5 else "")
