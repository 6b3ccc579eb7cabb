"""How a table is read: which sites and columns, how intensities are scaled, how subjects are split."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from mdx.config import Settings

Intensity = Literal["percentiles", "zscore", "minmax", "window", "none"]


def check_limits(intensity: str, lower: float, upper: float) -> None:
    """Raise ValueError unless the limits are in order and, where they are no window, percentiles."""
    if lower >= upper:
        raise ValueError("lower must be below upper")
    if intensity != "window" and not 0 <= lower < upper <= 100:
        raise ValueError("lower and upper are percentiles, 0 to 100; values of the file need intensity=window")


class SplitCounts(Settings):
    """How many subjects of a site validate and are tested; ``null``: its fraction says it."""

    val: int | None = Field(default=None, ge=0, description="subjects of each such site that validate")
    test: int | None = Field(default=None, ge=0, description="subjects of each such site that are tested")


class DataConfig(Settings):
    """The settings in the namespace ``data.``; a named cohort may have its own, ``pretrain.size=64``."""

    of_one_table: ClassVar[tuple[str, ...]] = ("source", "target", "reference", "labelled", "folds", "fold")
    """What a named cohort, or any other table, does not take over: its sites need not be those of the run's."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    source: tuple[str, ...] = Field(
        default=(), description="sites to train on; empty: the table's role column, else all sites"
    )
    target: tuple[str, ...] = Field(default=(), description="sites to adapt to; sites in neither list are left out")
    reference: str | None = Field(default=None, description="site whose look other sites are given")
    image: tuple[str, ...] = Field(
        default=("image",), min_length=1, description="columns of images, one for each contrast"
    )
    label: str = Field(
        default="mask",
        description="column of the truth: a mask, a class or a number; several, such as Edema,Fracture, are findings, "
        "with 1, 0, -1 or nothing in them",
    )
    uncertain: Literal["negative", "positive", "ignore"] = Field(
        default="negative",
        description="what a finding that is marked uncertain (-1) counts as; ignore: it is not known",
    )
    classes: str | tuple[str, ...] = Field(
        default="each",
        description="each: a class for every mask value; foreground: all values > 0 as one; or values: 1,2",
    )
    intensity: Intensity = Field(
        default="percentiles",
        description="scaling of each image and channel, colours together; percentiles: clip, then 0 to 1; zscore: "
        "mean 0 and SD 1, of what is left after a resize and data.every_slice; window: data.lower to data.upper of the "
        "file's own values, such as Hounsfield units, clipped, then 0 to 1",
    )
    lower: float = Field(default=1.0, description="lower percentile of the intensities, or lower end of the window")
    upper: float = Field(default=99.0, description="upper percentile of the intensities, or upper end of the window")
    spacing_mm: tuple[float, ...] | None = Field(
        default=None, description="voxel edges that volumes are resampled to (one value: isotropic); null: as stored"
    )
    size: tuple[int, ...] | None = Field(
        default=None, description="voxels or pixels along each axis that every image is brought to; null: as they are"
    )
    fit: Literal["crop", "resize"] = Field(
        default="crop",
        description="how data.size is reached: crop or pad around the centre, or resize with smoothing",
    )
    every_slice: int = Field(
        default=1, ge=1, description="keep every n-th slice of a volume along its last axis, after data.size"
    )
    val_fraction: float = Field(default=0.2, ge=0, lt=1, description="share of each site's subjects that validate")
    test_fraction: float = Field(default=0.2, ge=0, lt=1, description="share of each site's subjects that are tested")
    source_counts: SplitCounts = Field(
        default_factory=lambda: SplitCounts(), description="numbers in place of the fractions, at source sites"
    )
    target_counts: SplitCounts = Field(
        default_factory=lambda: SplitCounts(), description="numbers in place of the fractions, at target sites"
    )
    split_seed: int = Field(default=0, description="seed of the assignment of subjects to splits")
    folds: int | None = Field(
        default=None,
        ge=2,
        description="parts of the subjects, each tested by a run of its own (mdx run --folds); test fractions and "
        "numbers are not used; null: no folds",
    )
    fold: int | None = Field(default=None, ge=0, description="which of data.folds is tested, from 0")
    labelled: str | None = Field(
        default=None,
        description="training subjects that keep their labels, a number or such as 10%; the others are shown without; "
        "null: all",
    )
    labelled_role: Literal["source", "target", "all"] = Field(
        default="source", description="whose training subjects data.labelled counts; others keep their labels"
    )
    labelled_seed: int = Field(default=0, description="seed of the choice of labelled subjects")
    empty_masks: Literal["refuse", "allow"] = Field(
        default="refuse",
        description="whether a mask without any class is an error; allow where healthy cases are labelled",
    )
    groups: tuple[str, ...] = Field(
        default=(), description="columns whose values scores are also given for, such as tone,sex; the worst is named"
    )
    cache: bool = Field(default=True, description="keep preprocessed images on disk")

    def elsewhere(self) -> DataConfig:
        """As another table than the run's is read."""
        fields = type(self).model_fields
        return self.model_copy(update={name: fields[name].get_default() for name in self.of_one_table})

    @field_validator("classes", mode="before")
    @classmethod
    def _mask_values(cls, given: Any) -> Any:
        if isinstance(given, str) and given.strip() in ("each", "foreground"):
            return given.strip()
        parts = given.split(",") if isinstance(given, str) else given if isinstance(given, Sequence) else [given]
        values = tuple(str(part).strip() for part in parts)
        if not values or not all(value.isdigit() and int(value) > 0 for value in values):
            raise ValueError("must be 'each', 'foreground' or values of the mask such as 1,2")
        return values

    @field_validator("labelled")
    @classmethod
    def _number_or_share(cls, given: str | None) -> str | None:
        if given is None or re.fullmatch(r"[1-9]\d*", given):
            return given
        if not re.fullmatch(r"\d+(\.\d+)?%", given) or not 0 < float(given[:-1]) <= 100:
            raise ValueError("must be a whole number of subjects above 0, or a share of them such as 10%")
        return given

    @field_validator("spacing_mm")
    @classmethod
    def _positive(cls, given: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if given is not None and (not 1 <= len(given) <= 3 or min(given) <= 0):
            raise ValueError("must be one to three positive lengths in millimetres")
        return given

    @field_validator("size")
    @classmethod
    def _whole(cls, given: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if given is not None and (not 2 <= len(given) <= 3 or min(given) < 1):
            raise ValueError("must be two or three whole numbers above 0, one for each axis")
        return given

    @model_validator(mode="after")
    def _ordered(self) -> DataConfig:
        check_limits(self.intensity, self.lower, self.upper)
        if self.intensity == "window" and not {"lower", "upper"} <= self.model_fields_set:
            raise ValueError("intensity=window needs lower and upper, such as data.lower=-1000 data.upper=400 for CT")
        if (self.folds is None) != (self.fold is None):
            raise ValueError("folds and fold go together: data.folds=5 data.fold=0; 'mdx run --folds 5' runs all five")
        if self.folds is not None and self.fold is not None and self.fold >= self.folds:
            raise ValueError(f"fold must be below folds: 0 to {self.folds - 1}")
        if self.val_fraction + self.test_fraction >= 1:
            raise ValueError("val_fraction and test_fraction must leave subjects to train on")
        return self
