"""``sim:ms``: a small study with healthy and ill subjects, and larger ones on other scanners with one class each.

The ill have lesions in the white matter and have lost tissue around the ventricles, as in multiple sclerosis.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mdx_sim.ageing import Landmarks, load_landmarks, widen_ventricles
from mdx_sim.anatomy import COMPARTMENTS, Anatomy, load_anatomy
from mdx_sim.imaging import acquire, store, store_mask, without_skull
from mdx_sim.options import HEALTHY, ILL, MSOptions
from mdx_sim.physics import site_tissues
from mdx_sim.studies import PEAK_MM, TARGET_STUDY, study_scanner
from mdx_sim.subjects import lie_in_scanner, named_rng, subject_displacement

VERSION = 6
"""Raised whenever the same options give other voxels; part of a cohort's name."""
LOADS = (load_anatomy, load_landmarks)
"""What every visit needs, made once for each size of voxel."""

LESIONS = (4, 10)
RADIUS_MM = (6.0, 12.0)
PERIVENTRICULAR_MM = 10.0
EDGE_MM = 1.0
SPREAD_MM = 0.7
"""Standard deviation of how far the walls of healthy ventricles lie from the anatomy's."""
ATROPHY_MM = (2.5, 0.7)
"""Mean and standard deviation of how much further out they lie in the ill."""
AGED_MM = {"adni": 4.0, "hcp_aging": 2.5, "hcp_ya": 1.5}
"""How much further out they lie in healthy studies, whose subjects are older than those of the target: in the pool,
wide ventricles do not mean disease."""


@dataclass(frozen=True)
class Visit:
    """One scan to be made: what determines it, and nothing else."""

    site: str
    subject: str
    diagnosis: str
    split: str
    shift: float
    seed: int

    @property
    def image(self) -> str:
        """File of the image, relative to the cohort's folder."""
        return f"images/{self.subject}.nii.gz"

    @property
    def lesions(self) -> str:
        """File of the mask of lesions, relative to the cohort's folder; healthy subjects have none."""
        return f"masks/{self.subject}.nii.gz" if self.diagnosis == ILL else ""


def visits(options: MSOptions) -> list[Visit]:
    """The visits of a cohort, site by site."""
    return list(_visits(options))


def _visits(options: MSOptions) -> Iterator[Visit]:
    for site in options.sites:
        number = 0
        for split in ("train", "val", "test"):
            for diagnosis in (HEALTHY, ILL):
                for _ in range(options.count(site, split, diagnosis)):
                    number += 1
                    yield Visit(site, f"{site}-{number:03d}", diagnosis, split, options.shift, options.seed)


def simulate(visit: Visit, anatomy: Anatomy, folder: Path) -> dict[str, float]:
    """Write image and lesions of a visit into ``folder``; returns what is wrong with the brain: lesions and wall."""
    scanner = study_scanner(visit.site, visit.shift)
    rng = named_rng(visit.seed, "subject", visit.subject)
    landmarks = load_landmarks(anatomy.size_mm)
    displacement = subject_displacement(rng, anatomy, PEAK_MM)
    growth_mm = float(rng.normal(AGED_MM.get(visit.site, 0.0), SPREAD_MM))
    if visit.diagnosis == ILL:
        growth_mm += float(rng.normal(*ATROPHY_MM))
    displacement = widen_ventricles(displacement, anatomy, landmarks, growth_mm)
    count = int(rng.integers(LESIONS[0], LESIONS[1] + 1)) if visit.diagnosis == ILL else 0
    head = anatomy.with_maps(lesion_map(count, anatomy, landmarks, rng))
    rng = named_rng(visit.seed, "visit", visit.site, visit.subject)
    fractions, affine = lie_in_scanner(displacement, head, scanner, True, rng)
    fractions = replace_white_matter(fractions)
    tissues = site_tissues(scanner.field_tesla, named_rng(visit.seed, "site", visit.site))
    image = without_skull(acquire(fractions, affine, scanner, tissues, rng), fractions)
    store(folder / visit.image, image, affine, scanner, True)
    if visit.lesions:
        store_mask(folder / visit.lesions, fractions[-1] >= 0.5, affine, scanner, True)
    volume_ml = float(fractions[-1].sum()) * anatomy.size_mm**3 / 1000
    return {"lesion_count": count, "lesion_ml": round(volume_ml, 2), "ventricle_growth_mm": round(growth_mm, 2)}


def lesion_map(count: int, anatomy: Anatomy, landmarks: Landmarks, rng: np.random.Generator) -> np.ndarray:
    """Ellipsoids in the white matter around the ventricles, (X, Y, Z) float32 between 0 and 1.

    Centres are more likely the nearer they lie to the ventricles' wall; axes are drawn one by one and point anywhere.
    """
    from scipy.spatial.transform import Rotation

    white = anatomy.fractions[COMPARTMENTS.index("wm")]
    shape = white.shape
    weight = (white > 0.5) * (landmarks.wall_mm > 0) * np.exp(-landmarks.wall_mm.astype(float) / PERIVENTRICULAR_MM)
    centres = rng.choice(white.size, count, p=(weight / weight.sum()).ravel())
    at_mm = np.indices(shape).reshape(3, -1) * anatomy.size_mm
    lesions = np.zeros(white.size, dtype=np.float32)
    for centre in centres:
        radii = rng.uniform(*RADIUS_MM, 3)
        turn = Rotation.from_quat(rng.standard_normal(4)).as_matrix()
        middle_mm = at_mm[:, [centre]] + rng.uniform(-0.5, 0.5, (3, 1)) * anatomy.size_mm
        inside = turn @ (at_mm - middle_mm)
        distance_mm = (np.linalg.norm(inside / radii[:, None], axis=0) - 1) * radii.mean()
        soft = np.clip(0.5 - distance_mm / max(2 * EDGE_MM, anatomy.size_mm), 0, 1)
        lesions = np.maximum(lesions, soft)
    return lesions.reshape(shape).astype(np.float32)


def replace_white_matter(maps: np.ndarray) -> np.ndarray:
    """Tissues and a lesion map (6, X, Y, Z) as fractions: the white matter within lesions becomes lesion."""
    fractions = maps.copy()
    white = COMPARTMENTS.index("wm")
    fractions[-1] *= maps[white]
    fractions[white] -= fractions[-1]
    return fractions


def row(visit: Visit, options: MSOptions) -> dict[str, object]:
    """What the table says of a visit beside the measured truth."""
    return {
        "image": visit.image,
        "lesions": visit.lesions,
        "subject": visit.subject,
        "site": visit.site,
        "role": "target" if visit.site == TARGET_STUDY else "source",
        "split": visit.split,
        "class": visit.diagnosis,
        "scanner": study_scanner(visit.site).title,
    }
