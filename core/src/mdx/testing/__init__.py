"""What tests of plugins need: small cohorts of every kind of truth, the smallest run of a method, pairs of processes.

>>> from mdx.testing import Trial, methods, small_cohort

A method is trained in seconds with its preset ``smoke``, where its manifest has one; ``tests/test_life_cycle.py`` of
mdx asks the same of every method that is installed, and any test of your own may ask more.
"""

from __future__ import annotations

from mdx.testing.cohorts import label_column, small_cohort, with_nan, with_other_labels
from mdx.testing.processes import (
    Watch,
    assert_one_training,
    in_two_processes,
    leave,
    place_of,
    run_and_be_killed,
    run_as_one_of_two,
    two_processes,
)
from mdx.testing.trials import Trial, methods

__all__ = [
    "Trial",
    "Watch",
    "assert_one_training",
    "in_two_processes",
    "label_column",
    "leave",
    "methods",
    "place_of",
    "run_and_be_killed",
    "run_as_one_of_two",
    "small_cohort",
    "two_processes",
    "with_nan",
    "with_other_labels",
]
