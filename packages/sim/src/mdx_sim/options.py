"""What follows the name of a design in a ``sim:`` address: ``brain?sites=source,severe&subjects=12``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qsl

from pydantic import Field, ValidationError, field_validator, model_validator

from mdx.config import Settings
from mdx.errors import DataError, nearest
from mdx_sim.scanners import LETTERS, SITES, T1_SITES
from mdx_sim.shifts import SEVERITIES
from mdx_sim.studies import AGE_STUDIES, MS_STUDIES, TARGET_STUDY

HEALTHY, ILL = "healthy", "ms"
MOST = 6000
"""Most subjects of one site and split: the size of the largest published study."""


class SimOptions(Settings):
    """What all designs share.

    Attributes:
        design: name of the design; ``known_sites`` what a site may be called in it.
    """

    design: ClassVar[str]
    known_sites: ClassVar[Sequence[str]]

    sites: tuple[str, ...]
    size_mm: float = Field(3.0, ge=1, le=8, description="edge of a voxel in millimetres")
    seed: int = Field(0, ge=0, description="seed of subjects and scans")

    @field_validator("sites", check_fields=False)
    @classmethod
    def _known(cls, sites: tuple[str, ...]) -> tuple[str, ...]:
        for site in sites:
            if site not in cls.known_sites:
                raise ValueError(f"no site is called '{site}': {nearest(site, cls.known_sites)}")
        repeated = [site for site, count in Counter(sites).items() if count > 1]
        if repeated:
            raise ValueError(f"'{repeated[0]}' is named twice")
        return sites

    @field_validator("shift", mode="before", check_fields=False)
    @classmethod
    def _severity(cls, given: object) -> object:
        return {"none": 0.0, **SEVERITIES}.get(given, given) if isinstance(given, str) else given


def _counted(given: object) -> object:
    """A number of scanners as their letters; names stay as they are."""
    words = given if isinstance(given, list | tuple) else str(given).split(",")
    if len(words) != 1 or not str(words[0]).isdigit():
        return words
    number = int(words[0])
    if not 1 <= number <= len(LETTERS):
        raise ValueError(f"must name sites, or be a number from 1 to {len(LETTERS)}")
    return list(LETTERS)[:number]


class ScannerOptions(SimOptions):
    """What designs share whose sites are scanners at one severity."""

    shift: float = Field(
        0.0, ge=0, le=1, description="severity at every site but the first: none, subtle, medium, severe or 0 to 1"
    )
    registered: bool = Field(True, description="whether all scans share the template's grid, so that slices correspond")

    _count = field_validator("sites", mode="before", check_fields=False)(_counted)


class BrainOptions(ScannerOptions):
    """The options of ``sim:brain``: sites with subjects of their own, and masks of the brain or its tissues."""

    design: ClassVar[str] = "brain"
    known_sites: ClassVar[Sequence[str]] = SITES

    sites: tuple[str, ...] = Field(
        ("source", "subtle", "medium", "severe"),
        min_length=1,
        description=f"names of sites, or a number of scanners; known: {', '.join(SITES)}",
    )
    subjects: int = Field(20, ge=1, le=500, description="subjects at each site")
    labels: Literal["brain", "tissue"] = Field(
        "brain", description="brain: 1 in the brain; tissue: 1 grey matter, 2 white matter, 3 cerebrospinal fluid"
    )


class TravellingOptions(ScannerOptions):
    """The options of ``sim:travelling``: the same subjects at every site."""

    design: ClassVar[str] = "travelling"
    known_sites: ClassVar[Sequence[str]] = T1_SITES

    sites: tuple[str, ...] = Field(
        ("A", "B", "C", "D"),
        min_length=1,
        description=f"names of sites, or a number of scanners; known: {', '.join(T1_SITES)}",
    )
    subjects: int = Field(12, ge=1, le=500, description="subjects, each scanned at every site")


class AgeOptions(SimOptions):
    """The options of ``sim:age``: subjects of known age at sites of unequal size."""

    design: ClassVar[str] = "age"
    known_sites: ClassVar[Sequence[str]] = tuple(AGE_STUDIES)
    ages: ClassVar[tuple[float, float]] = (40.0, 80.0)

    sites: tuple[str, ...] = Field(
        tuple(AGE_STUDIES), min_length=1, description=f"known: {', '.join(AGE_STUDIES)}; with overlap, exactly two"
    )
    train: tuple[int, ...] = Field(
        (160, 48, 32), min_length=1, description="training subjects, one number or one a site"
    )
    val: tuple[int, ...] = Field(
        (40, 16, 16), min_length=1, description="validation subjects, one number or one a site"
    )
    test: tuple[int, ...] = Field((50,), min_length=1, description="test subjects, one number or one a site")
    overlap: float | None = Field(
        None,
        ge=0,
        lt=40,
        description="years that the ages of two sites share in train and val: the first has the younger, the second "
        "the older subjects; test subjects are always of all ages. Not given: all ages at all sites",
    )
    shift: float = Field(1.0, ge=0, le=1, description="how far the sites' images differ beyond their protocols")
    size_mm: float = Field(5.0, ge=1, le=8, description="edge of a voxel in millimetres")

    @field_validator("train", "val", "test")
    @classmethod
    def _whole(cls, given: tuple[int, ...]) -> tuple[int, ...]:
        if min(given) < 1 or max(given) > MOST:
            raise ValueError(f"must be numbers from 1 to {MOST}")
        return given

    @model_validator(mode="before")
    @classmethod
    def _two_sites(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("overlap") is not None:
            two = {"sites": list(AGE_STUDIES)[:2], "train": [208, 208], "val": [32, 32]}
            return {**two, **given}
        return given

    @model_validator(mode="after")
    def _fit(self) -> AgeOptions:
        if self.overlap is not None and len(self.sites) != 2:
            raise ValueError(f"overlap needs two sites, not {len(self.sites)}: sites=biobank,oasis")
        for name in ("train", "val", "test"):
            given = getattr(self, name)
            if len(given) not in (1, len(self.sites)) and name in self.model_fields_set:
                raise ValueError(
                    f"{name} has {len(given)} numbers for {len(self.sites)} sites: give one, or one a site"
                )
        return self

    def count(self, split: str, site: str) -> int:
        """Subjects of a split at a site."""
        given: tuple[int, ...] = getattr(self, split)
        order = self.sites if split in self.model_fields_set else self.known_sites
        return given[order.index(site) if len(given) > 1 else 0]

    def ages_of(self, site: str) -> tuple[float, float]:
        """The range of ages of a site's training and validation subjects."""
        low, high = self.ages
        if self.overlap is None:
            return low, high
        middle = (low + high) / 2
        return (low, middle + self.overlap / 2) if site == self.sites[0] else (middle - self.overlap / 2, high)


