"""A network that the user brings (``--init-from``), as the package that knows its kind of network reads it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mdx.interfaces.dataset import Dataset, Sample

if TYPE_CHECKING:
    from mdx.data.config import DataConfig


class OwnNetwork(ABC):
    """What ``--init-from`` gave; a manifest names the class that reads it: ``own_network = "module:class"``."""

    @classmethod
    @abstractmethod
    def read(cls, path: Path, digest: str, data: Dataset, config: DataConfig) -> Self:
        """The network of a file or of a run's directory, compared with the data that it is for.

        Args:
            digest: hash of its content, part of the run's identity.

        Raises ConfigError naming everything in which the two differ, DataError for a file that is no network.
        """

    @classmethod
    @abstractmethod
    def kept(cls, directory: Path) -> Self | None:
        """The network that a run directory keeps; None for a run that made its own."""

    @abstractmethod
    def keep(self, directory: Path) -> None:
        """Copy what is needed into a run directory, so that the run does without the original; once."""

    @abstractmethod
    def require(self, sample: Sample) -> None:
        """Raise DataError where the network is not made for a sample, such as one of other voxels."""
