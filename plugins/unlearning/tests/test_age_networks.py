"""The encoder and the regressor."""

from __future__ import annotations

import pytest
import torch
from made_ages import SMALL
from torch import nn

from mdx.interfaces.dataset import Dataset
from mdx_unlearning.cohort import TrainingCohort
from mdx_unlearning.config import UnlearningConfig
from mdx_unlearning.networks import Regressor, VGGEncoder
from mdx_unlearning.training import make_head


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_networks_have_the_papers_parameters() -> None:
    assert count(VGGEncoder(1, 3)) == 2_612_640
    assert count(Regressor(96)) == 3_137


@pytest.mark.parametrize("depth", [32, 64])
def test_the_papers_input_gives_96_features(depth: int) -> None:
    # the published encoder fails for 32; a meta tensor has shapes and no values
    with torch.device("meta"):
        encoder = VGGEncoder(1, 3).eval()
        features = encoder(torch.zeros(1, 1, 128, 128, depth))
        assert features.shape == (1, 96)
        assert Regressor(96)(features).shape == (1,)


def test_the_last_pooling_of_the_papers_input_is_a_plain_one() -> None:
    last = VGGEncoder(1, 3).last_pool
    x = torch.randn(2, 5, 4, 4, 1, generator=torch.Generator().manual_seed(0))
    assert torch.equal(last(x), nn.functional.max_pool3d(x, (2, 2, 1)))
    x = torch.randn(2, 5, 4, 4, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(last(x), nn.functional.max_pool3d(x, 2))


@pytest.mark.slow
def test_the_papers_input_is_computed() -> None:
    with torch.no_grad():
        features = VGGEncoder(1, 3).eval()(torch.randn(1, 1, 128, 128, 32))
    assert features.shape == (1, 96)
    assert torch.isfinite(features).all()


@pytest.mark.parametrize("shape", [(33, 41, 29), (7, 5, 3), (16, 16, 1)])
def test_small_and_odd_volumes_are_taken(shape: tuple[int, int, int]) -> None:
    assert VGGEncoder(1, 3, width=0.1)(torch.randn(2, 1, *shape)).shape == (2, 96)


@pytest.mark.parametrize("shape", [(64, 48), (9, 7)])
def test_slices_are_taken_in_two_dimensions(shape: tuple[int, int]) -> None:
    encoder = VGGEncoder(3, 2, width=0.1, stages=4, stem_stride=2, feature_size=20)
    assert encoder(torch.randn(2, 3, *shape)).shape == (2, 20)


def test_batch_norm_follows_the_relu() -> None:
    kinds = [type(layer) for layer in VGGEncoder(1, 3).stages[0]]  # type: ignore[arg-type]
    assert kinds == [nn.Conv3d, nn.ReLU, nn.BatchNorm3d] * 2


def test_a_standardised_regressor_starts_near_the_mean_label() -> None:
    torch.manual_seed(0)
    regressor = Regressor(96)
    regressor.mean.fill_(60.0)
    regressor.scale.fill_(10.0)
    assert (regressor(torch.rand(8, 96)) - 60).abs().max() < 10


def test_the_authors_dropout_of_a_vector_drops_whole_cases(three_sites: Dataset) -> None:
    config = UnlearningConfig.model_validate({**SMALL, "dropout_of": "cases", "head_dropout": 0.5})
    ours = make_head(TrainingCohort(three_sites, config), config)[2]
    torch.manual_seed(0)
    with pytest.warns(UserWarning, match="dropout3d"):
        theirs = nn.Dropout3d(0.5)(torch.ones(8, 5))
    torch.manual_seed(0)
    assert torch.equal(ours(torch.ones(8, 5)), theirs)
    assert {tuple(row.unique().tolist()) for row in theirs} == {(0.0,), (2.0,)}
