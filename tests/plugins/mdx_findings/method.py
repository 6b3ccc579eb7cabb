"""Images are filled in where a square is missing (stage ``pretrain``); then the encoder learns findings (``train``)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from mdx import Adapter, Dataset, MethodConfig, Model, Prediction, Reference, Run, Sample, Task


class FindingsConfig(MethodConfig):
    epochs: int = 4
    pretrain_epochs: int = 2
    missing: float = 0.4


class Findings(Adapter[FindingsConfig]):
    def build(self, task: Task) -> Model:
        channels, self.exclusive = len(task.channels), task.kind == "classification"
        encoder = nn.Sequential(
            nn.Conv2d(channels, 16, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
        )  # fmt: skip
        decoder = nn.Sequential(nn.Conv2d(32, 16 * channels, 3, padding=1), nn.PixelShuffle(4))
        return Model(encoder=encoder, decoder=decoder, head=nn.Linear(32, len(task.classes)))

    def fit(self, data: Dataset, model: Model, run: Run) -> None:
        c = self.config
        if "pretrain" in data.cohorts:
            pretrain = data.cohorts["pretrain"].where(split="train")
            optimizer = run.optimizer("pretrain", [*model.encoder.parameters(), *model.decoder.parameters()], lr=1e-3)
            images = run.loader(pretrain, 8)
            for _ in run.epochs("pretrain", c.pretrain_epochs):
                for batch in images:
                    filled = model.decoder(model.encoder(self.holed(batch.image)))
                    run.step(optimizer, loss := F.mse_loss(filled, batch.image), log={"filled": loss})
        optimizer = run.optimizer("train", [*model.encoder.parameters(), *model.head.parameters()], lr=1e-3)
        batches = run.loader(data.where(split="train").labelled, 8)
        lose = F.cross_entropy if self.exclusive else F.binary_cross_entropy_with_logits
        for _ in run.epochs("train", c.epochs):
            for batch in batches:
                loss = lose(self.logits(model, batch.image), batch.label(data.task.label))
                run.step(optimizer, loss, log={"loss": loss})

    def holed(self, image: Tensor) -> Tensor:
        """The images without a square in their middle."""
        height, width = (round(n * self.config.missing / 2) for n in image.shape[-2:])
        made = image.clone()
        middle = image.shape[-2] // 2, image.shape[-1] // 2
        made[..., middle[0] - height : middle[0] + height, middle[1] - width : middle[1] + width] = 0
        return made

    def logits(self, model: Model, image: Tensor) -> Tensor:
        return model.head(model.encoder(image).mean(dim=(2, 3)))

    def apply(self, sample: Sample, model: Model, reference: Reference | None = None) -> Prediction:
        image = sample.image[None].to(next(model.parameters()).device)
        logits = self.logits(model, image)[0].float()
        said = logits.softmax(dim=0) if self.exclusive else logits.sigmoid()
        return Prediction(
            sample.geometry,
            classes=said.cpu().numpy(),
            embedding=model.encoder(image).mean(dim=(2, 3))[0].cpu().numpy(),
        )
