"""``--init-from net.onnx``: a graph of standard operators runs; what could do more, or not end, is refused by name."""

from __future__ import annotations

import builtins
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from small_cohort import TINY

from mdx_segment.onnx_network import read_onnx

Cli = Callable[..., tuple[int, str]]
CONTRACT = {
    "channels": 1, "classes": ["1"], "activation": "logits", "intensity": "percentiles", "lower": 1.0, "upper": 99.0,
    "spacing_mm": None,
}  # fmt: skip
FREE = ["b", 1, "h", "w"]


def number(name: str, *values: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, dtype=np.int64), name)


def graph(
    nodes: Sequence[onnx.NodeProto], shape: Sequence[Any] = FREE, kind: int = TensorProto.FLOAT, **more: Any
) -> onnx.ModelProto:
    """A model of one input 'x' and one output 'y' of the same shape."""
    taken, made = (helper.make_tensor_value_info(name, kind, list(shape)) for name in "xy")
    body = helper.make_graph(list(nodes), "net", [taken], [made], initializer=more.pop("weights", []))
    versions = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1), helper.make_opsetid("own", 1)]
    model = helper.make_model(body, opset_imports=versions, ir_version=9, **more)
    helper.set_model_props(model, {"mdx.json": json.dumps(CONTRACT)})
    return model


def node(kind: str, taken: str = "x", made: str = "y", **options: Any) -> onnx.NodeProto:
    return helper.make_node(kind, taken.split(), made.split(), **options)


def outside() -> onnx.ModelProto:
    weight = number("w", 1)
    weight.data_location = TensorProto.EXTERNAL
    weight.ClearField("raw_data")
    weight.external_data.add(key="location", value="../../secret")
    return graph([node("Cast", "w", "f", to=TensorProto.FLOAT), node("Mul", "x f")], weights=[weight])


def huge() -> onnx.ModelProto:
    fill = helper.make_tensor("v", TensorProto.FLOAT, [1], [0.0])
    nodes = [node("ConstantOfShape", "s", "z", value=fill), node("ReduceSum", "z", "r", keepdims=0), node("Add", "x r")]
    return graph(nodes, weights=[number("s", 1 << 20, 1 << 20)])


def branches() -> onnx.ModelProto:
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    inner = [helper.make_graph([node("Identity")], name, [], [y]) for name in ("a", "b")]
    yes = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    return graph([node("If", "yes", then_branch=inner[0], else_branch=inner[1])], weights=[yes])


def functions() -> onnx.ModelProto:
    own = helper.make_function("own", "F", ["x"], ["y"], [node("Relu")], [helper.make_opsetid("", 17)])
    return graph([node("F", domain="own")], functions=[own])


REFUSED = {
    "of another domain": (lambda: graph([node("FusedGelu", domain="com.microsoft")]), "com.microsoft.FusedGelu"),
    "random": (lambda: graph([node("RandomNormalLike")]), "draws random values"),
    "branches": (branches, "branches or loops"),
    "functions": (functions, "functions of its own"),
    "weights elsewhere": (outside, "other files|secret"),
    "huge": (huge, "claims 1099511627776 values"),
    "fixed size": (lambda: graph([node("Relu")], shape=[1, 1, 64, 64]), "any batch, height and width"),
    "other numbers": (lambda: graph([node("Abs")], kind=TensorProto.DOUBLE), r"found tensor\(double\)"),
    "unknown operator": (lambda: graph([node("Nonsense")]), "no ONNX file|cannot load"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_more_than_a_network_is_refused(kind: str, tmp_path: Path) -> None:
    make, words = REFUSED[kind]
    path = tmp_path / "net.onnx"
    path.write_bytes(make().SerializeToString())
    with pytest.raises(Exception, match=words) as raised:
        read_onnx(path)
    assert getattr(raised.value, "exit_code", 1) in (3, 4)
    assert "net.onnx" in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"\0" * 64, b"\x08\x09" * 40, b"PK\x03\x04", b"\x0a" * 100_000])
def test_what_is_no_onnx_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(content)
    with pytest.raises(Exception, match=r"net\.onnx") as raised:
        read_onnx(tmp_path / "net.onnx")
    assert getattr(raised.value, "exit_code", 1) == 4


def test_every_cut_and_flipped_byte_ends_in_words_or_in_numbers(tmp_path: Path) -> None:
    whole = graph([node("Relu")]).SerializeToString()
    rng = np.random.default_rng(0)
    for trial in range(60):
        damaged = bytearray(whole[: rng.integers(len(whole))] if trial % 2 else whole)
        if damaged:
            damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
        (tmp_path / "net.onnx").write_bytes(damaged)
        try:
            made = read_onnx(tmp_path / "net.onnx")[0](torch.zeros(1, 1, 8, 8))
        except Exception as error:
            assert getattr(error, "exit_code", 1) in (3, 4) or isinstance(error, RuntimeError), repr(error)
        else:
            assert isinstance(made, torch.Tensor)


def test_the_network_computes_its_graph(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(graph([node("Relu")]).SerializeToString())
    network, contract = read_onnx(tmp_path / "net.onnx")
    x = torch.randn(3, 1, 8, 12)
    assert torch.equal(network(x), x.relu())
    assert json.loads(contract) == CONTRACT


def test_a_program_of_torch_export_is_refused_with_the_way_out(
    finished: tuple[Path, Path], tmp_path: Path, mdx: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MDX_TRUST_CODE", "0")
    (tmp_path / "net.pt2").write_bytes(b"PK\x03\x04")
    code, text = mdx("run", "fda", "--data", f"csv:{finished[0]}", "--init-from", tmp_path / "net.pt2", "--set",
                     "source=A", "target=B", *TINY, "--dry-run")  # fmt: skip
    assert code == 4
    assert "executes what the file says" in text
    assert "ONNX" in text


def test_without_the_packages_the_remedy_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really = builtins.__import__

    def absent(name: str, *rest: Any, **more: Any) -> Any:
        if name == "onnx":
            raise ModuleNotFoundError("No module named 'onnx'", name="onnx")
        return really(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(Exception, match=r"pip install mdx-segment\[onnx\]") as raised:
        read_onnx(tmp_path / "net.onnx")
    assert getattr(raised.value, "exit_code", 1) == 5
