"""Three ways of cutting a volume, each of which shapes one loss."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdx import Adapter, Dataset, MethodConfig, Model, Prediction, Reference, Run, Sample, Task
from mdx.views import Piece, RandomSlices, SlicePairs, Slices


class PairsConfig(MethodConfig):
    epochs: int = 2
    apart: int = 2
    every: int = 1


class Puzzle(Slices):
    """A slice cut into four quarters that have changed places; ``order`` says whose quarter lies where."""

    def cut(self, sample: Sample, index: int, rng: np.random.Generator) -> Piece:
        piece, order = super().cut(sample, index, rng), rng.permutation(4)
        quarters = [q for half in piece.image.chunk(2, dim=1) for q in half.chunk(2, dim=2)]
        moved = [quarters[i] for i in order]
        image = torch.cat([torch.cat(moved[:2], dim=2), torch.cat(moved[2:], dim=2)], dim=1)
        return Piece(image, None, piece.position, {"order": torch.from_numpy(order)})


def middle_slices(data: Dataset, rng: np.random.Generator) -> Iterator[tuple[int, int]]:
    """The slice in the middle of each case, in random order."""
    for index in rng.permutation(len(data)):
        yield int(index), data.load(data.cases[index]).image.shape[-1] // 2


class Pairs(Adapter[PairsConfig]):
    def build(self, task: Task) -> Model:
        channels = len(task.channels)
        encoder = nn.Sequential(nn.Conv2d(3 * channels, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))
        return Model(encoder=encoder, mask=nn.Conv2d(8, len(task.classes), 1), order=nn.Linear(8, 16))

    def fit(self, data: Dataset, model: Model, run: Run) -> None:
        c, train = self.config, data.where(split="train").labelled
        optimizer = run.optimizer("main", model.parameters(), lr=1e-2)
        labelled = run.loader(train, 8, view=Slices(neighbours=1, every=c.every), also={"site": "site"})
        middles = run.loader(train, 4, view=Puzzle(), sampler=middle_slices, steps=2)
        pairs = run.loader(train, 4, view=SlicePairs(c.apart), steps=2)
        crops = run.loader(train, 4, view=RandomSlices(16, neighbours=1, every=c.every), steps=2)
        for _ in run.epochs("train", c.epochs):
            for batch in labelled:
                for part in batch.parts(4):
                    run.backward(self.segment(model, part.image, part.mask) * len(part) / len(batch))
                run.step(optimizer, log={"sites": torch.tensor(float(len(set(batch["site"]))))})
            for batch, pair, crop in zip(middles, pairs, crops, strict=True):
                order = model.order(self.vector(model, batch.image)).view(-1, 4, 4)
                one, other = self.vector(model, pair.image), self.vector(model, pair["second"])
                losses = {"order": F.cross_entropy(order, batch["order"]), "pair": F.mse_loss(one, other)}
                losses["mask"] = self.segment(model, crop.image, crop.mask)
                run.step(optimizer, sum(losses.values()), log=losses)

    def segment(self, model: Model, image: Tensor, mask: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(model.mask(model.encoder(image)), mask)

    def vector(self, model: Model, image: Tensor) -> Tensor:
        """(B, 8) of slices without neighbours, (B, C, H, W)."""
        return model.encoder(image.repeat(1, 3, 1, 1)).mean(dim=(2, 3))

    def apply(self, sample: Sample, model: Model, reference: Reference | None = None) -> Prediction:
        view, rng = Slices(neighbours=1), np.random.default_rng(0)
        slices = torch.stack([view.cut(sample, i, rng).image for i in range(view.pieces(sample))])
        masks = model.mask(model.encoder(slices)).sigmoid()
        return Prediction(sample.geometry, segmentation=masks.permute(1, 2, 3, 0).cpu().numpy())
