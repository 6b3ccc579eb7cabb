"""A network from outside as ONNX: a graph of the standard's own operators, which compute and do nothing else.

Unlike a TorchScript file or a program of ``torch.export``, which torch reads with pickle and evaluates, an ONNX file
runs no code of its maker: it names operators that the runtime knows. What is refused before the runtime sees it:
operators that are not of the standard, loops and branches (they need not end), random values (the same scan would be
segmented in another way), weights that lie in other files, and what claims more values than ``MDX_MAX_VALUES``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mdx.data.files.formats import file_content, most_values
from mdx.errors import ConfigError, DataError, PluginError

STANDARD = ("", "ai.onnx")
ENDLESS = ("If", "Loop", "Scan", "SequenceMap")
RANDOM = ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")
HOW = "torch.onnx.export(network.eval(), (torch.zeros(2, C, 64, 64),), path, dynamo=True, external_data=False, "
HOW += "dynamic_shapes=({0: 'batch', 2: 'height', 3: 'width'},))"


class OnnxNetwork(nn.Module):
    """Runs an ONNX graph: (B, C, H, W) float32 in, its first output out, on the device of the input.

    It is computed on the CPU, with as many threads as torch has, and is not trained: it has no parameters.

    Args:
        content: of a file that ``read_onnx`` has checked.
        name: of the file, for messages.
    """

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
        options.use_deterministic_compute = True
        options.log_severity_level = 4  # its failures are exceptions
        try:
            self.session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # of many classes that share no base
            raise DataError(
                f"the ONNX runtime cannot load it ({_first_line(error)})", "export it anew with " + HOW, name
            ) from error
        taken = self.session.get_inputs()
        shape = [tuple(i.shape) for i in taken]
        free = len(taken) == 1 and len(shape[0]) == 4 and not any(isinstance(shape[0][axis], int) for axis in (0, 2, 3))
        if not free or taken[0].type != "tensor(float)":
            found = ", ".join(f"{i.type} {list(i.shape)}" for i in taken)
            raise ConfigError(
                f"expected one float32 input of any batch, height and width, found {found}",
                "export it with free sizes: " + HOW,
                name,
            )

    def forward(self, x: Tensor) -> Tensor:
        """The network's first output for ``x``. Raises RuntimeError where the runtime cannot compute it."""
        given = {self.session.get_inputs()[0].name: x.detach().float().cpu().numpy()}
        try:
            made = self.session.run([self.session.get_outputs()[0].name], given)[0]
        except Exception as error:  # of many classes that share no base
            raise RuntimeError(_first_line(error)) from error
        return torch.from_numpy(made).to(x.device)


def read_onnx(path: Path) -> tuple[OnnxNetwork, str]:
    """The network of an ONNX file and the contract in its metadata (``mdx.json``), or an empty text.

    Raises DataError for a file that is not ONNX or holds what is refused (see the module), ConfigError for an input of
    fixed size, PluginError where the packages for ONNX are not installed.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise PluginError(
            f"an ONNX file needs the package {error.name}", "install it with 'pip install mdx-segment[onnx]'", path
        ) from error
    content = file_content(path)
    try:
        graph = onnx.load_model_from_string(content)
        onnx.checker.check_model(graph)
    except Exception as error:  # DecodeError of protobuf, ValidationError, and what crafted bytes bring about
        raise DataError(f"is no ONNX file ({_first_line(error)})", "export it with " + HOW, path) from error
    faults = sorted(set(_refused(graph)))
    if faults:
        raise DataError("is refused: it " + "; it ".join(faults), "export it with " + HOW, path)
    contract = next((entry.value for entry in graph.metadata_props if entry.key == "mdx.json"), "")
    return OnnxNetwork(content, path.name), contract


def _refused(model: Any) -> Iterator[str]:
    """What a graph does that a network need not do."""
    if model.functions:
        yield "holds functions of its own, which the exporter can inline"
    graph = model.graph
    if graph.sparse_initializer or any(_outside(tensor) for tensor in graph.initializer):
        yield "keeps weights sparse or in other files"
    for node in graph.node:
        if node.domain not in STANDARD:
            yield f"uses the operator {node.domain}.{node.op_type}, which is not of the ONNX standard"
        elif node.op_type in ENDLESS:
            yield f"branches or loops ({node.op_type})"
        elif node.op_type in RANDOM:
            yield f"draws random values ({node.op_type})"
        elif any(a.HasField("g") or a.graphs for a in node.attribute):
            yield f"holds a graph inside a graph ({node.op_type})"
        if any(a.HasField("t") and _outside(a.t) for a in node.attribute):
            yield "keeps weights sparse or in other files"
    for name, count in _claimed(model):
        if count > most_values():
            yield f"claims {count} values for '{name}', the limit is {most_values()}"


def _claimed(model: Any) -> Iterator[tuple[str, int]]:
    """Every value of the graph whose size is known for two slices of 64 x 64 pixels, with that size."""
    import onnx

    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    for given in probed.graph.input:
        for axis, size in ((0, 2), (2, 64), (3, 64)):
            if axis < len(given.type.tensor_type.shape.dim):
                given.type.tensor_type.shape.dim[axis].dim_value = size
    inferred = onnx.shape_inference.infer_shapes(probed, data_prop=True).graph
    for value in (*inferred.value_info, *inferred.output):
        sizes = [d.dim_value for d in value.type.tensor_type.shape.dim if d.HasField("dim_value")]
        yield value.name, math.prod(sizes)
    for tensor in inferred.initializer:
        yield tensor.name, math.prod(tensor.dims)


def _outside(tensor: Any) -> bool:
    return bool(tensor.external_data) or tensor.data_location == 1  # EXTERNAL


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:160]
