from __future__ import annotations

import numpy as np
from scipy import ndimage

from mdx_sim.anatomy import COMPARTMENTS, Anatomy
from mdx_sim.subjects import jacobian, named_rng, repositioning, sample_head, subject_displacement


def part(anatomy: Anatomy, name: str) -> np.ndarray:
    return anatomy.fractions[COMPARTMENTS.index(name)]


def brain_of(fractions: np.ndarray) -> np.ndarray:
    return fractions[:3].sum(axis=0) >= 0.5


def test_tissue_volumes_are_those_of_a_head(anatomy: Anatomy) -> None:
    litres = {name: float(part(anatomy, name).sum()) * anatomy.size_mm**3 / 1e6 for name in COMPARTMENTS}
    assert 0.4 < litres["wm"] < 0.8
    assert 0.7 < litres["gm"] < 1.2
    assert 0.1 < litres["csf"] < 0.5
    assert litres["wm"] + litres["gm"] + litres["csf"] < 2.0


def test_fractions_never_exceed_a_voxel(anatomy: Anatomy) -> None:
    assert anatomy.fractions.min() >= 0
    assert anatomy.fractions.sum(axis=0).max() <= 1 + 1e-5


def test_bone_lies_between_brain_and_scalp(anatomy: Anatomy) -> None:
    brain = brain_of(anatomy.fractions)
    around = ndimage.binary_dilation(brain) & ~brain
    assert part(anatomy, "bone")[around].mean() > 4 * part(anatomy, "scalp")[around].mean()


def test_every_axial_slice_shows_some_head(anatomy: Anatomy) -> None:
    assert anatomy.fractions.sum(axis=0).max(axis=(0, 1)).min() > 0.5


def test_jacobian_of_a_stretch_is_its_factor() -> None:
    x_mm = 2.0 * np.arange(10)
    displacement = np.zeros((3, 10, 8, 6))
    displacement[0] = 0.25 * x_mm[:, None, None]
    np.testing.assert_allclose(jacobian(displacement, 2.0), 1.25)


def test_no_subject_folds(anatomy: Anatomy) -> None:
    for number in range(12):
        displacement = subject_displacement(named_rng(0, "subject", number), anatomy)
        assert jacobian(displacement, anatomy.size_mm).min() > 0


def test_subjects_differ_by_millimetres(anatomy: Anatomy) -> None:
    peaks = []
    for number in range(12):
        displacement = subject_displacement(named_rng(0, "subject", number), anatomy)
        peaks.append(np.sqrt((displacement**2).sum(axis=0)).max())
    assert min(peaks) > 4 and max(peaks) < 13


def test_a_subject_is_determined_by_seed_and_name(anatomy: Anatomy) -> None:
    first, again, other, reseeded = (
        subject_displacement(named_rng(seed, "subject", name), anatomy)
        for seed, name in ((3, "a"), (3, "a"), (3, "b"), (4, "a"))
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1
    assert np.abs(first - reseeded).max() > 1


def test_the_right_half_of_the_brain_lies_further_forward_on_average(anatomy: Anatomy) -> None:
    mean = np.mean([subject_displacement(named_rng(0, "subject", n), anatomy)[1] for n in range(40)], axis=0)
    # offsets say where tissue is taken from: tissue taken from behind lies further forward
    assert mean[-6:].mean() < mean[:6].mean() - 1


def test_a_head_at_rest_is_the_anatomy(anatomy: Anatomy) -> None:
    rest = np.zeros((3, *anatomy.fractions.shape[1:]), dtype=np.float32)
    np.testing.assert_allclose(sample_head(anatomy, rest, anatomy.affine), anatomy.fractions, atol=1e-4)


def test_repositioning_moves_the_brain_rigidly(anatomy: Anatomy) -> None:
    motion = repositioning(np.random.default_rng(2))
    np.testing.assert_allclose(motion[:3, :3] @ motion[:3, :3].T, np.eye(3), atol=1e-12)
    rest = np.zeros((3, *anatomy.fractions.shape[1:]), dtype=np.float32)
    moved = brain_of(sample_head(anatomy, rest, motion @ anatomy.affine))
    before = brain_of(anatomy.fractions)
    assert (moved != before).sum() > 0
    assert abs(moved.sum() / before.sum() - 1) < 0.05
