"""What in the numbers of a case should make a person look at its picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CORRELATION_RATIO = 0.35
"""Measured on five T1s of four scanners: 0.50 to 0.59 where they lie well; 10 degrees or 10 mm off, 0.06 to 0.32; 5 mm
off, up to 0.39, so a small error is not always caught. A FLAIR that lay well had 0.46, two T2s only 0.13 and 0.19."""
COVERAGE = 0.95
STRETCH = (0.72, 1.12)
BRAIN_ML = (1000.0, 1900.0)
"""Adults, with the fluid between and inside: the usual 1100 to 1800 ml, and the method's own error."""
DICE = 0.9
FIELD_RANGE = 4.0
CONTRAST_DEGREES, CONTRAST_MM, CONTRAST_RATIO = 15.0, 30.0, 0.1


def suspicions(record: Mapping[str, Any]) -> list[str]:
    """A sentence for each number that is not as in a scan that went well; the worst kind first."""
    found = []
    registration, brain = record.get("registration"), record.get("brain")
    if registration:
        ratio, coverage, (low, high) = (registration[k] for k in ("correlation_ratio", "coverage", "stretch"))
        if ratio < CORRELATION_RATIO:
            found.append(
                f"the template explains {ratio:.2f} of the brightness in the brain, less than {CORRELATION_RATIO:g}: "
                "the registration may have failed, or this is no T1"
            )
        if low < STRETCH[0] or high > STRETCH[1]:
            found.append(f"the template is stretched by {low:.2f} to {high:.2f}: no usual head")
        if coverage < COVERAGE:
            found.append(f"{100 * (1 - coverage):.0f} % of the brain lies outside the field of view")
        for name, moved in registration["contrasts"].items():
            if moved["degrees"] > CONTRAST_DEGREES or moved["mm"] > CONTRAST_MM:
                found.append(
                    f"{name} lies {moved['mm']:.0f} mm and {moved['degrees']:.0f} degrees away from the first contrast"
                )
            if moved["coverage"] < COVERAGE:
                found.append(
                    f"{100 * (1 - moved['coverage']):.0f} % of the brain lies outside the field of view of {name}"
                )
            if moved["correlation_ratio"] < CONTRAST_RATIO:
                found.append(
                    f"the first contrast explains {moved['correlation_ratio']:.2f} of {name}, less than "
                    f"{CONTRAST_RATIO:g}: they may not match"
                )
    if brain:
        if not BRAIN_ML[0] <= brain["ml"] <= BRAIN_ML[1]:
            found.append(f"the brain mask has {brain['ml']:.0f} ml (adults: {BRAIN_ML[0]:g} to {BRAIN_ML[1]:g})")
        if brain.get("dice_with_template", 1.0) < DICE:
            found.append(
                f"the mask and the template's brain overlap by a Dice of {brain['dice_with_template']:.2f}, less than "
                f"{DICE:g}"
            )
    for name, reach in record.get("bias_field_range", {}).items():
        if reach > FIELD_RANGE:
            found.append(
                f"the bias field of {name} spans a factor of {reach:.1f}: a strong field, or a fit gone astray"
            )
    return found
