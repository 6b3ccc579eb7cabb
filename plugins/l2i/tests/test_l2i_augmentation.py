"""Random views: what they keep, and that they depend on the generator alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mdx.interfaces.dataset import Case, Sample
from mdx.interfaces.geometry import Geometry
from mdx_l2i.augmentation import Augmented

SHAPES = [(1, 20, 18, 16), (3, 20, 18)]


def sample(image: torch.Tensor) -> Sample:
    shape = tuple(image.shape[1:])
    return Sample(Case("c", "s", "A", {"image": Path("c.png")}), image, Geometry(np.eye(4), shape))


def ramp(shape: tuple[int, ...], axis: int) -> torch.Tensor:
    """Values from 0 to 1 along a spatial axis."""
    along = torch.linspace(0, 1, shape[1 + axis]).reshape([-1 if i == axis else 1 for i in range(len(shape) - 1)])
    return along.expand(shape).clone()


def views(image: torch.Tensor, n: int, seed: int = 0) -> list[torch.Tensor]:
    rng = np.random.default_rng(seed)
    return [Augmented().cut(sample(image), 0, rng).image for _ in range(n)]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_view_has_the_images_shape_and_range_and_leaves_the_image_alone(shape: tuple[int, ...]) -> None:
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    before = image.clone()
    for view in views(image, 5):
        assert view.shape == image.shape
        assert view.dtype == torch.float32
        assert not torch.equal(view, image)
        assert view.min() >= image.min() - 1e-5
        assert view.max() <= image.max() + 1e-5
    assert torch.equal(image, before)


@pytest.mark.parametrize("shape", SHAPES)
def test_equal_generators_give_equal_views_and_others_do_not(shape: tuple[int, ...]) -> None:
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    first, again, other = (views(image, 1, seed)[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(("shape", "left_right"), [(SHAPES[0], 0), (SHAPES[1], 1)])
def test_half_of_the_views_are_flipped_left_right_and_none_along_another_axis(
    shape: tuple[int, ...], left_right: int
) -> None:
    """60 views of a ramp, seed 0: between 18 and 42 flips (3 standard errors)."""

    def falls(image: torch.Tensor, axis: int) -> bool:
        means = image.mean(dim=[d for d in range(image.ndim) if d != axis + 1])
        return bool(means[-1] < means[0])

    assert 18 <= sum(falls(view, left_right) for view in views(ramp(shape, left_right), 60)) <= 42
    for axis in set(range(len(shape) - 1)) - {left_right}:
        assert not any(falls(view, axis) for view in views(ramp(shape, axis), 20))


def test_a_view_moves_the_content_by_little() -> None:
    """A ball in the middle stays within 4 voxels of it: 10 degrees, 5 % and a scale of 0.9 move no centre farther."""
    at = torch.stack(torch.meshgrid(*[torch.arange(n) - n / 2 for n in SHAPES[0][1:]], indexing="ij"))
    ball = (at.square().sum(dim=0) < 16).float()[None]
    for view in views(ball, 10):
        weight = view[0] / view[0].sum()
        assert (at * weight).sum(dim=(1, 2, 3)).norm() < 4
