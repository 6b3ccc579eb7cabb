"""Which domain a case belongs to, and means over domains."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from mdx.errors import DataError
from mdx.interfaces.dataset import Dataset
from mdx_adversarial.domains import Domains, sum_of_domain_means


def test_domains_are_the_sites_in_order(three_sites: Dataset) -> None:
    domains = Domains(three_sites)
    assert domains.names == ("A", "B", "C")
    assert [domains.index(c) for c in three_sites.cases] == [0] * 60 + [1] * 15 + [2] * 6


def test_any_column_of_names_can_be_the_nuisance(three_sites: Dataset) -> None:
    domains = Domains(three_sites, "vendor")
    assert domains.names == ("X", "Y")
    assert [len(group) for group in domains.groups(three_sites)] == [60, 21]


def test_a_column_of_quantities_is_refused_with_a_remedy(three_sites: Dataset) -> None:
    with pytest.raises(DataError, match=r"60 different numbers[\s\S]*nuisance_bins"):
        Domains(three_sites, "dose")


def test_a_column_of_quantities_can_be_cut_into_bins_of_equal_size(three_sites: Dataset) -> None:
    site_a = three_sites.where(site="A")
    domains = Domains(site_a, "dose", bins=3)
    assert [len(group) for group in domains.groups(site_a)] == [20, 20, 20]


def test_bins_of_texts_are_refused(three_sites: Dataset) -> None:
    with pytest.raises(DataError, match="texts"):
        Domains(three_sites, "vendor", bins=2)


def test_an_unknown_column_is_named_with_the_nearest(three_sites: Dataset) -> None:
    with pytest.raises(DataError, match=r"'vender'[\s\S]*did you mean 'vendor'"):
        Domains(three_sites, "vender")


def test_cases_without_a_value_are_named(three_sites: Dataset) -> None:
    first = dataclasses.replace(three_sites.cases[0], columns={"vendor": None})
    data = Dataset(three_sites.task, [first, *three_sites.cases[1:]], three_sites.loader)
    with pytest.raises(DataError, match=r"1 case\(s\) have no 'vendor' \(A0\)"):
        Domains(data, "vendor")


def test_a_case_of_another_site_is_refused_by_name(three_sites: Dataset) -> None:
    domains = Domains(three_sites.where(site=["A", "B"]))
    with pytest.raises(DataError, match="'C' is no site of the training cases"):
        domains.index(three_sites.cases[-1])


def test_one_domain_only_is_refused(three_sites: Dataset) -> None:
    with pytest.raises(DataError, match="needs at least two values of 'site'"):
        Domains(three_sites.where(site="A")).require_several("unlearning")


def test_the_main_loss_is_a_sum_of_means_within_domains() -> None:
    errors, domains = torch.tensor([1.0, 1.0, 1.0, 1.0, 9.0]), torch.tensor([0, 0, 0, 0, 1])
    assert float(sum_of_domain_means(errors, domains, 2)) == pytest.approx(10.0)
    assert float(errors.mean()) == pytest.approx(2.6), "what a pooled mean would have given"


def test_a_domain_absent_from_the_batch_adds_nothing() -> None:
    errors = torch.tensor([1.0, 3.0], requires_grad=True)
    loss = sum_of_domain_means(errors, torch.tensor([0, 0]), 3)
    loss.backward()
    assert float(loss.detach()) == 2.0
    assert errors.grad is not None
    assert torch.isfinite(errors.grad).all()
