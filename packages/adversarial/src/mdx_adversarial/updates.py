"""The three updates of one batch that take the domain out of the features without touching its head."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from mdx_adversarial.losses import confusion_loss

if TYPE_CHECKING:
    from mdx.runs.run import Run

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
    other: Tensor,
    domains: Tensor,
    alpha: float = 1.0,
    beta: float = 10.0,
    reduction: str = "mean",
    domain_loss: DomainLoss = F.cross_entropy,
) -> UnlearningLosses:
    """L_p on ``main``; then alpha L_d and beta L_conf on ``other``, in three updates, in this order.

    Args:
        encode: images (B, C, *spatial) to features (B, d).
        task_loss: features of ``main`` to L_p, a scalar.
        head: features to logits (B, N).
        main: images with task labels; ``other``: images to unlearn on, no labels needed. Both may be one batch.
        domains: (B,) int64 domains of ``other``.
        reduction: ``mean`` or ``sum`` over the batch of L_conf; beta 10 with ``sum`` and 16 cases is 160 with ``mean``.

    Features of ``other`` are computed once, after the encoder has moved. Source: Dinsdale et al. 2020, Eq. 1-5.
    """
    loss = task_loss(encode(main))
    run.step(optimizers.task, loss)
    features = encode(other)
    return UnlearningLosses(
        loss.detach(), *_unlearn(run, optimizers, features, head, domains, alpha, beta, reduction, domain_loss)
    )


def stale_unlearning_step(
    run: Run,
    optimizers: UnlearningOptimizers,
    *,
    encode: Callable[[Tensor], Tensor],
    task_loss: Callable[[Tensor], Tensor],
    head: nn.Module,
    main: Tensor,
    domains: Tensor,
    alpha: float = 1.0,
    beta: float = 10.0,
    reduction: str = "mean",
    domain_loss: DomainLoss = F.cross_entropy,
) -> UnlearningLosses:
    """As ``unlearning_step``, on one batch, with the features of the first update used in all three.

    This is what the authors' script for three datasets does. The encoder has moved by the third update, so what its
    backward needs is kept as it was.
    """
    with torch.autograd.graph.allow_mutation_on_saved_tensors():
        features = encode(main)
        loss = task_loss(features)
        run.step(optimizers.task, loss, retain_graph=True)
        return UnlearningLosses(
            loss.detach(), *_unlearn(run, optimizers, features, head, domains, alpha, beta, reduction, domain_loss)
        )


def _unlearn(
    run: Run, optimizers: UnlearningOptimizers, features: Tensor, head: nn.Module, domains: Tensor, alpha: float,
    beta: float, reduction: Any, domain_loss: DomainLoss,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The second and third update."""
    domain = domain_loss(head(features.detach()), domains)
    run.step(optimizers.domain, alpha * domain)
    confusion = confusion_loss(head(features), reduction)  # through the head that has just moved
    run.step(optimizers.confusion, beta * confusion)
    return domain.detach(), confusion.detach()


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
