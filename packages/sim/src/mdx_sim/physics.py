"""Signals of tissues under common MR sequences. Times are in milliseconds, angles in degrees.

T1, T2 and proton density follow BrainWeb and Stanisz et al. 2005 (brain, muscle) and de Bazelaire et al. 2004 (fat);
the ranges of T1 also Wright et al. 2008 and Rooney et al. 2007. T2* is taken as 0.65 T2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

T2_STAR_PER_T2 = 0.65


@dataclass(frozen=True)
class Tissue:
    """Relaxation times in ms and proton density relative to water."""

    t1_ms: float
    t2_ms: float
    density: float


TISSUES: Mapping[float, Mapping[str, Tissue]] = {
    1.5: {
        "wm": Tissue(650, 75, 0.70),
        "gm": Tissue(1190, 95, 0.82),
        "csf": Tissue(4000, 1800, 1.0),
        "lesion": Tissue(1100, 180, 0.85),
        "bone": Tissue(900, 12, 0.10),
        "fat": Tissue(343, 58, 0.90),
        "muscle": Tissue(1008, 44, 0.80),
    },
    3.0: {
        "wm": Tissue(900, 70, 0.70),
        "gm": Tissue(1450, 90, 0.82),
        "csf": Tissue(4100, 1800, 1.0),
        "lesion": Tissue(1350, 160, 0.85),
        "bone": Tissue(1100, 10, 0.10),
        "fat": Tissue(382, 68, 0.90),
        "muscle": Tissue(1412, 50, 0.80),
    },
}
"""Constants by field strength in tesla. At 3 T, grey and white matter have T1 at which MPRAGE shows the grey/white
ratio seen in practice (0.65 to 0.70); with 1600 and 840 ms from the literature the same equation gives 0.41 to 0.55."""

T1_SPREAD: Mapping[float, Mapping[str, tuple[float, float]]] = {
    1.5: {"wm": (600, 750), "gm": (1100, 1197)},
    3.0: {"wm": (860, 940), "gm": (1400, 1500)},
}
"""Ranges of T1 from which a site's own value is drawn: the part of the literature's spread (1.5 T: 500-884 and
833-1197 ms; 3 T: 832-1084 and 1600-1820 ms) that keeps every T1 protocol's grey/white ratio realistic."""


def site_tissues(field_tesla: float, rng: np.random.Generator) -> dict[str, Tissue]:
    """The tissues as one site sees them: T1 of white and grey matter drawn from ``T1_SPREAD``."""
    tissues = dict(TISSUES[field_tesla])
    for name, (low, high) in T1_SPREAD[field_tesla].items():
        tissues[name] = replace(tissues[name], t1_ms=float(rng.uniform(low, high)))
    return tissues


def spoiled_gradient_echo(tissue: Tissue, tr_ms: float, te_ms: float, flip_deg: float) -> float:
    """Steady state of a spoiled gradient echo (Ernst): PD sin(a) (1 - E1) / (1 - cos(a) E1) exp(-TE/T2*)."""
    flip = np.deg2rad(flip_deg)
    e1 = np.exp(-tr_ms / tissue.t1_ms)
    decay = np.exp(-te_ms / (T2_STAR_PER_T2 * tissue.t2_ms))
    return float(tissue.density * np.sin(flip) * (1 - e1) / (1 - np.cos(flip) * e1) * decay)


def mprage(
    tissue: Tissue,
    tr_ms: float,
    te_ms: float,
    ti_ms: float,
    flip_deg: float,
    echo_spacing_ms: float = 7.1,
    echoes: int = 176,
    inversion: float = 0.9,
) -> float:
    """Inversion recovery with a train of ``echoes`` read-outs, the centre of k-space at ``ti_ms``.

    The textbook inversion formula leaves the train out and exaggerates grey/white contrast. Here the longitudinal
    magnetisation relaxes towards the steady state of the train while it is read. Raises ValueError if the train does
    not fit into ``tr_ms`` around ``ti_ms``.
    """
    train_ms = echoes * echo_spacing_ms
    before_ms = ti_ms - train_ms / 2
    after_ms = tr_ms - before_ms - train_ms
    if before_ms < 0 or after_ms < 0:
        raise ValueError(f"a train of {train_ms:.0f} ms does not fit around TI {ti_ms:.0f} in TR {tr_ms:.0f} ms")
    flip = np.deg2rad(flip_deg)
    e_before, e_after, e_echo = np.exp(-np.array([before_ms, after_ms, echo_spacing_ms]) / tissue.t1_ms)
    k = e_echo * np.cos(flip)
    train_limit = (1 - e_echo) / (1 - k)
    k_train = k**echoes
    steady = ((1 - e_after) + e_after * (train_limit * (1 - k_train) + (1 - e_before) * k_train)) / (
        1 + inversion * e_before * k_train * e_after
    )
    at_train_start = 1 - e_before - inversion * steady * e_before
    at_centre = train_limit + (at_train_start - train_limit) * k ** (echoes / 2)
    decay = np.exp(-te_ms / (T2_STAR_PER_T2 * tissue.t2_ms))
    return float(tissue.density * np.sin(flip) * abs(at_centre) * decay)


def spin_echo(tissue: Tissue, tr_ms: float, te_ms: float) -> float:
    """Spin echo: PD (1 - exp(-TR/T1)) exp(-TE/T2)."""
    return float(tissue.density * (1 - np.exp(-tr_ms / tissue.t1_ms)) * np.exp(-te_ms / tissue.t2_ms))


def flair(tissue: Tissue, tr_ms: float, te_ms: float, ti_ms: float) -> float:
    """Inversion recovery spin echo: PD |1 - 2 exp(-TI/T1) + exp(-TR/T1)| exp(-TE/T2)."""
    recovery = 1 - 2 * np.exp(-ti_ms / tissue.t1_ms) + np.exp(-tr_ms / tissue.t1_ms)
    return float(tissue.density * abs(recovery) * np.exp(-te_ms / tissue.t2_ms))
