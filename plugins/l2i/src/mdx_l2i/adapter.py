"""Learn to Ignore: the small study that has every class shapes the latent space, all studies fill it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from mdx import Dataset, Model, Prediction, Reference, Run, Sample, Task
from mdx_adversarial.samplers import OnePerClass
from mdx_l2i.cohort import Cohort
from mdx_l2i.config import L2IConfig
from mdx_l2i.losses import center_loss, latent_loss
from mdx_l2i.networks import make_centers
from mdx_l2i.training import Classifier, Losses, adam, batches_of, epochs, freeze_pooled, rates, validate


class L2I(Classifier[L2IConfig]):
    """L = L_cls + lambda_cen L_cen + lambda_latent L_latent, each term moving its own networks.

    L_cls moves the classifier, L_latent the encoder, both on a mixed batch; L_cen moves centres and encoder, on one
    target image of each class. The encoder never sees a gradient of L_cls. Source: Wolleb et al. 2022, Eq. 1-3.
    """

    def build(self, task: Task) -> Model:
        """Encoder, classifier and class centres."""
        model = super().build(task)
        model["centers"] = make_centers(task, self.config)
        return model

    def cohort(self, data: Dataset) -> Cohort:
        """Every class must occur at the target, and validation cases of it where they choose the weights."""
        cohort = Cohort(data, self.config)
        cohort.target.require_every_class("target training cases", "name a study with all classes as target")
        cohort.require_validation()
        return cohort

    def fit(self, data: Dataset, model: Model, run: Run) -> None:
        """Train until the target's validation loss stops falling."""
        c, n = self.config, len(self.task.classes)
        cohort = self.cohort(data)
        if len(cohort.target) == len(cohort.train):
            why = "train_on=target leaves the sources out" if c.train_on == "target" else "there is no source"
            run.note(f"All training cases are of the target ({why}): there was no scanner to ignore.")
        freeze_pooled(run, model, cohort.train, c)
        centers = [{"params": list(model.centers.parameters()), "lr": c.lr_centers}] if c.centers == "learned" else []
        optimizer = adam(run, [*centers, *rates(model, c)], c)
        mixed = batches_of(run, cohort, cohort.train, c.batch_size)
        pairs = batches_of(run, cohort, cohort.target, n, sampler=OnePerClass())
        for epoch in epochs(run, c):
            model.train()
            for batch, pair in zip(mixed, pairs, strict=True):
                for part in batch.parts(c.at_once):
                    f, o = model.encoder(part.image), model.centers()
                    cls = F.cross_entropy(model.classifier(f.detach()).float(), part.target)  # moves the classifier
                    latent = latent_loss(f, part.target, o, c.radius)  # moves the encoder
                    terms = {"cls": cls, "latent": latent}
                    run.backward(cls + c.lambda_latent * latent, optimizer, share=part.share, log=terms)
                for part in pair.parts(c.at_once):
                    cen = self.cen(model.encoder(part.image), part.target, model.centers())  # moves encoder and centres
                    run.backward(c.lambda_cen * cen, optimizer, share=part.share, log={"cen": cen})
                run.step(optimizer)
                if c.center_norm == "project_after_step" and c.centers == "learned":
                    model.centers.project()
            validate(run, epoch, model, cohort.val, c, self.losses, c.monitor)

    def cen(self, features: Tensor, labels: Tensor, centers: Tensor) -> Tensor:
        """L_cen; its sum is so many times the mean, so that parts of a batch still add up."""
        c = self.config
        many = len(centers) if c.cen_reduction == "sum" else 1
        return many * center_loss(features, labels, centers, c.radius, c.margin)

    def losses(self, model: Model, features: Tensor, labels: Tensor) -> Losses:
        """The same terms over validation cases, weighed as in training."""
        c, o = self.config, model.centers()
        cls = F.cross_entropy(model.classifier(features).float(), labels)
        latent, cen = latent_loss(features, labels, o, c.radius), self.cen(features, labels, o)
        geometry = c.lambda_cen * cen + c.lambda_latent * latent
        return {"latent": latent, "cen": cen, "cen+latent": geometry, "total": cls + geometry}

    def apply(self, sample: Sample, model: Model, reference: Reference | None = None) -> Prediction:
        """Class probabilities, the latent vector, and in ``details`` its distance to each class's centre.

        A case far from all centres is unlike anything trained on.
        """
        made = super().apply(sample, model)
        distances = np.linalg.norm(model.centers().cpu().numpy() - made.embedding, axis=1)
        named = dict(zip(self.task.classes, distances.tolist(), strict=True))
        return replace(made, details={"distance_to_center": named})
