"""Losses that make features tell less of the site, or more of the class."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mdx.errors import ConfigError, DataError

SMALLEST_WIDTH = 1e-5
"""A kernel is never narrower: equal features then have a kernel of 1 instead of 0 / 0."""


def confusion_loss(logits: Tensor, reduction: str = "mean") -> Tensor:
    """-sum_n (1/N) log p_n of softmax probabilities p, least where all N domains are equally likely.

    Args:
        logits: (B, N).
        reduction: ``mean`` or ``sum`` over the batch; the authors' code sums.

    Source: Dinsdale et al. 2020, Eq. 3 and 5. Computed from log_softmax: a probability of 0 gives no infinity.
    """
    each = -logits.log_softmax(dim=1).mean(dim=1)
    if reduction not in ("mean", "sum"):
        raise ConfigError(f"the reduction is '{reduction}'", "use mean or sum")
    return each.mean() if reduction == "mean" else each.sum()


def supervised_contrastive_loss(features: Tensor, labels: Tensor, temperature: float = 0.07) -> Tensor:
    """Draws features of one class together and pushes those of other classes away.

    For each anchor, the mean over its positives (all others of its class) of -log softmax over all others of the
    cosine similarity / temperature; then the mean over anchors. An anchor without a positive has none to be drawn to
    and is left out; if no anchor has one, the loss is 0.

    Args:
        features: (B, d), or (B, V, d) with V views of each case; of unit length.
        labels: (B,) int64.

    Source: Khosla et al. 2020, Eq. 2 (their L_out, base temperature = temperature).
    """
    if features.ndim == 3:
        labels = labels.repeat_interleave(features.shape[1])
        features = features.flatten(0, 1)
    itself = torch.eye(len(labels), dtype=torch.bool, device=features.device)
    with torch.autocast(features.device.type, enabled=False):  # similarities of 0.99 and 1 must not become one number
        similarity = (features.float() @ features.float().T) / temperature
    log_p = similarity - similarity.masked_fill(itself, -torch.inf).logsumexp(dim=1, keepdim=True)
    positive = (labels[:, None] == labels) & ~itself
    count = positive.sum(dim=1)
    each = -(log_p * positive).sum(dim=1) / count.clamp(min=1)
    return each.sum() / (count > 0).sum().clamp(min=1)


def contrastive_domain_discrepancy(
    source: Tensor, target: Tensor, source_counts: Sequence[int], target_counts: Sequence[int],
    kernels: int = 5, factor: float = 2.0,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """How far apart features of one class are in two domains (intra), less how far those of different classes are.

    Args:
        source, target: (S, d) and (T, d) features, sorted by class.
        source_counts, target_counts: how many of each class, in this order; each at least 1.
        kernels, factor: Gaussian kernels exp(-|a - b|^2 / width) that are summed; their widths are the mean squared
            distance of the pair of classes times ``factor`` to the power of -2, -1, 0, 1, 2 (with five).

    Returns:
        intra - inter, intra (mean over classes) and inter (mean over ordered pairs of different classes; 0 if there is
        one class). Widths carry no gradient.

    Raises DataError for counts that do not fit the features. Source: Kang et al. 2019, Eq. 3-5.
    """
    counts = [*source_counts, *target_counts]
    fits = (sum(source_counts), sum(target_counts)) == (len(source), len(target))
    if len(source_counts) != len(target_counts) or not fits or min(counts, default=0) < 1:
        raise DataError(
            f"{list(source_counts)} and {list(target_counts)} cases of the classes do not make {len(source)} source "
            f"and {len(target)} target features",
            "give features sorted by class and at least one of every class in both domains",
        )
    of_source = source.float().split(list(source_counts))
    of_target = target.float().split(list(target_counts))
    intra = [_squared_mmd(s, t, kernels, factor) for s, t in zip(of_source, of_target, strict=True)]
    inter = [
        _squared_mmd(s, t, kernels, factor) for i, s in enumerate(of_source) for j, t in enumerate(of_target) if i != j
    ]
    within = torch.stack(intra).mean()
    between = torch.stack(inter).mean() if inter else torch.zeros_like(within)
    return within - between, within, between


def _squared_mmd(a: Tensor, b: Tensor, kernels: int, factor: float) -> Tensor:
    """Mean kernel within a, plus within b, less twice between them: >= 0, and 0 for equal sets."""
    both = torch.cat([a, b])
    distance = (both[:, None] - both).square().sum(dim=2)
    pairs = len(both) * (len(both) - 1)  # a point's distance to itself is no pair
    middle = distance.detach().sum() / max(pairs, 1)
    powers = torch.arange(kernels, device=both.device) - kernels // 2
    widths = (middle * factor**powers).clamp(min=SMALLEST_WIDTH)
    kernel = torch.exp(-distance / widths[:, None, None]).sum(dim=0)
    n = len(a)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()
