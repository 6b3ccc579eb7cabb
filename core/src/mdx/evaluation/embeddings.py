"""Feature vectors of a population of cases, and their picture in the plane."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mdx.errors import DataError
from mdx.files import replacing
from mdx.interfaces.adapter import Prediction
from mdx.interfaces.dataset import Dataset

MOST_DRAWN = 1000
"""Cases of a picture; more are thinned out evenly, since t-SNE takes minutes for them."""


def save_embeddings(path: Path, predictions: Sequence[Prediction], data: Dataset) -> None:
    """Write ``embedding`` (n, d) and, of each case, ``case``, ``site``, ``split``, ``role``, ``label`` and ``plane``.

    ``plane`` (n, 2) is the t-SNE of the test cases; NaN for the others and for those that were thinned out.
    Raises DataError for vectors of different lengths or that are not finite.
    """
    vectors = [p.embedding for p in predictions]
    lengths = {None if v is None else np.shape(v) for v in vectors}
    if len(lengths) > 1 or not all(np.isfinite(np.asarray(v, dtype=float)).all() for v in vectors):
        raise DataError(
            f"embeddings of shapes {sorted(map(str, lengths))}, or not finite", "correct the method's apply()"
        )
    embedding = np.stack([np.asarray(v, dtype=np.float32) for v in vectors])
    cases = data.cases
    drawn = np.flatnonzero([c.split == "test" for c in cases])
    drawn = drawn[np.unique(np.linspace(0, len(drawn) - 1, min(len(drawn), MOST_DRAWN)).astype(int))]
    plane = np.full((len(cases), 2), np.nan, dtype=np.float32)
    plane[drawn] = tsne(embedding[drawn])
    label = [str(c.value(data.task.label)) for c in cases]
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(
            stream, embedding=embedding, plane=plane, label=np.array(label), case=np.array([c.id for c in cases]),
            site=np.array([c.site for c in cases]), split=np.array([c.split or "" for c in cases]),
            role=np.array([c.role or "" for c in cases]),
        )  # fmt: skip


def tsne(features: np.ndarray, seed: int = 0) -> np.ndarray:
    """(n, d) features in the plane by t-SNE (van der Maaten and Hinton 2008): (n, 2).

    Neighbourhoods mean something there, distances and sizes of clusters do not. Fewer than five cases, or features
    that are all equal, stay at 0.
    """
    features = np.asarray(features, dtype=np.float64)
    if len(features) < 5 or not features.std(axis=0).any():
        return np.zeros((len(features), 2))
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(features) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(features)
