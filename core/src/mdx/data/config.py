"""How a table is read: which sites and columns, how intensities are scaled, how subjects are split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from mdx.config import Settings


class SplitCounts(Settings):
    """How many subjects of a site validate and are tested; ``null``: its fraction says it."""

    val: int | None = Field(default=None, ge=0, description="subjects of each such site that validate")
    test: int | None = Field(default=None, ge=0, description="subjects of each such site that are tested")


class DataConfig(Settings):
    """The settings in the namespace ``data.``."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    source: tuple[str, ...] = Field(
        default=(), description="sites to train on; empty: the table's role column, else all sites"
    )
    target: tuple[str, ...] = Field(default=(), description="sites to adapt to; sites in neither list are left out")
    reference: str | None = Field(default=None, description="site whose look other sites are given")
    image: tuple[str, ...] = Field(
        default=("image",), min_length=1, description="columns of images, one for each contrast"
    )
    label: str = Field(default="mask", description="column of the truth: a mask, a class or a number")
    classes: str | tuple[str, ...] = Field(
        default="each",
        description="each: a class for every mask value; foreground: all values > 0 as one; or values: 1,2",
    )
    intensity: Literal["percentiles", "zscore", "minmax", "none"] = Field(
        default="percentiles",
        description="scaling of each image and channel, colours together; percentiles: clip, then 0 to 1; zscore: "
        "mean 0 and SD 1, of what is left after a resize and data.every_slice",
    )
    lower: float = Field(default=1.0, ge=0, le=100, description="lower percentile of the intensities")
    upper: float = Field(default=99.0, ge=0, le=100, description="upper percentile of the intensities")
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
    empty_masks: Literal["refuse", "allow"] = Field(
        default="refuse",
        description="whether a mask without any class is an error; allow where healthy cases are labelled",
    )
    cache: bool = Field(default=True, description="keep preprocessed images on disk")

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
        if self.lower >= self.upper:
            raise ValueError("lower must be below upper")
        if self.val_fraction + self.test_fraction >= 1:
            raise ValueError("val_fraction and test_fraction must leave subjects to train on")
        return self
