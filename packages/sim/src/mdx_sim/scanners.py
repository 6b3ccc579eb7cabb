"""Scanners: protocols after public ABIDE ones, each with its own faults and its own way of writing files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

from mdx_sim.physics import Tissue, flair, mprage, spin_echo, spoiled_gradient_echo
from mdx_sim.shifts import NO_SHIFT, SEVERITIES, Shift, shift_of

Signal = Callable[[Tissue], float]
SPIN_ECHO_T2: Signal = partial(spin_echo, tr_ms=4000, te_ms=100)


@dataclass(frozen=True)
class Scanner:
    """What a scanner does to a head.

    Attributes:
        field_tesla: 1.5 or 3.0.
        signal: the protocol, as the signal of a tissue.
        bias: amplitude a of the smooth bias field exp(a n(x)) with n between -1 and 1.
        noise: standard deviation of the complex noise as a part of the white-matter signal (Rician magnitude).
        blur_mm: full width at half maximum of the point spread, along each axis of the grid.
        distortion_mm: largest displacement left by gradient non-linearity.
        axcodes: orientation of the stored array.
        oblique_deg: turn of the stored grid against the scanner's axes; unregistered scans only.
        storage: how intensities are stored; ``int16`` with a slope of ``slope``.
        gain: stored intensity of white matter (before a slope).
        t2_signal: the site's T2 protocol, where a second contrast is asked for.
        shift: what else sets the site apart (see ``mdx_sim.shifts``).
    """

    title: str
    field_tesla: float
    signal: Signal
    bias: float = 0.15
    noise: float = 0.03
    blur_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    distortion_mm: float = 0.5
    axcodes: str = "RAS"
    oblique_deg: float = 0.0
    storage: Literal["uint8", "int16", "float32"] = "int16"
    slope: float = 1.0
    gain: float = 600.0
    t2_signal: Signal = SPIN_ECHO_T2
    shift: Shift = field(default=NO_SHIFT)


SIEMENS_3T = Scanner(
    "Siemens 3T MPRAGE",
    3.0,
    partial(mprage, tr_ms=2300, te_ms=3.6, ti_ms=900, flip_deg=10),
    axcodes="LAS",
    gain=350,
)
PRESETS: Mapping[str, Scanner] = {
    "siemens-3t-mprage": SIEMENS_3T,
    "siemens-3t-allegra": Scanner(
        "Siemens 3T Allegra MPRAGE",
        3.0,
        partial(mprage, tr_ms=2530, te_ms=3.25, ti_ms=1100, flip_deg=7),
        bias=0.3,
        noise=0.03,
        blur_mm=(1.0, 1.0, 1.3),
        axcodes="PSR",
        gain=300,
        t2_signal=partial(spin_echo, tr_ms=6000, te_ms=95),
    ),
    # the echo train and the pause between trains are not given in the protocol: a common setting
    "philips-3t-tfe": Scanner(
        "Philips 3T TFE",
        3.0,
        partial(mprage, tr_ms=2500, te_ms=4.6, ti_ms=885, flip_deg=8, echo_spacing_ms=9.6, echoes=150),
        bias=0.2,
        noise=0.025,
        blur_mm=(1.0, 1.0, 1.2),
        axcodes="LAS",
        oblique_deg=6,
        slope=2.17,
        gain=420,
        t2_signal=partial(spin_echo, tr_ms=3000, te_ms=80),
    ),
    "ge-3t-spgr": Scanner(
        "GE 3T fast SPGR",
        3.0,
        partial(spoiled_gradient_echo, tr_ms=8.4, te_ms=1.8, flip_deg=15),
        bias=0.4,
        noise=0.03,
        blur_mm=(1.0, 1.0, 1.2),
        axcodes="LPS",
        gain=2600,
        t2_signal=partial(spin_echo, tr_ms=5000, te_ms=120),
    ),
    "ge-1.5t-spgr": Scanner(
        "GE 1.5T SPGR",
        1.5,
        partial(spoiled_gradient_echo, tr_ms=20, te_ms=4.5, flip_deg=25),
        bias=0.25,
        noise=0.045,
        blur_mm=(1.2, 1.2, 1.5),
        distortion_mm=0.8,
        axcodes="LAS",
        oblique_deg=-9,
        storage="uint8",
        gain=110,
        t2_signal=partial(spin_echo, tr_ms=4500, te_ms=105),
    ),
    # not among the published protocols: a T1 protocol with the grey/white contrast of its peers
    "philips-1.5t-spgr": Scanner(
        "Philips 1.5T SPGR",
        1.5,
        partial(spoiled_gradient_echo, tr_ms=15, te_ms=4.0, flip_deg=20),
        bias=0.2,
        noise=0.05,
        blur_mm=(1.2, 1.2, 1.5),
        storage="float32",
        gain=1.3,
        t2_signal=partial(spin_echo, tr_ms=3500, te_ms=90),
    ),
}
LETTERS = dict(zip("ABCDEF", PRESETS, strict=True))
SEQUENCES: Mapping[str, Scanner] = {
    "t2": replace(SIEMENS_3T, title="Siemens 3T T2 spin echo", signal=SIEMENS_3T.t2_signal),
    "flair": replace(SIEMENS_3T, title="Siemens 3T FLAIR", signal=partial(flair, tr_ms=9000, te_ms=100, ti_ms=2400)),
}
SITES = ("source", *SEVERITIES, *LETTERS, *PRESETS, *SEQUENCES)
"""Every name of a site that a cohort can be asked for."""
T1_SITES = tuple(site for site in SITES if site not in SEQUENCES)


def scanner_of(site: str, severity: float = 0.0) -> Scanner:
    """The scanner at a site; ``severity`` (0 to 1) adds a shift to a site that has none of its own."""
    if site in SEVERITIES:
        return replace(SIEMENS_3T, shift=shift_of(SEVERITIES[site]))
    if site == "source":
        scanner = SIEMENS_3T
    elif site in SEQUENCES:
        scanner = SEQUENCES[site]
    else:
        scanner = PRESETS[LETTERS.get(site, site)]
    return replace(scanner, shift=shift_of(severity))
