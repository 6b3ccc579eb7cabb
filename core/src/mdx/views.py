"""What a method may cut cases into, and in which order: for ``run.loader(view=..., sampler=..., also=...)``."""

from mdx.data.batches.sampling import Column, Sampler
from mdx.data.batches.views import Piece, RandomPatches, RandomSlices, SlicePairs, Slices, View, Wholes

__all__ = ["Column", "Piece", "RandomPatches", "RandomSlices", "Sampler", "SlicePairs", "Slices", "View", "Wholes"]
