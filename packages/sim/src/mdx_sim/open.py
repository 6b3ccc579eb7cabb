"""The reader of ``sim:`` addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdx_sim.cohort import cohort
from mdx_sim.options import parse
from mdx_sim.travelling import CONTRASTS

if TYPE_CHECKING:
    from mdx.data.config import DataConfig
    from mdx.interfaces.dataset import Dataset


def open_sim(query: str, config: DataConfig) -> Dataset:
    """The dataset of ``brain?sites=source,severe&subjects=12&size_mm=3&seed=0``, generated if it is not in the cache.

    Travelling subjects are opened with both contrasts unless ``config`` names the columns of images itself. Raises
    DataError for options that do not fit, ResourceError where the cohort cannot be written.
    """
    from mdx.data.open import open_table

    options = parse(query)
    if options.design == "travelling" and "image" not in config.model_fields_set:
        config = config.model_copy(update={"image": CONTRASTS})
    return open_table(cohort(options) / "cohort.csv", config)
