"""Predictions that are looked at again after all cases are scored, kept in little memory."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np

from mdx.evaluation.segmentation import hard_masks
from mdx.interfaces.adapter import Prediction


def without_images(prediction: Prediction) -> Prediction:
    """The prediction less everything that is as large as the scan."""
    return replace(prediction, segmentation=None, image=None, shown={})


class KeptPrediction:
    """A prediction whose probabilities are kept as the masks that they make: some kilobytes a scan.

    Attributes:
        whole: whether nothing else was left out; a predicted image is.
    """

    def __init__(self, prediction: Prediction) -> None:
        self._light = without_images(prediction)
        self.whole = prediction.image is None
        self._masks: tuple[tuple[int, ...], bytes] | None = None
        if prediction.segmentation is not None:
            masks = hard_masks(prediction.segmentation)
            self._masks = masks.shape, zlib.compress(np.packbits(masks).tobytes(), 1)

    def restored(self) -> Prediction:
        """The prediction, with a probability of 1 where a mask is and 0 elsewhere."""
        if self._masks is None:
            return self._light
        shape, packed = self._masks
        bits = np.frombuffer(zlib.decompress(packed), dtype=np.uint8)
        masks = np.unpackbits(bits, count=int(np.prod(shape))).reshape(shape)
        return replace(self._light, segmentation=masks.astype(np.float32))
