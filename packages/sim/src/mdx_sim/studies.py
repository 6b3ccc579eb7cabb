"""The scanners of the studies that the built-in cohorts are named after, each with an appearance of its own.

Protocols are the studies' published ones where these are public, else common settings of the scanner. The shifts are
not from any protocol: they stand for reconstruction filters, coils and intensity corrections, and make the site easy to
tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, replace
from functools import partial

from mdx_sim.physics import mprage
from mdx_sim.scanners import Scanner
from mdx_sim.shifts import NO_SHIFT, Shift

PEAK_MM = (2.5, 4.0)
"""Peak of the subjects' random warp: half that of sim:brain, so that a small network can learn age or disease from some
hundred subjects."""
AGE_STUDIES: Mapping[str, Scanner] = {
    "biobank": Scanner(
        "Siemens Skyra 3T MPRAGE",
        3.0,
        partial(mprage, tr_ms=2000, te_ms=2.01, ti_ms=880, flip_deg=8),
        bias=0.1,
        noise=0.025,
        axcodes="LAS",
        gain=420,
    ),
    # TI 20 ms is the pause before the train of 128 echoes, 200 ms the one after it
    "oasis": Scanner(
        "Siemens Vision 1.5T MPRAGE",
        1.5,
        partial(mprage, tr_ms=1462, te_ms=4, ti_ms=641, flip_deg=10, echo_spacing_ms=9.7, echoes=128),
        bias=0.2,
        noise=0.035,
        blur_mm=(1.3, 1.3, 1.5),
        distortion_mm=0.8,
        axcodes="PSR",
        gain=900,
        shift=Shift(coil=0.9, gamma=0.8),
    ),
    "whitehall": Scanner(
        "Siemens Verio 3T MPRAGE",
        3.0,
        partial(mprage, tr_ms=2530, te_ms=3.65, ti_ms=1380, flip_deg=7),
        bias=0.2,
        noise=0.03,
        axcodes="LAS",
        storage="float32",
        gain=210,
        shift=Shift(coil=-0.6, gamma=1.25),
    ),
}
TARGET_STUDY = "study1"
MS_STUDIES: Mapping[str, Scanner] = {
    TARGET_STUDY: Scanner(
        "Siemens Trio Tim 3T MPRAGE",
        3.0,
        partial(mprage, tr_ms=2100, te_ms=3.9, ti_ms=1100, flip_deg=12),
        bias=0.15,
        noise=0.03,
        axcodes="LAS",
        gain=350,
        shift=Shift(coil=-0.3, gamma=1.3),
    ),
    "study2": Scanner(
        "Siemens Skyra 3T MPRAGE",
        3.0,
        partial(mprage, tr_ms=2300, te_ms=2.0, ti_ms=900, flip_deg=9),
        bias=0.2,
        noise=0.03,
        axcodes="PSR",
        gain=430,
        shift=Shift(coil=0.5, gamma=0.7),
    ),
    "study3": Scanner(
        "Siemens Skyra 3T MPRAGE",
        3.0,
        partial(mprage, tr_ms=1800, te_ms=2.8, ti_ms=900, flip_deg=9),
        bias=0.3,
        noise=0.045,
        blur_mm=(1.3, 1.3, 1.3),
        axcodes="LAS",
        gain=500,
        shift=Shift(density_weight=0.5, coil=0.1, gamma=0.55),
    ),
    "study4": Scanner(
        "Siemens Skyra 3T MPRAGE",
        3.0,
        partial(mprage, tr_ms=2200, te_ms=2.5, ti_ms=1000, flip_deg=8),
        bias=0.1,
        noise=0.02,
        axcodes="LPS",
        gain=460,
        shift=Shift(density_weight=0.15, coil=1.2, gamma=0.9),
    ),
    "adni": Scanner(
        "Siemens Trio Tim 3T MPRAGE",
        3.0,
        partial(mprage, tr_ms=2300, te_ms=2.98, ti_ms=900, flip_deg=9),
        bias=0.25,
        noise=0.035,
        axcodes="LPS",
        gain=300,
        shift=Shift(density_weight=0.5, gamma=1.2),
    ),
    "hcp_ya": Scanner(
        "Siemens Connectome Skyra 3T MPRAGE",
        3.0,
        partial(mprage, tr_ms=2400, te_ms=2.14, ti_ms=1000, flip_deg=8),
        bias=0.15,
        noise=0.025,
        axcodes="LAS",
        storage="float32",
        gain=700,
        shift=Shift(coil=-1.0),
    ),
    "hcp_aging": Scanner(
        "Siemens Prisma 3T MPRAGE",
        3.0,
        partial(mprage, tr_ms=2500, te_ms=1.8, ti_ms=1000, flip_deg=8),
        bias=0.1,
        noise=0.02,
        axcodes="RAS",
        gain=650,
        shift=Shift(density_weight=0.1, coil=0.2, gamma=1.8),
    ),
}


def study_scanner(site: str, strength: float = 1.0) -> Scanner:
    """The scanner of a study; ``strength`` scales the shift on top of its protocol, 0 to 1."""
    scanner = {**AGE_STUDIES, **MS_STUDIES}[site]
    none, full = astuple(NO_SHIFT), astuple(scanner.shift)
    return replace(scanner, shift=Shift(*(a + strength * (b - a) for a, b in zip(none, full, strict=True))))
