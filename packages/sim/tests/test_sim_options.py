from __future__ import annotations

import pytest

from mdx.errors import DataError
from mdx_sim.options import parse


def test_all_options_have_defaults() -> None:
    options = parse("brain")
    assert options.sites == ("source", "subtle", "medium", "severe")
    assert options.registered


def test_options_are_read_from_the_address() -> None:
    options = parse("brain?sites=A,severe&subjects=3&size_mm=4&labels=tissue&registered=false&seed=7")
    assert (options.sites, options.subjects, options.size_mm) == (("A", "severe"), 3, 4.0)
    assert (options.labels, options.registered, options.seed) == ("tissue", False, 7)


def test_a_number_of_sites_means_as_many_scanners() -> None:
    assert parse("brain?sites=4").sites == ("A", "B", "C", "D")


@pytest.mark.parametrize(("word", "value"), [("none", 0.0), ("medium", 2 / 3), ("severe", 1.0), ("0.4", 0.4)])
def test_severity_is_a_word_or_a_number(word: str, value: float) -> None:
    assert parse(f"brain?sites=A,B&shift={word}").shift == pytest.approx(value)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("brian", "did you mean 'brain'"),
        ("brain?subject=3", "did you mean 'subjects'"),
        ("brain?sites=source,sever", "did you mean 'severe'"),
        ("brain?sites=A,A", "named twice"),
        ("brain?sites=9", "number from 1 to 6"),
        ("brain?sites=", "sites"),
        ("brain?subjects=0", "greater than or equal to 1"),
        ("brain?subjects=many", "subjects=many"),
        ("brain?size_mm=0.1", "size_mm=0.1"),
        ("brain?shift=harsh", "shift=harsh"),
        ("brain?labels=lesions", "labels=lesions"),
        ("brain?seed=1&seed=2", "given twice"),
        ("brain?seed", "name=value"),
        ("brain?size_mm=nan", "size_mm=nan"),
    ],
)
def test_a_wrong_address_is_one_data_error(query: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        parse(query)
    assert error.value.remedy
    assert f"sim:{query}" in str(error.value)


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(DataError) as error:
        parse("brain?sites=zzz&subjects=0&colour=red")
    assert all(word in str(error.value) for word in ("zzz", "subjects", "colour"))
