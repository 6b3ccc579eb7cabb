"""``sim:brain``: at every site other subjects, one visit each, with masks of the brain or of its tissues."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mdx_sim.anatomy import Anatomy, load_anatomy
from mdx_sim.imaging import acquire, label_map, store, store_mask
from mdx_sim.options import BrainOptions
from mdx_sim.physics import site_tissues
from mdx_sim.scanners import scanner_of
from mdx_sim.shifts import SEVERITIES
from mdx_sim.subjects import lie_in_scanner, named_rng, subject_displacement

VERSION = 1
"""Raised whenever the same options give other voxels; part of a cohort's name."""
LOADS = (load_anatomy,)
"""What every visit needs, made once for each size of voxel."""


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


def simulate(visit: Visit, anatomy: Anatomy, folder: Path) -> dict[str, float]:
    """Write image and mask of a visit into ``folder``."""
    scanner = scanner_of(visit.site, visit.severity)
    displacement = subject_displacement(named_rng(visit.seed, "subject", visit.subject), anatomy)
    rng = named_rng(visit.seed, "visit", visit.site, visit.subject)
    fractions, affine = lie_in_scanner(displacement, anatomy, scanner, visit.registered, rng)
    tissues = site_tissues(scanner.field_tesla, named_rng(visit.seed, "site", visit.site))
    image = acquire(fractions, affine, scanner, tissues, rng)
    store(folder / visit.image, image, affine, scanner, visit.registered)
    store_mask(folder / visit.mask, label_map(fractions, visit.labels), affine, scanner, visit.registered)
    return {}


def row(visit: Visit, options: BrainOptions) -> dict[str, object]:
    """What the table says of a visit. The first site is the source, the others are targets."""
    return {
        "image": visit.image,
        "mask": visit.mask,
        "subject": visit.subject,
        "site": visit.site,
        "role": "source" if visit.site == options.sites[0] else "target",
        "scanner": scanner_of(visit.site).title,
        "severity": f"{SEVERITIES.get(visit.site, visit.severity):.3g}",
    }
