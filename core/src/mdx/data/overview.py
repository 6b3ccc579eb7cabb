"""What the files of each site are like: sizes, voxels, types as stored, intensities."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from mdx.data.files.facts import FileFacts, read_facts
from mdx.data.problems import Problem
from mdx.interfaces.dataset import Dataset

FAR_APART = 3.0
"""Sites whose brightest values differ by this factor are said to be far apart."""
HEADS = ("site", "cases", "subjects", "shape", "voxel, mm", "stored as", "intensities: 1 %, median, 99 %")


@dataclass(frozen=True)
class SiteOverview:
    """One site.

    Attributes:
        shape, voxel_mm: of the images in RAS, axis by axis, the smallest to the largest; no voxels for pictures.
        stored: types as stored, the most frequent first.
        intensities: medians over the images of their 1st, 50th and 99th percentile; empty where no image can be read.
    """

    site: str
    cases: int
    subjects: int
    shape: str
    voxel_mm: str
    stored: str
    intensities: tuple[float, ...]

    def cells(self) -> list[str]:
        """What stands under ``HEADS``."""
        values = "  ".join(f"{v:.4g}" for v in self.intensities) or "-"
        return [self.site, str(self.cases), str(self.subjects), self.shape, self.voxel_mm, self.stored, values]


def overview(data: Dataset) -> list[SiteOverview]:
    """A row for each site, from the first contrast of each case."""
    first = {case.id: next(iter(case.images.values()), None) for case in data.cases}
    known = read_facts([path for path in first.values() if path is not None], "image")
    found: dict[str, list[FileFacts]] = defaultdict(list)
    for case in data.cases:
        facts = known.get(first[case.id]) if first[case.id] is not None else None  # type: ignore[arg-type]
        if isinstance(facts, FileFacts):
            found[case.site].append(facts)
    made = []
    for site in sorted({case.site for case in data.cases}):
        cases = [case for case in data.cases if case.site == site]
        files = found[site]
        in_space = [f.spacing_mm for f in files if f.axcodes]
        types = Counter(f.dtype for f in files).most_common()
        bright = [f.percentiles for f in files if f.percentiles]
        made.append(SiteOverview(
            site, len(cases), len({case.subject for case in cases}), _ranges(f.shape for f in files) or "-",
            _ranges(in_space) or "-", ", ".join(name for name, _ in types) or "-",
            tuple(median(column) for column in zip(*bright, strict=True)),
        ))  # fmt: skip
    return made


def _ranges(rows: Iterable[Sequence[float]]) -> str:
    """``35-43 x 50 x 36``: each axis from its smallest to its largest value; only of rows that have equally many."""
    rows = list(rows)
    if not rows or len({len(row) for row in rows}) > 1:
        return ""
    ends = ((f"{min(axis):.3g}", f"{max(axis):.3g}") for axis in zip(*rows, strict=True))
    whole = all(isinstance(v, int) for row in rows for v in row)
    if whole:
        ends = ((str(min(axis)), str(max(axis))) for axis in zip(*rows, strict=True))
    return " x ".join(low if low == high else f"{low}-{high}" for low, high in ends)


def far_apart(sites: Sequence[SiteOverview], intensity: str) -> list[Problem]:
    """A note where one site is much brighter than another, and whether ``data.intensity`` lets a network see it."""
    bright = {s.site: s.intensities[-1] for s in sites if s.intensities and s.intensities[-1] > 0}
    if len(bright) < 2:
        return []
    low, high = min(bright, key=bright.__getitem__), max(bright, key=bright.__getitem__)
    factor = bright[high] / bright[low]
    if factor < FAR_APART:
        return []
    said = f"{float(f'{factor:.2g}'):,.10g}"
    kept = intensity in ("window", "none")
    return [Problem(
        "the table", f"'{high}' is {said} times as bright as '{low}' (99th percentiles, medians over the images)",
        "a network is given that difference; data.intensity=percentiles scales each image by itself" if kept
        else f"data.intensity={intensity} scales each image by itself",
    )]  # fmt: skip
