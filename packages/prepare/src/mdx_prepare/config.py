"""What is to be done to each scan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mdx.errors import UsageError, nearest

STEPS = ("n4", "register", "mask", "intensity")
REGISTRATIONS = ("none", "rigid", "affine")
INTENSITIES = ("percentiles", "wm-peak", "none")
OWN_SPACING = "own"


@dataclass(frozen=True)
class PrepareConfig:
    """The settings of a preparation. Raises UsageError that names everything that cannot be.

    Attributes:
        steps: which of ``STEPS`` are carried out; always in that order.
        register: how scans are moved onto the template's grid; ``none`` leaves them where they are.
        spacing_mm: edge of the isotropic voxels that are written; None keeps a scan's own (only without registration).
        mask: ``simple``, ``none``, or the column of the table that names given brain masks.
        intensity: ``percentiles`` (clip, then 0 to 1), ``wm-peak`` (the peak of white matter becomes 1) or ``none``.
        template: a skull-stripped T1 that takes the place of ICBM152.
        lower, upper: the percentiles within the mask.
    """

    steps: tuple[str, ...] = STEPS
    register: str = "affine"
    spacing_mm: float | None = 1.0
    mask: str = "simple"
    intensity: str = "percentiles"
    template: Path | None = None
    lower: float = 1.0
    upper: float = 99.0

    def __post_init__(self) -> None:
        problems = [f"there is no step '{s}': {nearest(s, STEPS)}" for s in self.steps if s not in STEPS]
        if self.register not in REGISTRATIONS:
            problems.append(f"there is no registration '{self.register}': {nearest(self.register, REGISTRATIONS)}")
        if self.intensity not in INTENSITIES:
            problems.append(f"there is no intensity '{self.intensity}': {nearest(self.intensity, INTENSITIES)}")
        if self.spacing_mm is not None and not 0.3 <= self.spacing_mm <= 10:
            problems.append(f"a spacing of {self.spacing_mm:g} mm is not between 0.3 and 10 mm")
        if self.spacing_mm is None and self.moves:
            problems.append(f"registered scans need a spacing in mm, not '{OWN_SPACING}'")
        if not 0 <= self.lower < self.upper <= 100:
            problems.append(f"the percentiles {self.lower:g} and {self.upper:g} are not in order within 0 to 100")
        if not self.steps:
            problems.append("there is no step to carry out")
        if problems:
            raise UsageError("; ".join(problems), "see 'mdx data prepare --help'")

    @property
    def corrects(self) -> bool:
        """Whether the bias field is divided out."""
        return "n4" in self.steps

    @property
    def moves(self) -> bool:
        """Whether scans are brought onto the template's grid."""
        return "register" in self.steps and self.register != "none"

    @property
    def strips(self) -> bool:
        """Whether what lies outside the brain is set to 0."""
        return "mask" in self.steps and self.mask != "none"

    @property
    def mask_column(self) -> str | None:
        """The column of given brain masks."""
        return self.mask if self.strips and self.mask != "simple" else None

    @property
    def scaling(self) -> str:
        """The intensities that are written."""
        return self.intensity if "intensity" in self.steps else "none"

    @property
    def needs_template(self) -> bool:
        """Whether a registration to the template has to be estimated, even where the scan is not moved."""
        return self.moves or (self.strips and self.mask == "simple") or self.scaling == "wm-peak"
