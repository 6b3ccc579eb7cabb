"""How folds divide subjects, and what they refuse."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdx.data.config import DataConfig
from mdx.data.folds import assign_fold, folds_of, require_folds
from mdx.data.labels import LABELS
from mdx.data.open import open_table
from mdx.errors import DataError
from mdx.interfaces.dataset import Case

CLASSES = LABELS["classification"]


def cases_of(sizes: dict[str, int], visits: int = 1) -> list[Case]:
    """Subjects of some sites, every third of the class ``ill``, with equal visits."""
    return [
        Case(f"{site}{i}-{v}", f"{site}{i}", site, {}, columns={"class": "ill" if i % 3 == 0 else "well"})
        for site, n in sizes.items() for i in range(n) for v in range(visits)
    ]  # fmt: skip


def divided(cases: list[Case], folds: int, **more: int) -> list[list[Case]]:
    configs = [DataConfig.model_validate({"folds": folds, "fold": fold, **more}) for fold in range(folds)]
    return [assign_fold(cases, config, CLASSES, "class") for config in configs]


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.dictionaries(st.sampled_from("ABC"), st.integers(6, 14), min_size=1), folds=st.integers(2, 6),
    visits=st.integers(1, 2), seed=st.integers(0, 3),
)  # fmt: skip
def test_every_subject_is_tested_once_and_folds_have_equal_parts_of_sites_and_classes(
    sizes: dict[str, int], folds: int, visits: int, seed: int
) -> None:
    cases = cases_of(sizes, visits)
    found = divided(cases, folds, split_seed=seed)
    tested = Counter(case.id for part in found for case in part if case.split == "test")
    assert tested == Counter(case.id for case in cases)
    for part in found:
        split_of = {case.subject: case.split for case in part}
        assert all(split_of[case.subject] == case.split for case in part)
        assert {case.split for case in part} == {"train", "val", "test"}
    for of in (lambda c: c.site, lambda c: (c.site, c.columns["class"])):
        counts = [Counter(of(c) for c in part if c.split == "test") for part in found]
        assert all(max(c[key] for c in counts) - min(c[key] for c in counts) <= visits for key in {*map(of, cases)})


def test_another_seed_divides_anew_and_the_same_seed_does_not() -> None:
    cases = cases_of({"A": 12})
    tested = [
        [[c.id for c in part if c.split == "test"] for part in divided(cases, 3, split_seed=s)] for s in (0, 0, 1)
    ]
    assert tested[0] == tested[1] != tested[2]


def table(folder: Path, sizes: dict[str, int], split: str = "") -> Path:
    """A table whose only readable file is its first image."""
    from PIL import Image

    Image.new("L", (8, 8)).save(folder / "a.png")
    lines = [f"a.png,{c.subject},{c.site},{c.columns['class']},{split}" for c in cases_of(sizes)]
    (folder / "t.csv").write_text("\n".join(["image,subject,site,class,split", *lines]) + "\n")
    return folder / "t.csv"


FIVE = DataConfig.model_validate({"folds": 5, "fold": 0, "source": ("A",), "target": ("B",)})


def test_more_folds_than_subjects_of_a_target_site_are_refused_with_the_most_that_can_be(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"target site\(s\) B 3 have fewer\n  -> at most --folds 3"):
        open_table(table(tmp_path, {"A": 9, "B": 3}), FIVE, ("classification",))


def of_several_sites() -> list[Case]:
    """Of B there are six subjects, one more than folds, in two groups: three at A too, and three at B alone."""
    roles = {"A": "source", "B": "target", "C": "target"}
    groups = {"A": 8, "AB": 3, "AC": 6, "B": 3}
    return [
        Case(f"{group}{i}-{site}", f"{group}{i}", site, {}, role=roles[site], columns={"class": "ill"})
        for group, n in groups.items() for i in range(n) for site in group
    ]  # fmt: skip


def test_a_fold_that_tests_no_subject_of_a_target_site_is_refused_though_the_site_has_enough() -> None:
    cases, label = of_several_sites(), (CLASSES, "class")
    fold_of = folds_of(cases, FIVE, *label)
    with pytest.raises(DataError, match=r"fold 1 would test no subject .* of the target site B\n  -> give fewer"):
        require_folds(cases, fold_of, FIVE, *label)
    turned = [replace(case, role="target" if case.site == "A" else "source") for case in cases]
    assert require_folds(turned, fold_of, FIVE, *label) == [
        "the source site B has 6 subject(s): 1 of 5 folds test none"
    ]


def test_a_table_that_says_who_is_tested_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"says itself who is tested .*\n  -> give a table without the column"):
        open_table(table(tmp_path, {"A": 9, "B": 9}, split="train"), FIVE, ("classification",))


def test_a_fold_is_said_with_their_number() -> None:
    for wrong in ({"folds": 5}, {"fold": 1}, {"folds": 5, "fold": 5}):
        with pytest.raises(ValueError, match="fold"):
            DataConfig.model_validate(wrong)
