"""How far a site is from the first one: contrast, smooth gain and intensity curve, by one number.

The shifts are of the kind that replacing low-frequency amplitudes can plausibly mend: smooth in space or a change of
contrast. A site that only has more noise is not helped by it, and there is none here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass

import numpy as np


@dataclass(frozen=True)
class Shift:
    """A change of appearance on top of a scanner's own.

    Attributes:
        density_weight: 0 keeps the protocol's contrast, 1 gives proton-density contrast (spin echo, TR 2500, TE 15 ms),
            where grey matter and fluid are brighter than white matter; between them, tissue signals go over
            geometrically.
        bias: added to the amplitude of the scanner's smooth bias field.
        coil: how much the gain rises from the centre of the head to its surface, as exponent: a receive array without
            uniformity correction.
        gamma: exponent of the intensities.
    """

    density_weight: float = 0.0
    bias: float = 0.0
    coil: float = 0.0
    gamma: float = 1.0


NO_SHIFT = Shift()
SEVERITIES: Mapping[str, float] = {"subtle": 1 / 3, "medium": 2 / 3, "severe": 1.0}
_KNOTS = (
    (0.0, NO_SHIFT),
    (1 / 3, Shift(density_weight=0.25, bias=0.1, coil=0.05)),
    (2 / 3, Shift(density_weight=0.5, bias=0.15, coil=0.1)),
    (1.0, Shift(density_weight=0.85, bias=0.25, coil=0.2)),
)


def shift_of(severity: float) -> Shift:
    """The shift of a severity from 0 (none) to 1 (severe), interpolated between the named ones."""
    at = [knot for knot, _ in _KNOTS]
    columns = zip(*(astuple(shift) for _, shift in _KNOTS), strict=True)
    return Shift(*(float(np.interp(severity, at, column)) for column in columns))
