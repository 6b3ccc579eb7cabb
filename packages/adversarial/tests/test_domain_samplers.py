"""What each batch of a sampler holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from mdx.data.batches.sampling import make_loader
from mdx.errors import DataError, HiddenLabelError
from mdx.interfaces.dataset import Dataset
from mdx.training.run import Run
from mdx_adversarial.domains import Domains
from mdx_adversarial.samplers import AllDomains, CellBalanced, Composed, OnePerClass


def batches(positions: Iterator[int], size: int) -> list[list[int]]:
    drawn = list(positions)
    return [drawn[i : i + size] for i in range(0, len(drawn), size)]


@pytest.mark.parametrize("epoch", ["largest", "smallest"])
def test_a_thousand_batches_hold_every_domain_and_sixteen_cases(three_sites: Dataset, epoch: str) -> None:
    sampler = AllDomains(Domains(three_sites), 16, batches=1000, epoch=epoch)  # type: ignore[arg-type]
    counts = sampler.compositions(three_sites, np.random.default_rng(0))
    assert counts.shape == (1000, 3)
    assert (counts.sum(axis=1) == 16).all()
    assert counts.min() >= 1
    drawn = batches(sampler(three_sites, np.random.default_rng(0)), 16)
    assert len(drawn) == 1000
    for batch in drawn:
        assert {three_sites.cases[i].site for i in batch} == {"A", "B", "C"}


def test_compositions_vary_over_their_whole_range(three_sites: Dataset) -> None:
    sampler = AllDomains(Domains(three_sites), 16, batches=1000)
    counts = sampler.compositions(three_sites, np.random.default_rng(0))
    assert counts.max() == 14
    assert np.abs(counts.mean(axis=0) - 16 / 3).max() < 0.5


def test_an_epoch_shows_every_case_of_the_largest_domain_and_repeats_the_small_ones(three_sites: Dataset) -> None:
    for seed in range(20):
        drawn = Counter(AllDomains(Domains(three_sites), 16)(three_sites, np.random.default_rng(seed)))
        assert set(range(60)) <= set(drawn)
        assert max(drawn[i] for i in range(75, 81)) > 1


def test_the_number_of_batches_does_not_depend_on_the_draw(three_sites: Dataset) -> None:
    lengths = {
        len(list(AllDomains(Domains(three_sites), 16)(three_sites, np.random.default_rng(s)))) for s in range(10)
    }
    assert lengths == {16 * 12}, "60 cases, 16 / 3 a batch on average"


def test_the_authors_epoch_ends_with_the_smallest_domain(three_sites: Dataset) -> None:
    """Its loaders hold as many cases as a batch, of which each step uses some: 6 cases last 2 steps of 4, not 5."""
    for size, batches in ((16, 1), (4, 2)):
        sampler = AllDomains(Domains(three_sites), size, epoch="smallest")
        assert len(list(sampler(three_sites, np.random.default_rng(0)))) == size * batches


def test_two_loaders_of_one_composition_hold_the_same_domains(three_sites: Dataset, run_of: Callable[..., Run]) -> None:
    domains, run = Domains(three_sites), run_of()
    counts = AllDomains(domains, 8).compositions(three_sites, np.random.default_rng(1))
    some = three_sites.where(id=[c.id for c in three_sites.cases if int(c.id[1:]) < 5])
    first, second = (run.loader(d, 8, sampler=Composed(domains, counts)) for d in (three_sites, some))
    for one, other in zip(first, second, strict=True):
        assert one.sites == other.sites
        assert one.case_ids != other.case_ids or len(set(one.case_ids)) < 8


def test_a_batch_too_small_for_the_domains_is_refused(three_sites: Dataset) -> None:
    with pytest.raises(DataError, match="a batch of 2 cannot hold 3 domains"):
        AllDomains(Domains(three_sites), 2)


def test_a_domain_without_a_case_is_named(three_sites: Dataset) -> None:
    sampler = AllDomains(Domains(three_sites), 8)
    with pytest.raises(DataError, match="no case of site C"):
        list(sampler(three_sites.where(site=["A", "B"]), np.random.default_rng(0)))


def test_every_batch_holds_every_cell_of_class_and_site(three_sites: Dataset) -> None:
    sampler = CellBalanced(Domains(three_sites), 8)
    drawn = batches(sampler(three_sites, np.random.default_rng(0)), 8)
    assert len(drawn) == 11
    for batch in drawn:
        cells = Counter((three_sites.cases[i].site, three_sites.cases[i].columns["class"]) for i in batch)
        assert len(cells) == 6
        assert max(cells.values()) - min(cells.values()) <= 1


def test_only_cells_that_exist_are_drawn(three_sites: Dataset) -> None:
    confounded = three_sites.where(
        id=[c.id for c in three_sites.cases if (c.site == "A") == (c.columns["class"] == "a")]
    )
    (first, *_) = batches(CellBalanced(Domains(confounded), 3)(confounded, np.random.default_rng(0)), 3)
    assert {confounded.cases[i].site for i in first} == {"A", "B", "C"}


def test_a_batch_too_small_for_the_cells_is_refused(three_sites: Dataset) -> None:
    with pytest.raises(DataError, match="cannot hold the 6 cells of class and site"):
        list(CellBalanced(Domains(three_sites), 5)(three_sites, np.random.default_rng(0)))


def test_one_of_each_class_comes_endlessly(three_sites: Dataset, run_of: Callable[..., Run]) -> None:
    few = three_sites.where(site="C")
    endless = iter(run_of().loader(few, 2, sampler=OnePerClass(), endless=True))
    for _ in range(10):
        assert next(endless).label("class").tolist() == [0, 1]


def test_a_class_without_a_case_is_named(three_sites: Dataset) -> None:
    only_a = three_sites.where(**{"class": "a"})
    with pytest.raises(DataError, match="no case of class b"):
        list(OnePerClass()(only_a, np.random.default_rng(0)))


def test_samplers_by_class_do_not_read_hidden_labels(three_sites: Dataset) -> None:
    hidden = three_sites.without_labels(site="C")
    for sampler in (OnePerClass(), CellBalanced(Domains(three_sites), 8)):
        with pytest.raises(HiddenLabelError):
            list(sampler(hidden, np.random.default_rng(0)))


def test_two_processes_take_the_same_number_of_steps_with_different_cases(three_sites: Dataset) -> None:
    domains = Domains(three_sites)
    for sampler in (AllDomains(domains, 8), CellBalanced(domains, 8), OnePerClass()):
        seen = [
            [b.case_ids for b in make_loader(three_sites, 8, sampler=sampler, seed=5, rank=rank, world=2)]
            for rank in (0, 1)
        ]
        assert len(seen[0]) == len(seen[1])
        assert seen[0] != seen[1]
