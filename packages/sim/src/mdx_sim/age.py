"""``sim:age``: healthy subjects of known age at three sites of unequal size; age and site can be made to correlate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mdx_sim.ageing import ageing, load_landmarks, thin_cortex, widen_ventricles
from mdx_sim.anatomy import COMPARTMENTS, Anatomy, load_anatomy
from mdx_sim.imaging import acquire, store, without_skull
from mdx_sim.options import AgeOptions
from mdx_sim.physics import site_tissues
from mdx_sim.studies import PEAK_MM, study_scanner
from mdx_sim.subjects import lie_in_scanner, named_rng, subject_displacement

VERSION = 3
"""Raised whenever the same options give other voxels; part of a cohort's name."""
LOADS = (load_anatomy, load_landmarks)
"""What every visit needs, made once for each size of voxel."""


@dataclass(frozen=True)
class Visit:
    """One scan to be made: what determines it, and nothing else."""

    site: str
    subject: str
    age: float
    split: str
    shift: float
    seed: int

    @property
    def image(self) -> str:
        """File of the image, relative to the cohort's folder."""
        return f"images/{self.subject}.nii.gz"


def visits(options: AgeOptions) -> list[Visit]:
    """The visits of a cohort, site by site; ages are spread evenly over the range of a site's split, with jitter."""
    return list(_visits(options))


def _visits(options: AgeOptions) -> Iterator[Visit]:
    for site in options.sites:
        number = 0
        for split in ("train", "val", "test"):
            low, high = options.ages if split == "test" else options.ages_of(site)
            count = options.count(split, site)
            rng = named_rng(options.seed, "ages", site, split)
            for k in range(count):
                number += 1
                age = round(low + (high - low) * (k + float(rng.uniform())) / count, 1)
                yield Visit(site, f"{site}-{number:03d}", age, split, options.shift, options.seed)


def simulate(visit: Visit, anatomy: Anatomy, folder: Path) -> dict[str, float]:
    """Write the image of a visit into ``folder``; returns the volumes of its ventricles and its cortex."""
    scanner = study_scanner(visit.site, visit.shift)
    landmarks = load_landmarks(anatomy.size_mm)
    rng = named_rng(visit.seed, "subject", visit.subject)
    state = ageing(visit.age, rng)
    displacement = subject_displacement(rng, anatomy, PEAK_MM)
    displacement = widen_ventricles(displacement, anatomy, landmarks, state.growth_mm)
    rng = named_rng(visit.seed, "visit", visit.site, visit.subject)
    head = anatomy.with_maps(landmarks.ventricles, landmarks.cortex)
    maps, affine = lie_in_scanner(displacement, head, scanner, True, rng)
    fractions, (ventricles, cortex) = maps[: len(COMPARTMENTS)], maps[len(COMPARTMENTS) :]
    fractions = thin_cortex(fractions, cortex, state)
    tissues = site_tissues(scanner.field_tesla, named_rng(visit.seed, "site", visit.site))
    image = without_skull(acquire(fractions, affine, scanner, tissues, rng), fractions)
    store(folder / visit.image, image, affine, scanner, True)
    voxel_ml = anatomy.size_mm**3 / 1000
    grey = COMPARTMENTS.index("gm")
    return {
        "ventricle_ml": round(float(ventricles.sum()) * voxel_ml, 2),
        "cortex_ml": round(float((cortex * fractions[grey]).sum()) * voxel_ml, 1),
    }


def row(visit: Visit, options: AgeOptions) -> dict[str, object]:
    """What the table says of a visit beside the measured truth."""
    return {
        "image": visit.image,
        "subject": visit.subject,
        "site": visit.site,
        "split": visit.split,
        "age": visit.age,
        "scanner": study_scanner(visit.site).title,
    }
