"""``sim:brain``: at every site other subjects, one visit each, with masks of the brain or of its tissues."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mdx_sim.anatomy import HEAD_CENTRE_MM, Anatomy
from mdx_sim.imaging import acquire, store, store_mask
from mdx_sim.options import BrainOptions
from mdx_sim.physics import site_tissues
from mdx_sim.scanners import Scanner, scanner_of
from mdx_sim.subjects import named_rng, repositioning, sample_head, smooth_noise, subject_displacement

DISTORTION_SIGMA_MM = 40.0


@dataclass(frozen=True)
class Visit:
    """One scan to be made: what determines it, and nothing else. ``severity`` is that of the site (see ``shifts``)."""

    site: str
    subject: str
    severity: float
    labels: str
    registered: bool
    seed: int

    @property
    def image(self) -> str:
        """File of the image, relative to the cohort's folder."""
        return f"images/{self.subject}.nii.gz"

    @property
    def mask(self) -> str:
        """File of the mask, relative to the cohort's folder."""
        return f"masks/{self.subject}.nii.gz"


def visits(options: BrainOptions) -> list[Visit]:
    """The visits of a cohort, site by site."""
    severities = {site: options.shift if i else 0.0 for i, site in enumerate(options.sites)}
    return [
        Visit(site, f"{site}-{number:03d}", severity, options.labels, options.registered, options.seed)
        for site, severity in severities.items()
        for number in range(1, options.subjects + 1)
    ]


def simulate(visit: Visit, anatomy: Anatomy, folder: Path) -> None:
    """Write image and mask of a visit into ``folder``."""
    scanner = scanner_of(visit.site, visit.severity)
    displacement = subject_displacement(named_rng(visit.seed, "subject", visit.subject), anatomy)
    rng = named_rng(visit.seed, "visit", visit.site, visit.subject)
    fractions, affine = lie_in_scanner(displacement, anatomy, scanner, visit.registered, rng)
    tissues = site_tissues(scanner.field_tesla, named_rng(visit.seed, "site", visit.site))
    image = acquire(fractions, affine, scanner, tissues, rng)
    store(folder / visit.image, image, affine, scanner, visit.registered)
    store_mask(folder / visit.mask, label_map(fractions, visit.labels), affine, scanner, visit.registered)


def lie_in_scanner(
    displacement: np.ndarray, anatomy: Anatomy, scanner: Scanner, registered: bool, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Tissue fractions (5, X, Y, Z) on the grid of the visit, and that grid's affine.

    Registered visits lie on the template's grid; else the head has moved and the grid may be oblique. The gradient's
    non-linearity bends image and truth alike.
    """
    affine, motion = anatomy.affine, np.eye(4)
    if not registered:
        motion = repositioning(rng)
        affine = turned(affine, scanner.oblique_deg)
    shape = displacement.shape[1:]
    bend = np.stack([smooth_noise(rng, shape, DISTORTION_SIGMA_MM / anatomy.size_mm) for _ in range(3)])
    offset = displacement + scanner.distortion_mm * bend
    return sample_head(anatomy, offset, motion @ affine), affine


def turned(affine: np.ndarray, angle_deg: float) -> np.ndarray:
    """``affine`` turned about the left-right axis through the centre of the brain."""
    cosine, sine = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    turn = np.eye(4)
    turn[1:3, 1:3] = [[cosine, -sine], [sine, cosine]]
    turn[:3, 3] = np.array(HEAD_CENTRE_MM) - turn[:3, :3] @ np.array(HEAD_CENTRE_MM)
    return turn @ affine


def label_map(fractions: np.ndarray, labels: str) -> np.ndarray:
    """The truth, (X, Y, Z) uint8: brain where at least half of a voxel is brain, tissue by the largest fraction."""
    white, grey, fluid = fractions[:3]
    brain = (white + grey + fluid) >= 0.5
    if labels == "brain":
        return brain.astype(np.uint8)
    return (brain * (1 + np.argmax(np.stack([grey, white, fluid]), axis=0))).astype(np.uint8)
