from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from mdx.data.config import DataConfig
from mdx.data.splits import assign_roles, assign_splits, split_hash, write_splits
from mdx.errors import DataError
from mdx.interfaces.dataset import Case

CONFIG = DataConfig()


def cases(n: int, sites: str = "AB", per_subject: int = 1) -> list[Case]:
    return [Case(f"{s}{i}v{v}", f"{s}{i}", s, {}) for s in sites for i in range(n) for v in range(per_subject)]


def test_no_subject_is_in_two_splits() -> None:
    found = assign_splits(cases(10, per_subject=3), CONFIG)
    assert all(len({c.split for c in found if c.subject == s}) == 1 for s in {c.subject for c in found})


def test_each_site_is_divided_by_the_fractions() -> None:
    found = assign_splits(cases(10), CONFIG)
    for site in "AB":
        splits = [c.split for c in found if c.site == site]
        assert (splits.count("train"), splits.count("val"), splits.count("test")) == (6, 2, 2)


@pytest.mark.parametrize(("n", "expected"), [(1, "train"), (2, "test train"), (3, "test train val")])
def test_a_small_site_fills_train_then_test_then_val(n: int, expected: str) -> None:
    assert " ".join(sorted(str(c.split) for c in assign_splits(cases(n, "A"), CONFIG))) == expected


def test_the_split_depends_on_the_seed_and_not_on_the_order_of_rows() -> None:
    given = cases(20)
    first = {c.id: c.split for c in assign_splits(given, CONFIG)}
    assert {c.id: c.split for c in assign_splits(given[::-1], CONFIG)} == first
    assert {c.id: c.split for c in assign_splits(given, DataConfig(split_seed=1))} != first


def test_a_travelling_subject_has_one_split_at_all_sites() -> None:
    given = [Case(f"{s}{i}", f"p{i}", s, {}) for s in "ABC" for i in range(10)]
    found = assign_splits(given, CONFIG)
    assert all(len({c.split for c in found if c.subject == f"p{i}"}) == 1 for i in range(10))


def test_given_splits_are_kept() -> None:
    given = [replace(c, split="val") for c in cases(3)]
    assert assign_splits(given, CONFIG) == given


def test_given_test_cases_are_kept_and_the_rest_is_divided() -> None:
    given = [replace(c, split="test") if c.subject.endswith("1") else c for c in cases(10, "A")]
    found = assign_splits(given, CONFIG)
    assert {c.id for c in found if c.split == "test"} == {c.id for c in given if c.split == "test"}
    assert [c.split for c in found].count("val") == 2


def test_given_val_cases_are_kept_and_the_rest_is_divided_into_train_and_test() -> None:
    given = [replace(c, split="val") if i % 5 == 0 else c for i, c in enumerate(cases(40, "A"))]
    found = assign_splits(given, CONFIG)
    assert {c.id for c in found if c.split == "val"} == {c.id for c in given if c.split == "val"}
    assert [c.split for c in found].count("test") == 8  # a fifth of all 40, not of the 32 that are divided


PAPER = DataConfig.model_validate(
    {"source": "A", "target": "B", "source_counts": {"val": 2, "test": 0}, "target_counts": {"val": 10, "test": 10}}
)


def test_numbers_of_subjects_in_place_of_fractions_hold_at_the_sites_of_a_role() -> None:
    """The split of Zakazov et al. 2022 on CC359: 58 + 2 of the source, 10 + 10 of the target."""
    found = assign_splits(cases(60), PAPER)
    counted = {site: Counter(c.split for c in found if c.site == site) for site in "AB"}
    assert counted == {"A": {"train": 58, "val": 2}, "B": {"train": 40, "val": 10, "test": 10}}


def test_a_number_leaves_the_other_splits_fraction_as_it_is() -> None:
    config = DataConfig.model_validate({"target": "B", "target_counts": {"test": 3}})
    found = assign_splits(cases(20), config)
    assert Counter(c.split for c in found if c.site == "B") == {"test": 3, "val": 4, "train": 13}
    assert Counter(c.split for c in found if c.site == "A") == {"test": 4, "val": 4, "train": 12}


def test_numbers_hold_for_roles_that_the_table_gives_too() -> None:
    given = [replace(c, role="source" if c.site == "A" else "target") for c in cases(30)]
    found = assign_splits(given, PAPER.model_copy(update={"source": (), "target": ()}))
    assert Counter(c.split for c in found if c.site == "B") == {"val": 10, "test": 10, "train": 10}


def test_a_site_with_fewer_subjects_than_the_numbers_ask_for_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"the site B has 20 subject\(s\), and 10 to test and 10 to validate"):
        assign_splits(cases(20), PAPER)


def test_a_table_divided_in_part_is_refused() -> None:
    given = [replace(c, split="train") if i else c for i, c in enumerate(cases(3))]
    with pytest.raises(DataError, match=r"1 case\(s\) have no split, such as A0v0"):
        assign_splits(given, CONFIG)


def test_source_and_target_are_named_and_other_sites_left_out() -> None:
    found = assign_roles(cases(1, "ABCD"), ["B"], ["A", "C"])
    assert {c.site: c.role for c in found} == {"B": "source", "A": "target", "C": "target"}


def test_naming_only_one_role_gives_the_others_the_other() -> None:
    assert {c.site: c.role for c in assign_roles(cases(1, "AB"), ["B"], [])} == {"B": "source", "A": "target"}
    assert {c.site: c.role for c in assign_roles(cases(1, "AB"), [], ["B"])} == {"A": "source", "B": "target"}


def test_without_any_role_all_is_source() -> None:
    assert {c.role for c in assign_roles(cases(1), [], [])} == {"source"}


def test_roles_of_the_table_are_kept() -> None:
    given = [replace(c, role="target" if c.site == "A" else "unlabelled") for c in cases(2)]
    assert assign_roles(given, [], []) == given


def test_the_reference_site_has_its_own_role() -> None:
    roles = {c.site: c.role for c in assign_roles(cases(1, "ABC"), ["A"], ["B"], "C")}
    assert roles == {"A": "source", "B": "target", "C": "reference"}


def test_an_unknown_site_names_the_nearest() -> None:
    given = [Case("1", "1", "siemens", {}), Case("2", "2", "ge", {})]
    with pytest.raises(DataError, match="did you mean 'siemens'"):
        assign_roles(given, ["simens"], [])


def test_a_site_whose_name_a_comma_has_cut_is_told_with_its_quotes() -> None:
    given = [Case("1", "1", "Koeln, Uni", {}), Case("2", "2", "Bonn", {})]
    with pytest.raises(DataError, match=r"no site 'Koeln'(.|\n)*a name with a comma stands in quotes: '.Koeln, Uni.'"):
        assign_roles(given, [], ["Koeln", "Uni"])


def test_a_site_cannot_be_source_and_target() -> None:
    with pytest.raises(DataError, match="both source and target"):
        assign_roles(cases(1), ["A"], ["A", "B"])


def test_the_hash_changes_with_a_split_and_not_with_the_order() -> None:
    found = assign_splits(cases(5), CONFIG)
    assert split_hash(found[::-1]) == split_hash(found)
    assert split_hash([replace(found[0], split="other"), *found[1:]]) != split_hash(found)


def test_splits_are_written_one_row_a_case(tmp_path: Path) -> None:
    write_splits([Case("a", "p", "A", {}, split="test", role="target")], tmp_path / "splits.csv")
    assert (tmp_path / "splits.csv").read_text() == "case,subject,site,split,role\na,p,A,test,target\n"
