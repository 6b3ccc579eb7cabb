"""What a reader of a layout of folders is made of (``[provides.layouts]`` of a manifest)."""

from mdx.data.cells import read_rows
from mdx.data.files.formats import stem, suffix_of
from mdx.data.layouts.layout import InitResult, Layout
from mdx.files import walk

__all__ = ["InitResult", "Layout", "read_rows", "stem", "suffix_of", "walk"]
