"""What a command is at, as values and in words."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class Now:
    """What a command is at.

    Attributes:
        method: the variant; ``index`` of ``methods``, from 1. Empty and 0 before the first.
        phase: in words; the name of a stage while one is trained.
        epoch, epochs: the one that goes on, from 1, of how many; None outside training.
        done, total, unit: steps of the epoch or of the phase, and what they are; ``total`` is None where unknown.
        loss: the first loss that the method logs, its mean over the epoch so far.
        left_s: seconds that are left; of the ``whole`` run, or of the phase.
    """

    method: str = ""
    index: int = 0
    methods: int = 0
    phase: str = ""
    epoch: int | None = None
    epochs: int | None = None
    done: int | None = None
    total: int | None = None
    unit: str = ""
    loss: float | None = None
    left_s: float | None = None
    whole: bool = False

    def plain(self) -> dict[str, Any]:
        """As ``progress.json`` holds it."""
        return asdict(self)

    @property
    def parts(self) -> list[str]:
        """Where it is, without the method and the time that is left."""
        made = [f"epoch {self.epoch}/{self.epochs}"] if self.epoch is not None else []
        if self.done is not None:
            count = f"{self.done}/{self.total}" if self.total is not None else f"{self.done}"
            made.append(f"{self.unit} {count}".strip())
        return [*made, f"loss {self.loss:.3g}"] if self.loss is not None else made

    @property
    def of_methods(self) -> str:
        """``mst (2 of 6)``."""
        return f"{self.method} ({self.index} of {self.methods})" if self.methods > 1 else self.method

    @property
    def left(self) -> str:
        """``about 2:10 left``; empty where it cannot be estimated."""
        if self.left_s is None or self.left_s < 1:
            return ""
        return f"about {clock(self.left_s)} left{'' if self.whole else f' of {self.phase}'}"

    def line(self) -> str:
        """All of it: ``mst (2 of 6), source: epoch 3/12, batch 14/50, loss 0.31, about 2:10 left``."""
        head = ", ".join(filter(None, [self.of_methods, self.phase]))
        more = ", ".join(filter(None, [*self.parts, self.left]))
        return f"{head}: {more}" if more else head


def clock(seconds: float) -> str:
    """``2:10``, or ``1:02:10``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
