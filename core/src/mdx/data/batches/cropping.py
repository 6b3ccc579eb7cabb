"""What ``data.size`` with ``data.fit=crop`` cuts away of the images and masks of a cohort."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest

import numpy as np

from mdx.data.batches.loading import TableLoader
from mdx.data.config import DataConfig
from mdx.data.files.geometry import bring_to_size
from mdx.data.problems import Problem
from mdx.errors import MdxError
from mdx.interfaces.dataset import Case, Dataset, Sample

LOOKED_AT = 30
"""Cases of all sites in turn; reading every volume once more would take as long as the check itself."""
NOTHING = 0.005


def crop_warnings(data: Dataset, config: DataConfig) -> Iterator[Problem]:
    """One warning for the images and one for the masks that lose most, where any loses more than 1 in 200 voxels.

    Foreground is what is brighter than the mean of its image. Cases that cannot be read are the check's to name.
    """
    if config.size is None or config.fit != "crop":
        return
    whole = TableLoader(config.model_copy(update={"size": None, "every_slice": 1, "cache": False}), data.task)
    cases = _in_turn(data.cases)[:LOOKED_AT]
    image: dict[str, float] = {}
    mask: dict[str, float] = {}
    for case in cases:
        try:
            sample = whole(case, data.task.label == "mask")
            bright = sample.image.numpy().mean(axis=0, keepdims=True)
            image[case.id] = _lost(bright > bright.mean(), sample, config.size)
            if "mask" in sample.labels:
                mask[case.id] = _lost(sample.mask.numpy().max(axis=0, keepdims=True) > 0, sample, config.size)
        except MdxError:  # a plugin's reader too
            continue
    size = " x ".join(map(str, config.size))
    for lost, what in ((image, "of what is brighter than the image's mean"), (mask, "of what is labelled")):
        cut = [share for share in lost.values() if share > NOTHING]
        if cut:
            worst = max(lost, key=lambda name: lost[name])
            yield Problem(
                worst,
                f"the crop to {size} cuts away {lost[worst]:.0%} {what}; {len(cut)} of the {len(lost)} cases looked at "
                f"lose more than {NOTHING:.1%}",
                "raise data.size, or --set data.fit=resize",
            )


def _lost(inside: np.ndarray, sample: Sample, size: tuple[int, ...]) -> float:
    """The share of the true values of (1, *spatial) that a crop does not keep."""
    kept, _ = bring_to_size(inside.astype(np.float32), sample.geometry, size, "crop")
    return 1 - float(kept.sum()) / max(int(inside.sum()), 1) if inside.any() else 0.0


def _in_turn(cases: Sequence[Case]) -> list[Case]:
    """The first case of every site, then the second of every site, and so on."""
    sites: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        sites[case.site].append(case)
    return [case for case in chain.from_iterable(zip_longest(*sites.values())) if case is not None]
