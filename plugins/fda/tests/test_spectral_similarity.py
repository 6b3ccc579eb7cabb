from __future__ import annotations

import numpy as np
import piq
import pytest
import torch
from fda_phantoms import phantom

from mdx.errors import DataError
from mdx_fda.similarity import features, score, sr_sim


@pytest.mark.parametrize("shape", [(40, 41), (64, 64), (120, 120), (121, 97), (182, 218), (400, 500)])
def test_a_single_pair_scores_as_in_piq(shape: tuple[int, int]) -> None:
    x, y = phantom(0, 1, *shape)[0, 0], phantom(1, 1, *shape)[0, 0]
    expected = float(piq.srsim(x[None, None], y[None, None], data_range=1.0))
    assert sr_sim(x, y) == pytest.approx(expected, abs=1e-4)


def test_it_is_symmetric() -> None:
    x, y = phantom(0)[0, 0], phantom(1)[0, 0]
    assert sr_sim(x, y) == pytest.approx(sr_sim(y, x), abs=1e-6)


def test_identical_slices_score_one() -> None:
    assert sr_sim(phantom(0)[0, 0], phantom(0)[0, 0]) == pytest.approx(1.0, abs=1e-6)


def test_numpy_arrays_score_as_tensors() -> None:
    x, y = phantom(0)[0, 0], phantom(1)[0, 0]
    assert sr_sim(x.numpy(), y.numpy()) == sr_sim(x, y)


def test_a_score_does_not_depend_on_the_other_pairs_of_the_call() -> None:
    x, y = phantom(0)[:, 0], phantom(1)[:, 0]
    y[3] *= 0.05  # a neighbour whose saliency range differs, which moves piq's scores of the others
    together = score(features(x), features(y))
    for i in range(len(x)):
        assert float(together[i]) == pytest.approx(sr_sim(x[i], y[i]), abs=1e-6)


def test_piqs_own_scores_do_depend_on_the_batch() -> None:
    # why it is not used: if this ever fails, piq has changed and could be
    x, y = phantom(0)[:3], phantom(1)[:3] * torch.tensor([1, 0.05, 1]).reshape(3, 1, 1, 1)
    together = piq.srsim(x, y, data_range=1.0, reduction="none")
    alone = piq.srsim(x[:1], y[:1], data_range=1.0, reduction="none")
    assert abs(float(together[0]) - float(alone[0])) > 1e-3


def test_flat_slices_score_a_number() -> None:
    for value in (0.0, 0.5):
        assert np.isfinite(sr_sim(torch.full((64, 64), value), phantom(0, 1, 64, 64)[0, 0]))


def test_below_forty_pixels_is_refused() -> None:
    with pytest.raises(DataError, match="40 pixels"):
        sr_sim(np.zeros((39, 60)), np.zeros((39, 60)))


def test_different_shapes_are_refused() -> None:
    with pytest.raises(DataError, match="cannot be compared"):
        sr_sim(np.zeros((40, 60)), np.zeros((60, 40)))
