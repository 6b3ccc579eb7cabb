"""The settings of fda; defaults are the paper's, of its recommended 3-D variant."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mdx.interfaces.adapter import MethodConfig
from mdx_segment.training import SourceTraining


class FDAConfig(MethodConfig):
    """Settings of the method and of the source model that it leaves untouched."""

    beta: float = Field(0.015, ge=0, le=1, description="radius of the swapped disc as a share of the shorter edge")
    radius_px: float | None = Field(None, ge=0, description="the same radius in pixels of the spectrum; replaces beta")
    window: Literal["disc", "square"] = Field("disc", description="shape of the swapped region; square: the first FDA")
    postprocess: Literal["abs_max", "abs", "real", "real_clip"] = Field(
        "abs_max", description="abs_max: modulus divided by the slice's maximum, as the authors' code does"
    )
    n_mst: int = Field(7, ge=1, description="donors of a slice whose predictions are averaged")
    donors: Literal["3d", "2d", "2.5d", "random"] = Field(
        "3d", description="most similar scans, slices, slices with neighbours, or random scans"
    )
    half_range: int = Field(2, ge=1, description="slices to each side that 2.5d looks at")
    donor_seed: int = Field(42, ge=0, description="seed of random donors, set anew for each scan")
    mst: Literal["predictions", "amplitudes"] = Field("predictions", description="what is averaged over donors")
    bank: Literal["embed", "reference"] = Field(
        "embed", description="embed: the run holds the donors' images; reference: it needs the source data again"
    )
    batch_size: int = Field(16, ge=1, description="slices in a batch of inference")
    filters: int = Field(16, ge=1, description="filters of the U-Net's first level")
    training: SourceTraining = Field(default_factory=lambda: SourceTraining.model_validate({}))

    def radius_for(self, height: int, width: int) -> float:
        """The radius of the swapped region in pixels of the spectrum, on slices of this shape."""
        return self.beta * min(height, width) if self.radius_px is None else self.radius_px
