"""Weights as a setting: their forms, what is taken and said, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import BaseModel, ValidationError
from safetensors.torch import save_file
from torch import Tensor, nn

from mdx.errors import ConfigError, DataError
from mdx.interfaces.weights import Weights, weights_in
from mdx.training.weights import Brought, bring, digest_of_weights


class Inner(BaseModel):
    start: Weights | None = None


class Settings(BaseModel):
    encoder: Weights | None = None
    inner: Inner = Inner()


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def weights(prefix: str = "", fill: float | None = None) -> dict[str, Tensor]:
    torch.manual_seed(0)
    state = network().state_dict()
    return {f"{prefix}{k}": v if fill is None or not v.is_floating_point() else v * 0 + fill for k, v in state.items()}


def saved(path: Path, tensors: dict[str, Tensor]) -> Weights:
    save_file(tensors, path)
    return Weights(str(path))


def ignored(sentence: str) -> None:
    pass


def test_a_file_and_a_network_of_a_run_are_weights() -> None:
    file, part = Weights("a:b/net.safetensors"), Weights("runs/x:encoder")
    assert (str(file.path), file.part) == ("a:b/net.safetensors", "")
    assert (str(part.path), part.part) == ("runs/x", "encoder")


@pytest.mark.parametrize("wrong", ["net.pt", "runs/x", "runs/x:", ":encoder", "runs/x:a b", ""])
def test_other_texts_are_refused_with_the_two_forms(wrong: str) -> None:
    with pytest.raises(ValidationError, match=r"must be PATH.safetensors, or RUN:part"):
        Settings.model_validate({"encoder": wrong})


def test_timm_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match="weights of timm, which mdx does not load"):
        Settings.model_validate({"encoder": "timm:resnet18"})


def test_the_setting_is_written_as_it_was_given_and_found_wherever_it_stands() -> None:
    settings = Settings.model_validate({"encoder": "a.safetensors", "inner": {"start": "run:net"}})
    written = settings.model_dump(mode="json")
    assert written == {"encoder": "a.safetensors", "inner": {"start": "run:net"}}
    assert type(written["encoder"]) is str
    assert dict(weights_in(settings)) == {"encoder": "a.safetensors", "inner.start": "run:net"}
    assert dict(weights_in(Settings())) == {}


def test_the_digest_is_of_the_content_and_not_of_the_place(tmp_path: Path) -> None:
    a, same = saved(tmp_path / "a.safetensors", weights()), saved(tmp_path / "b.safetensors", weights())
    other = saved(tmp_path / "c.safetensors", weights(fill=1.0))
    assert digest_of_weights(a) == digest_of_weights(same) != digest_of_weights(other)
    with pytest.raises(ConfigError, match="no such file of weights"):
        digest_of_weights(Weights(str(tmp_path / "d.safetensors")))


def test_weights_are_taken_by_name_and_every_kind_of_difference_is_said(tmp_path: Path) -> None:
    given = {**weights("backbone.", fill=0.5), "head.weight": torch.zeros(3), "odd": torch.zeros(1)}
    said: list[str] = []
    module = network()
    brought = bring(saved(tmp_path / "w.safetensors", given), said.append)
    report = brought.into(module, rename={"backbone.": "", "head.": None})
    assert report == "from w.safetensors: 8 weights matched, 0 missing, 0 of another shape, 1 unexpected (odd)"
    assert said == [report]
    assert all(bool((value == 0.5).all()) for value in module.state_dict().values() if value.is_floating_point())


def test_under_95_percent_is_refused_and_nothing_is_taken() -> None:
    given = weights(fill=0.5)
    del given["2.bias"]
    given["0.weight"] = torch.zeros(4, 5)
    module = network()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    report = r"only 6 of 8 weights .*, 1 missing \(2.bias\), 1 of another shape \(0.weight \(4, 5\) for \(4, 3\)\)"
    with pytest.raises(ConfigError, match=report):
        Brought("w", given).into(module)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_a_counter_of_batches_may_be_missing_and_is_taken_where_it_is_there() -> None:
    given = weights()
    module = network()
    given["1.num_batches_tracked"] = torch.tensor(7)
    Brought("w", given).into(module)
    assert int(module[1].num_batches_tracked) == 7
    del given["1.num_batches_tracked"]
    assert "8 weights matched, 0 missing" in Brought("w", given).into(network())


def test_one_of_many_weights_may_be_missing() -> None:
    module = nn.Sequential(*(nn.Linear(2, 2) for _ in range(20)))
    given = {name: value + 1 for name, value in module.state_dict().items() if name != "19.bias"}
    assert "39 weights matched, 1 missing (19.bias)" in Brought("w", given).into(module)


def test_weights_that_are_not_finite_and_names_that_meet_are_refused() -> None:
    with pytest.raises(DataError, match=r"1 weights hold NaN or infinity, such as 2\.bias"):
        Brought("w", {**weights(), "2.bias": torch.tensor([float("nan"), 0])}).into(network())
    with pytest.raises(ConfigError, match=r"two weights are to be called '0.weight'"):
        Brought("w", {**weights(), **weights("ema.")}).into(network(), rename={"ema.": ""})


def test_a_pickle_under_the_name_of_safetensors_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    torch.save(network(), path)
    with pytest.raises(DataError, match="is no safetensors file"):
        bring(Weights(str(path)), ignored)
