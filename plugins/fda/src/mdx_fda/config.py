"""The settings of fda; the defaults are the paper's, and the authors' code's where the paper is silent."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mdx.interfaces.adapter import MethodConfig
from mdx_fda.fourier import Output
from mdx_segment.training import SourceTraining


class FDAConfig(MethodConfig):
    """Feather-Light FDA: how the source network is trained, and how target slices are restyled."""

    beta: float = Field(0.015, ge=0, le=1, description="radius of the swapped disc as a share of the shorter edge")
    radius_px: float | None = Field(None, gt=0, description="the radius in pixels instead; beta = radius / edge")
    donors: Literal["3d", "2.5d", "2d", "random"] = Field(
        "3d", description="one list of similar scans for a volume (3d), for each slice (2d), with neighbours (2.5d)"
    )
    n_mst: int = Field(7, ge=1, description="donors of a slice, whose predictions are averaged")
    neighbours: int = Field(2, ge=1, description="half range of slices that 2.5d looks at")
    mst: Literal["predictions", "amplitudes"] = Field("predictions", description="what is averaged over donors")
    postprocess: Output = Field("abs_max", description="how the inverse FFT becomes an image")
    donor_seed: int = Field(42, ge=0, description="fixes random donors, set anew for every scan")
    bank: Literal["embed", "reference"] = Field(
        "embed", description="keep the donors' images in the run, or look them up in its data"
    )
    filters: int = Field(16, ge=1, description="filters of the first level of the U-Net")
    batch_size: int = Field(16, ge=1, description="slices in a batch of inference")
    training: SourceTraining = Field(SourceTraining.model_validate({}), description="training of the source network")

    def beta_for(self, height: int, width: int) -> float:
        """The radius of the disc as a share of the shorter edge, for slices of this size."""
        return self.beta if self.radius_px is None else self.radius_px / min(height, width)
