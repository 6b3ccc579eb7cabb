"""Learn to Ignore: the small study that has every class shapes the latent space, all studies fill it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from mdx import Adapter, Dataset, Model, Prediction, Reference, Run, Sample, Task
from mdx_adversarial.samplers import OnePerClass
from mdx_l2i.cohort import Cohort
from mdx_l2i.config import L2IConfig
from mdx_l2i.losses import center_loss, latent_loss
from mdx_l2i.networks import make_centers, make_classifier_model
from mdx_l2i.training import (
    Losses,
    begin,
    epochs,
    loader_of,
    make_adam,
    mixed_batches,
    predict,
    step_in_parts,
    validate,
)


class L2I(Adapter[L2IConfig]):
    """L = L_cls + lambda_cen L_cen + lambda_latent L_latent, each term moving its own networks.

    L_cls moves the classifier, L_latent the encoder, both on a mixed batch; L_cen moves centres and encoder, on one
    target image of each class. The encoder never sees a gradient of L_cls. Source: Wolleb et al. 2022, Eq. 1-3.
    """

    def build(self, task: Task) -> Model:
        """Encoder, classifier and class centres."""
        model = make_classifier_model(task, self.config)
        model["centers"] = make_centers(task, self.config)
        return model

    def require(self, data: Dataset) -> None:
        """Every class must occur at the target, and validation cases of it where they choose the weights."""
        cohort = Cohort(data, self.config)
        cohort.require_every_class(cohort.target, "target training cases")
        cohort.require_validation()

    def fit(self, data: Dataset, model: Model, run: Run) -> None:
        """Train until the target's validation loss stops falling. Raises DataError if the target lacks a class."""
        c = self.config
        cohort = Cohort(data, c)
        cohort.require_every_class(cohort.target, "target training cases")
        if len(cohort.target) == len(cohort.train):
            why = "train_on=target leaves the sources out" if c.train_on == "target" else "there is no source"
            run.note(f"All training cases are of the target ({why}): there was no scanner to ignore.")
        begin(run, model, cohort, c)
        optimizer = make_adam(run, model, c)
        mixed = mixed_batches(run, cohort)
        pairs = loader_of(run, cohort, cohort.target, len(data.task.classes), OnePerClass())
        name = data.task.label
        for epoch in epochs(run, c):
            model.train()
            for batch, pair in zip(mixed, pairs, strict=True):
                step_in_parts(
                    run, optimizer, c,
                    (batch, lambda b: self.mixed_losses(model, b.image, b.label(name))),
                    (pair, lambda b: self.target_losses(model, b.image, b.label(name))),
                )  # fmt: skip
                if c.center_norm == "project_after_step" and c.centers == "learned":
                    model.centers.project()
            validate(run, epoch, model, cohort.val, c, lambda f, y: self.validation_losses(model, f, y))

    def mixed_losses(self, model: Model, images: Tensor, labels: Tensor) -> Losses:
        """L_cls and L_latent of the mixed batch; neither reaches the centres, and L_cls not the encoder."""
        features = model.encoder(images)
        cls = F.cross_entropy(model.classifier(features.detach()).float(), labels)
        latent = latent_loss(features, labels, model.centers(), self.config.radius)
        return {"cls": cls, "latent": latent, "total": cls + self.config.lambda_latent * latent}

    def target_losses(self, model: Model, images: Tensor, labels: Tensor) -> Losses:
        """L_cen of one target image of each class."""
        cen = self._cen(model.encoder(images), labels, model.centers())
        return {"cen": cen, "total": self.config.lambda_cen * cen}

    def _cen(self, features: Tensor, labels: Tensor, centers: Tensor) -> Tensor:
        c = self.config
        cen = center_loss(features, labels, centers, c.radius, c.margin)
        # the sum is so many times the mean, so that parts of a batch still add up
        return cen * len(centers) if c.cen_reduction == "sum" else cen

    def validation_losses(self, model: Model, features: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The same terms over validation cases, weighed as in training."""
        c = self.config
        cls = F.cross_entropy(model.classifier(features).float(), labels)
        latent = latent_loss(features, labels, model.centers(), c.radius)
        cen = self._cen(features, labels, model.centers())
        geometry = c.lambda_cen * cen + c.lambda_latent * latent
        return {"latent": latent, "cen": cen, "cen+latent": geometry, "total": cls + geometry}

    def apply(self, sample: Sample, model: Model, reference: Reference | None = None) -> Prediction:
        """Class probabilities, the latent vector, and in ``details`` its distance to each class's centre.

        A case far from all centres is unlike anything trained on.
        """
        made = predict(sample, model)
        distances = np.linalg.norm(model.centers().cpu().numpy() - made.embedding, axis=1)
        return replace(
            made, details={"distance_to_center": dict(zip(self.task.classes, distances.tolist(), strict=True))}
        )
