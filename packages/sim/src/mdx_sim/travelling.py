"""``sim:travelling``: the same subjects at every site, with a T1 and a T2 image and the tissue of each visit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from mdx_sim.anatomy import Anatomy, load_anatomy
from mdx_sim.imaging import acquire, label_map, store, store_mask
from mdx_sim.options import TravellingOptions
from mdx_sim.physics import site_tissues
from mdx_sim.scanners import Scanner, scanner_of
from mdx_sim.shifts import SEVERITIES
from mdx_sim.subjects import lie_in_scanner, named_rng, subject_displacement

VERSION = 1
"""Raised whenever the same options give other voxels; part of a cohort's name."""
CONTRASTS = ("t1", "t2")
LOADS = (load_anatomy,)
"""What every visit needs, made once for each size of voxel."""


@dataclass(frozen=True)
class Visit:
    """One visit to be made: what determines it, and nothing else."""

    site: str
    subject: str
    severity: float
    registered: bool
    seed: int

    @property
    def case(self) -> str:
        """Identifies the visit."""
        return f"{self.subject}_{self.site}"

    def image(self, contrast: str) -> str:
        """File of an image, relative to the cohort's folder."""
        return f"images/{self.case}_{contrast}.nii.gz"

    @property
    def tissue(self) -> str:
        """File of the tissue labels, relative to the cohort's folder."""
        return f"masks/{self.case}.nii.gz"


def visits(options: TravellingOptions) -> list[Visit]:
    """The visits of a cohort, subject by subject."""
    return [
        Visit(site, f"traveller-{number:03d}", options.shift if i else 0.0, options.registered, options.seed)
        for number in range(1, options.subjects + 1)
        for i, site in enumerate(options.sites)
    ]


def simulate(visit: Visit, anatomy: Anatomy, folder: Path) -> dict[str, float]:
    """Write both images and the tissue of a visit into ``folder``: one head, lying still for both sequences."""
    scanner = scanner_of(visit.site, visit.severity)
    displacement = subject_displacement(named_rng(visit.seed, "subject", visit.subject), anatomy)
    rng = named_rng(visit.seed, "visit", visit.site, visit.subject)
    fractions, affine = lie_in_scanner(displacement, anatomy, scanner, visit.registered, rng)
    tissues = site_tissues(scanner.field_tesla, named_rng(visit.seed, "site", visit.site))
    for contrast, made in zip(CONTRASTS, (scanner, in_t2(scanner)), strict=True):
        image = acquire(fractions, affine, made, tissues, rng)
        store(folder / visit.image(contrast), image, affine, made, visit.registered)
    store_mask(folder / visit.tissue, label_map(fractions, "tissue"), affine, scanner, visit.registered)
    return {}


def in_t2(scanner: Scanner) -> Scanner:
    """The scanner with its T2 protocol. The part of a shift that changes the contrast of T1 images is left out."""
    return replace(scanner, signal=scanner.t2_signal, shift=replace(scanner.shift, density_weight=0.0))


def row(visit: Visit, options: TravellingOptions) -> dict[str, object]:
    """What the table says of a visit. The first site is the source, the others are targets."""
    return {
        "case": visit.case,
        "t1": visit.image("t1"),
        "t2": visit.image("t2"),
        "tissue": visit.tissue,
        "subject": visit.subject,
        "site": visit.site,
        "role": "source" if visit.site == options.sites[0] else "target",
        "scanner": scanner_of(visit.site).title,
        "severity": f"{SEVERITIES.get(visit.site, visit.severity):.3g}",
    }
