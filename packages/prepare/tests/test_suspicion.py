"""Which numbers of a prepared case are said to be unusual."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from mdx_prepare.suspicion import suspicions

USUAL: dict[str, Any] = {
    "registration": {
        "correlation_ratio": 0.57, "coverage": 1.0, "stretch": [0.89, 1.0],
        "contrasts": {"flair": {"degrees": 1.1, "mm": 0.5, "correlation_ratio": 0.73, "coverage": 1.0}},
    },
    "brain": {"ml": 1505.0, "dice_with_template": 0.96},
    "bias_field_range": {"t1": 1.3, "flair": 1.5},
}  # fmt: skip


def test_a_usual_case_is_not_suspicious() -> None:
    assert suspicions(USUAL) == []


def test_a_case_without_template_and_mask_is_not_suspicious() -> None:
    assert suspicions({"bias_field_range": {"t1": 1.3}}) == []


@pytest.mark.parametrize(
    ("where", "value", "sentence"),
    [
        (("registration", "correlation_ratio"), 0.14, "the template explains 0.14"),
        (("registration", "coverage"), 0.9, "10 % of the brain lies outside the field of view"),
        (("registration", "stretch"), [1.25, 1.4], "stretched by 1.25 to 1.40"),
        (
            ("registration", "contrasts", "flair", "coverage"),
            0.8,
            "20 % of the brain lies outside the field of view of",
        ),
        (("registration", "contrasts", "flair", "mm"), 60.0, "flair lies 60 mm"),
        (("registration", "contrasts", "flair", "correlation_ratio"), 0.02, "explains 0.02 of flair"),
        (("brain", "ml"), 2144.0, "the brain mask has 2144 ml"),
        (("brain", "dice_with_template"), 0.85, "a Dice of 0.85"),
        (("bias_field_range", "flair"), 6.0, "the bias field of flair spans a factor of 6.0"),
    ],
)
def test_an_unusual_number_is_said(where: tuple[str, ...], value: object, sentence: str) -> None:
    record = deepcopy(USUAL)
    place = record
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    (said,) = suspicions(record)
    assert sentence in said
