"""The reader of ``sim:`` addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdx_sim.cohort import cohort
from mdx_sim.options import parse

if TYPE_CHECKING:
    from mdx.data.config import DataConfig
    from mdx.interfaces.dataset import Dataset


def open_sim(query: str, config: DataConfig) -> Dataset:
    """The dataset of ``brain?sites=source,severe&subjects=12&size_mm=3&seed=0``, generated if it is not in the cache.

    Raises DataError for options that do not fit, ResourceError where the cohort cannot be written.
    """
    from mdx.data.open import open_table

    return open_table(cohort(parse(query)) / "cohort.csv", config)
