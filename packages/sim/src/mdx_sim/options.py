"""What follows the name of a design in a ``sim:`` address: ``brain?sites=source,severe&subjects=12``."""

from __future__ import annotations

from collections import Counter
from typing import Literal
from urllib.parse import parse_qsl

from pydantic import Field, ValidationError, field_validator

from mdx.config import Settings
from mdx.errors import DataError, nearest
from mdx_sim.scanners import LETTERS, SITES
from mdx_sim.shifts import SEVERITIES

DESIGNS = ("brain",)


class BrainOptions(Settings):
    """The options of ``sim:brain``: sites with subjects of their own, and masks of the brain or its tissues."""

    sites: tuple[str, ...] = Field(
        ("source", "subtle", "medium", "severe"),
        min_length=1,
        description=f"names of sites, or a number of scanners; known: {', '.join(SITES)}",
    )
    subjects: int = Field(20, ge=1, le=500, description="subjects at each site")
    size_mm: float = Field(3.0, ge=1, le=8, description="edge of a voxel in millimetres")
    shift: float = Field(
        0.0, ge=0, le=1, description="severity at every site but the first: none, subtle, medium, severe or 0 to 1"
    )
    labels: Literal["brain", "tissue"] = Field(
        "brain", description="brain: 1 in the brain; tissue: 1 grey matter, 2 white matter, 3 cerebrospinal fluid"
    )
    registered: bool = Field(True, description="whether all scans share the template's grid, so that slices correspond")
    seed: int = Field(0, ge=0, description="seed of subjects and scans")

    @field_validator("sites", mode="before")
    @classmethod
    def _counted(cls, given: object) -> object:
        words = given if isinstance(given, list | tuple) else str(given).split(",")
        if len(words) != 1 or not str(words[0]).isdigit():
            return words
        number = int(words[0])
        if not 1 <= number <= len(LETTERS):
            raise ValueError(f"must name sites, or be a number from 1 to {len(LETTERS)}")
        return list(LETTERS)[:number]

    @field_validator("sites")
    @classmethod
    def _known(cls, sites: tuple[str, ...]) -> tuple[str, ...]:
        for site in sites:
            if site not in SITES:
                raise ValueError(f"no site is called '{site}': {nearest(site, SITES)}")
        repeated = [site for site, count in Counter(sites).items() if count > 1]
        if repeated:
            raise ValueError(f"'{repeated[0]}' is named twice")
        return sites

    @field_validator("shift", mode="before")
    @classmethod
    def _severity(cls, given: object) -> object:
        return {"none": 0.0, **SEVERITIES}.get(given, given) if isinstance(given, str) else given


def parse(query: str) -> BrainOptions:
    """The options of ``brain?sites=A,B&subjects=12``.

    Raises DataError for an unknown design or option (with the nearest name) and for every value that does not fit.
    """
    where = f"sim:{query}"
    design, _, rest = query.partition("?")
    if design not in DESIGNS:
        raise DataError(f"there is no design '{design}'", nearest(design, DESIGNS), where)
    pairs = parse_qsl(rest, keep_blank_values=True)
    known = list(BrainOptions.model_fields)
    faults = [f"unknown option '{name}': {nearest(name, known)}" for name, _ in pairs if name not in known]
    if sum(1 for part in rest.split("&") if part) != len(pairs) or any("=" not in p for p in rest.split("&") if p):
        faults.append("options are written name=value and joined with &")
    faults += [f"'{name}' is given twice" for name, n in Counter(name for name, _ in pairs).items() if n > 1]
    try:
        options = BrainOptions.model_validate({name: value for name, value in pairs if name in known})
    except ValidationError as error:
        faults += [
            f"{'.'.join(map(str, e['loc']))}={e['input']}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        ]
        options = None
    if faults or options is None:
        example = "write for example sim:brain?sites=source,severe&subjects=12&size_mm=3&seed=0"
        raise DataError("; ".join(faults), example, where)
    return options
