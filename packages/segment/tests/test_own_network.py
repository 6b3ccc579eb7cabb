from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mdx.data.config import DataConfig
from mdx.errors import ConfigError, DataError, UsageError
from mdx.interfaces.dataset import Case, Dataset, Sample, Task
from mdx.interfaces.geometry import Geometry
from mdx.interfaces.model import Model
from mdx.runs.provenance import digest_of_network
from mdx_segment.own_network import Contract, SliceNetwork

CONTRACT: dict[str, Any] = {
    "channels": 1, "classes": ["1"], "activation": "sigmoid", "intensity": "percentiles", "lower": 1, "upper": 99,
    "spacing_mm": [1, 1, 2], "multiple": 8,
}  # fmt: skip
Save = Callable[..., Path]


@pytest.fixture(autouse=True)
def _trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user has said --trust-code."""
    monkeypatch.setenv("MDX_TRUST_CODE", "1")


@pytest.fixture
def data() -> Dataset:
    """Two sites with volumes of 1 x 1 x 2 mm."""
    task = Task("segmentation", ("1",), ("image",), 3, ("A", "B"), label_values=((1,),))
    cases = [Case(site, site, site, {"image": Path(f"{site}.nii")}, split="train") for site in "AB"]
    grid = Geometry(np.diag([1.0, 1, 2, 1]), (8, 8, 2))
    return Dataset(task, cases, lambda case, visible: Sample(case, torch.zeros(1, 8, 8, 2), grid))


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Save a 1x1 convolution of one output as TorchScript, with a contract in the archive, beside it or nowhere."""

    def write(inside: object = None, beside: object = None, bias: float = 0.0) -> Path:
        network = torch.nn.Conv2d(1, 1, 1)
        torch.nn.init.constant_(network.weight, 1.0)
        torch.nn.init.constant_(network.bias, bias)  # type: ignore[arg-type]
        extra = {} if inside is None else {"mdx.json": json.dumps(inside)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            torch.jit.save(torch.jit.script(network), tmp_path / "net.pt", _extra_files=extra)
        if beside is not None:
            (tmp_path / "net.json").write_text(beside if isinstance(beside, str) else json.dumps(beside))
        return tmp_path / "net.pt"

    return write


def read(path: Path, data: Dataset, **settings: object) -> SliceNetwork:
    return SliceNetwork.read(path, digest_of_network(path), data, DataConfig.model_validate(settings))


@pytest.mark.parametrize("place", ["inside", "beside"])
def test_a_contract_is_read_from_the_archive_and_from_beside_it(save: Save, data: Dataset, place: str) -> None:
    own = read(save(**{place: CONTRACT}), data)
    assert own.contract == Contract.model_validate(CONTRACT)
    assert own.module is not None
    assert float(own.module(torch.ones(1, 1, 2, 2)).detach()[0, 0, 0, 0]) == 1


def test_a_network_without_a_contract_is_given_one_to_fill_in(save: Save, data: Dataset) -> None:
    with pytest.raises(ConfigError, match=r"write net\.json beside it") as caught:
        read(save(), data)
    text = str(caught.value)
    template = json.loads(text[text.index("{") : text.rindex("}") + 1])
    assert set(template) == set(Contract.model_fields)
    assert template["spacing_mm"] == [1, 1, 2]
    filled = Contract.model_validate({**template, "activation": "logits"})
    assert filled.classes == ("1",)


@pytest.mark.parametrize(
    ("stated", "found"),
    [
        ({"channels": 3}, "channels: the network expects 3, the data have 1"),
        ({"classes": ["background", "lesion"]}, "classes: the network has background, lesion, the data have 1"),
        ({"intensity": "zscore"}, "intensity: the network expects zscore, the data have percentiles"),
        ({"upper": 99.5}, "upper: the network expects 99.5, the data have 99"),
        ({"spacing_mm": [1]}, "the network expects 1, the scans of site B have 1 x 1 x 2"),
        ({"spacing_mm": [0.9, 0.9]}, "the network expects 0.9 x 0.9, the scans of site A have"),
        ({"activation": "softmax"}, "softmax over one class is always 1"),
    ],
)
def test_a_mismatch_names_what_was_expected_and_found(
    save: Save, data: Dataset, stated: dict[str, object], found: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(save(beside={**CONTRACT, **stated}), data)
    assert found in str(caught.value)


def test_the_classes_of_a_file_may_come_in_another_order(save: Save, data: Dataset) -> None:
    two = Dataset(replace(data.task, classes=("1", "2")), data.cases, data.loader)
    own = read(save(beside={**CONTRACT, "classes": ["2", "background", "1"], "activation": "softmax"}), two)
    assert own.contract.classes == ("2", "background", "1")


def test_all_mismatches_are_named_at_once(save: Save, data: Dataset) -> None:
    with pytest.raises(ConfigError) as caught:
        read(save(beside={**CONTRACT, "channels": 2, "intensity": "minmax", "spacing_mm": [3]}), data)
    assert len([line for line in str(caught.value).splitlines() if ": the network expects" in line]) == 4


@pytest.mark.parametrize("stated", [None, [1, 1], [1, 1, 2], [1.005, 0.995, 2.01]])
def test_spacing_may_be_open_in_plane_or_nearly_equal(save: Save, data: Dataset, stated: object) -> None:
    assert read(save(beside={**CONTRACT, "spacing_mm": stated}), data).module is not None


@pytest.mark.parametrize("other", ["zscore", "minmax"])
def test_percentiles_do_not_matter_where_none_are_taken(save: Save, data: Dataset, other: str) -> None:
    path = save(beside={**CONTRACT, "intensity": other, "lower": 5})
    assert read(path, data, intensity=other).contract.intensity == other


@pytest.mark.parametrize(
    ("beside", "message"),
    [("{", "not JSON"), ({**CONTRACT, "activation": "relu"}, "activation"), ({"channels": 1}, "classes"),
     ({**CONTRACT, "colour": 1}, "colour")],
)  # fmt: skip
def test_a_contract_that_cannot_be_used_says_why(save: Save, data: Dataset, beside: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(save(beside=beside), data)


def test_a_pickled_model_is_refused_and_not_unpickled(data: Dataset, tmp_path: Path) -> None:
    torch.save(torch.nn.Conv2d(1, 1, 1), tmp_path / "net.pt")
    with pytest.raises(DataError, match="not a TorchScript file"):
        read(tmp_path / "net.pt", data)


def test_a_path_that_leads_nowhere_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such run or file"):
        digest_of_network(tmp_path / "net.pt")


def test_the_digest_changes_with_the_weights_and_with_the_contract(save: Save) -> None:
    digests = [digest_of_network(save(beside=CONTRACT)), digest_of_network(save(beside=CONTRACT, bias=1.0)),
               digest_of_network(save(beside={**CONTRACT, "multiple": 4}, bias=1.0))]  # fmt: skip
    assert len(set(digests)) == 3


def test_a_run_keeps_a_copy_that_outlives_the_file(save: Save, data: Dataset, tmp_path: Path) -> None:
    path = save(beside=CONTRACT, bias=2.0)
    own = read(path, data)
    (tmp_path / "run").mkdir()
    own.keep(tmp_path / "run")
    path.unlink()
    (tmp_path / "net.json").unlink()
    again = SliceNetwork.kept(tmp_path / "run")
    assert again is not None and again.module is not None
    assert (again.name, again.digest, again.contract) == ("net.pt", own.digest, own.contract)
    assert float(again.module(torch.zeros(1, 1, 1, 1)).detach()) == 2


def test_a_run_that_made_its_own_network_keeps_none(tmp_path: Path) -> None:
    assert SliceNetwork.kept(tmp_path) is None


def test_weights_of_a_run_survive_the_copy(tmp_path: Path) -> None:
    weights = {"network.weight": torch.ones(2, 3)}
    SliceNetwork("run", "0" * 64, Contract.model_validate(CONTRACT), weights=weights).keep(tmp_path)
    again = SliceNetwork.kept(tmp_path)
    assert again is not None
    assert torch.equal(again.weights["network.weight"], weights["network.weight"])


def test_taking_weights_says_what_matched_and_refuses_a_network_that_does_not_fit() -> None:
    contract = Contract.model_validate(CONTRACT)
    theirs = torch.nn.Linear(3, 2)
    own = SliceNetwork("run", "", contract, weights={f"network.{k}": v for k, v in theirs.state_dict().items()})
    mine = Model(network=torch.nn.Linear(3, 2), other=torch.nn.Linear(1, 1))
    assert "2 weights matched" in own.take(mine, "network")
    assert torch.equal(mine.network.weight, theirs.weight)
    with pytest.raises(ConfigError, match=r"network.weight: expected \(2, 4\), found \(2, 3\)"):
        own.take(Model(network=torch.nn.Linear(4, 2)), "network")
    with pytest.raises(ConfigError, match="found nothing"):
        replace(own, weights={}).take(mine, "network")


def test_a_scan_of_other_voxels_is_refused_when_it_is_predicted(save: Save, data: Dataset) -> None:
    own = read(save(beside=CONTRACT), data)
    sample = data.load(data.cases[0])
    own.require(sample)
    other = replace(sample, geometry=Geometry(np.diag([1.0, 1, 3, 1]), (8, 8, 2)))
    with pytest.raises(DataError, match=r"data\.spacing_mm=1,1,2"):
        own.require(other)
