"""The settings of fda; defaults are the paper's, of its recommended 3-D variant."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from mdx import MethodConfig
from mdx_segment.settings import SourceTraining


class SourceConfig(MethodConfig):
    """Settings of the source network and its training: all that rows without restyling have."""

    batch_size: int = Field(16, ge=1, description="slices in a batch of inference")
    filters: int = Field(16, ge=1, description="filters of the U-Net's first level")
    training: SourceTraining = Field(default_factory=lambda: SourceTraining.model_validate({}))


class FDAConfig(SourceConfig):
    """Settings of the method, beside those of the source model that it leaves untouched."""

    beta: float = Field(0.015, ge=0, le=1, description="radius of the swapped disc as a share of the shorter edge")
    radius_px: float | None = Field(None, ge=0, description="the same radius in pixels of the spectrum; replaces beta")
    beta_selection: Literal["none", "averaged", "per_pair"] = Field(
        "none",
        description="how beta is chosen on the target's labelled validation cases: by each site's own curve, or by "
        "the mean curve of the run's target sites; none: beta as it is set",
    )
    beta_grid: tuple[float, ...] = Field(
        (0.0, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03), description="betas that are tried; 0 is shown and never chosen"
    )
    radius_grid: tuple[float, ...] | None = Field(
        None, description="radii in pixels of the spectrum that are tried instead of beta_grid"
    )
    window: Literal["disc", "square"] = Field("disc", description="shape of the swapped region; square: the first FDA")
    postprocess: Literal["abs_max", "abs", "real", "real_clip"] = Field(
        "abs_max", description="abs_max: modulus divided by the slice's maximum, as the authors' code does"
    )
    n_mst: int = Field(7, ge=1, description="donors of a slice whose predictions are averaged")
    donors: Literal["3d", "2d", "2.5d", "random"] = Field(
        "3d", description="most similar scans, slices, slices with neighbours, or random scans"
    )
    candidates: int = Field(
        256, ge=1, description="scans of a larger bank that are compared exactly, those most alike at a coarse look"
    )
    half_range: int = Field(2, ge=1, description="slices to each side that 2.5d looks at")
    donor_seed: int = Field(42, ge=0, description="seed of random donors, set anew for each scan")
    mst: Literal["predictions", "amplitudes"] = Field("predictions", description="what is averaged over donors")
    bank: Literal["embed", "reference"] = Field(
        "embed", description="embed: the run holds the donors' images; reference: it needs the source data again"
    )

    @field_validator("beta_grid", "radius_grid")
    @classmethod
    def _ascending(cls, given: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if given is not None and (
            list(given) != sorted(set(given)) or given[0] < 0 or sum(value > 0 for value in given) < 2
        ):
            raise ValueError("must be ascending numbers from 0 up, at least two of them above 0")
        return given

    @model_validator(mode="after")
    def _one_grid(self) -> FDAConfig:
        if self.radius_grid is not None and self.beta_grid != type(self).model_fields["beta_grid"].default:
            raise ValueError("beta_grid has no effect beside radius_grid: set radius_grid=null, or leave beta_grid out")
        return self

    @property
    def grid(self) -> tuple[str, tuple[float, ...]]:
        """The setting that a selection tries values of, and the values."""
        return ("beta", self.beta_grid) if self.radius_grid is None else ("radius_px", self.radius_grid)

    def with_radius(self, setting: str, value: float) -> FDAConfig:
        """The same settings with the radius of the swap given as ``beta`` or ``radius_px``."""
        return self.model_copy(update={"radius_px": None, setting: value})

    def radius_for(self, height: int, width: int) -> float:
        """The radius of the swapped region in pixels of the spectrum, on slices of this shape."""
        return self.beta * min(height, width) if self.radius_px is None else self.radius_px