class MSOptions(SimOptions):
    """The options of ``sim:ms``: a target study with both classes and source studies with one class each."""

    design: ClassVar[str] = "ms"
    known_sites: ClassVar[Sequence[str]] = tuple(MS_STUDIES)
    class_of: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("study2", "study3", "study4"), ILL),
        **dict.fromkeys(("adni", "hcp_ya", "hcp_aging"), HEALTHY),
    }

    sites: tuple[str, ...] = Field(
        tuple(MS_STUDIES),
        min_length=1,
        description=f"{TARGET_STUDY} and source studies; known: {', '.join(MS_STUDIES)}",
    )
    train: tuple[int, ...] = Field((24, 24), description="healthy and ill training subjects of the target study")
    val: tuple[int, ...] = Field((16, 16), description="healthy and ill validation subjects of the target study")
    test: tuple[int, ...] = Field((60, 60), description="healthy and ill test subjects of the target study")
    source_train: int = Field(40, ge=1, le=MOST, description="training subjects of each source study")
    source_val: int = Field(6, ge=0, le=MOST, description="validation subjects of each source study")
    source_test: int = Field(12, ge=0, le=MOST, description="test subjects of each source study")
    shift: float = Field(1.0, ge=0, le=1, description="how far the studies' images differ beyond their protocols")
    size_mm: float = Field(5.0, ge=1, le=8, description="edge of a voxel in millimetres")

    @field_validator("train", "val", "test")
    @classmethod
    def _pair(cls, given: tuple[int, ...]) -> tuple[int, ...]:
        if len(given) != 2 or min(*given) < 0 or max(given) > MOST:
            raise ValueError(f"must be two numbers from 0 to {MOST}: healthy,ill")
        return given

    @field_validator("sites")
    @classmethod
    def _has_target(cls, sites: tuple[str, ...]) -> tuple[str, ...]:
        if TARGET_STUDY not in sites:
            raise ValueError(f"must name {TARGET_STUDY}, the only study with both classes")
        return sites

    def count(self, site: str, split: str, diagnosis: str) -> int:
        """Subjects of a diagnosis in a split of a site."""
        if site == TARGET_STUDY:
            return getattr(self, split)[(HEALTHY, ILL).index(diagnosis)]
        return getattr(self, f"source_{split}") if self.class_of[site] == diagnosis else 0


OPTIONS: dict[str, type[SimOptions]] = {
    model.design: model for model in (BrainOptions, TravellingOptions, AgeOptions, MSOptions)
}
EXAMPLES = {
    "brain": "sites=source,severe&subjects=12&size_mm=3&seed=0",
    "travelling": "sites=A,B,C&subjects=8&size_mm=3&seed=0",
    "age": "sites=biobank,oasis&train=100,50&overlap=10&seed=0",
    "ms": "train=24,24&source_train=40&size_mm=5&seed=0",
}


def parse(query: str) -> SimOptions:
    """The options of ``brain?sites=A,B&subjects=12``.

    Raises DataError for an unknown design or option (with the nearest name) and for every value that does not fit.
    """
    where = f"sim:{query}"
    design, _, rest = query.partition("?")
    if design not in OPTIONS:
        raise DataError(f"there is no design '{design}'", nearest(design, OPTIONS), where)
    model = OPTIONS[design]
    pairs = parse_qsl(rest, keep_blank_values=True)
    known = list(model.model_fields)
    faults = [f"unknown option '{name}': {nearest(name, known)}" for name, _ in pairs if name not in known]
    if sum(1 for part in rest.split("&") if part) != len(pairs) or any("=" not in p for p in rest.split("&") if p):
        faults.append("options are written name=value and joined with &")
    faults += [f"'{name}' is given twice" for name, n in Counter(name for name, _ in pairs).items() if n > 1]
    try:
        options = model.model_validate({name: value for name, value in pairs if name in known})
    except ValidationError as error:
        faults += [
            f"{'.'.join(map(str, e['loc']))}={e['input']}: {e['msg'].removeprefix('Value error, ')}"
            if e["loc"]
            else e["msg"].removeprefix("Value error, ")
            for e in error.errors()
        ]
        options = None
    if faults or options is None:
        raise DataError("; ".join(faults), f"write for example sim:{design}?{EXAMPLES[design]}", where)
    return options
