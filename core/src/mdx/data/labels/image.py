"""An image, or no truth at all."""

from __future__ import annotations

from typing import ClassVar

from mdx.data.labels.base import Label
from mdx.interfaces.dataset import TaskKind


class Image(Label):
    """Harmonisation: no column holds the truth."""

    kind: ClassVar[TaskKind] = "harmonisation"
