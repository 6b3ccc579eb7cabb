"""The three updates of one batch that take the domain out of the features without touching its head."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from mdx_adversarial.losses import confusion_loss

if TYPE_CHECKING:
    from mdx.training.run import Run

DomainLoss = Callable[[Tensor, Tensor], Tensor]
"""(B, N) logits and (B,) domains to a scalar."""


class UnlearningOptimizers(NamedTuple):
    """Three optimisers, each the owner of what it moves."""

    task: Optimizer  # encoder and predictor
    domain: Optimizer  # domain head
    confusion: Optimizer  # encoder


class UnlearningLosses(NamedTuple):
    """The losses of a step, before ``alpha`` and ``beta``, detached."""

    main: Tensor
    domain: Tensor
    confusion: Tensor


def unlearning_step(
    run: Run,
    optimizers: UnlearningOptimizers,
    *,
    encode: Callable[[Tensor], Tensor],
    task_loss: Callable[[Tensor], Tensor],
    head: nn.Module,
    main: Tensor,
    other: Tensor | None,
    domains: Tensor,
    alpha: float = 1.0,
    beta: float = 10.0,
    reduction: Literal["mean", "sum"] = "mean",
    domain_loss: DomainLoss = F.cross_entropy,
) -> UnlearningLosses:
    """L_p on ``main``; then alpha L_d and beta L_conf on ``other``, in three updates, in this order.

    Features of ``other`` are computed once, after the encoder has moved. With ``other=None`` the stale features of the
    first update serve all three, as in the authors' script for three datasets; the encoder has moved by the third, so
    what its backward needs is kept as it was.

    Args:
        encode: images (B, C, *spatial) to features (B, d).
        task_loss: features of ``main`` to L_p, a scalar.
        head: features to logits (B, N).
        main: images with task labels; ``other``: images to unlearn on, no labels needed. Both may be one batch.
        domains: (B,) int64 domains of ``other``, or of ``main`` without it.
        reduction: ``mean`` or ``sum`` over the batch of L_conf; beta 10 with ``sum`` and 16 cases is 160 with ``mean``.

    Source: Dinsdale et al. 2020, Eq. 1-5.
    """
    stale = other is None
    with torch.autograd.graph.allow_mutation_on_saved_tensors() if stale else nullcontext():
        features = encode(main)
        task = task_loss(features)
        run.step(optimizers.task, task, retain_graph=stale)
        if other is not None:
            features = encode(other)
        domain = domain_loss(head(features.detach()), domains)
        run.step(optimizers.domain, alpha * domain)
        confusion = confusion_loss(head(features), reduction)  # through the head that has just moved
        run.step(optimizers.confusion, beta * confusion)
    return UnlearningLosses(task.detach(), domain.detach(), confusion.detach())


def double_softmax(logits: Tensor, domains: Tensor) -> Tensor:
    """Cross-entropy of probabilities taken for logits, as the authors' script for three datasets computes it."""
    return F.cross_entropy(logits.softmax(dim=1), domains)


def binary_domain_loss(logits: Tensor, domains: Tensor) -> Tensor:
    """Binary cross-entropy of each softmax probability against one-hot domains, mean over all of them.

    For two domains this is the cross-entropy. Both logarithms are taken of sums of exponentials, so none is infinite.
    """
    hot = F.one_hot(domains, logits.shape[1]).bool()
    log_p = logits.log_softmax(dim=1)
    others = logits[:, None, :].masked_fill(
        torch.eye(logits.shape[1], dtype=torch.bool, device=logits.device), -torch.inf
    )
    log_not_p = others.logsumexp(dim=2) - logits.logsumexp(dim=1, keepdim=True)
    return -torch.where(hot, log_p, log_not_p).mean()
