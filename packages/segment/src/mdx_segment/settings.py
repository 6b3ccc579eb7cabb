"""Settings of source training, for a plugin's own settings to hold: read without torch."""

from __future__ import annotations

from pydantic import Field

from mdx.config import Settings


class SourceTraining(Settings):
    """The training of Zakazov et al. 2022: SGD on random crops of random axial slices, no augmentation."""

    epochs: int = Field(100, ge=1, description="epochs of training")
    steps: int = Field(100, ge=1, description="batches in an epoch")
    batch_size: int = Field(16, ge=1, description="slices in a batch")
    lr: float = Field(1e-3, gt=0, description="learning rate of SGD with Nesterov momentum 0.9")
    decay_at: float = Field(0.8, gt=0, le=1, description="share of the epochs after which lr is divided by 10")
    crop: int = Field(160, ge=8, multiple_of=8, description="edge of the random crop in pixels; the text says 256")
    fit_crop: bool = Field(False, description="let the crop be no larger than the largest slice needs")
    validate_every: int = Field(10, ge=1, description="epochs between looks at the validation cases")
