"""A tree of plain values and tensors in one safetensors file; nothing that is loaded is a pickled class.

The tree's structure is JSON in the file's header, the tensors are its body, and the file is replaced in one step:
a killed process leaves either the old checkpoint or the new one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from mdx.errors import DataError, PluginError, ResourceError
from mdx.files import replacing

FORMAT = "2"
AGAIN = "copy it again from where it was whole, or run again"


def save_tree(path: Path, tree: Any) -> None:
    """Write ``tree`` (dicts, lists, tuples, numbers, texts, None, tensors, numpy arrays) to ``path``.

    Raises PluginError for a value that has no plain form, ResourceError where the disk is full.
    """
    tensors: dict[str, torch.Tensor] = {}
    structure = _pack(tree, tensors, "tree")
    with replacing(path) as temporary:
        try:
            text = json.dumps(structure)
            header = {"mdx": FORMAT, "tree": text, "digest": _digest(text, tensors)}
            save_file(tensors, temporary, metadata=header)
        except SafetensorError as error:
            raise ResourceError(
                f"the checkpoint cannot be written ({error})",
                "free disk space; the checkpoint before it is kept, and 'mdx resume' goes on from there",
                path,
            ) from error


def load_tree(path: Path) -> Any:
    """What ``save_tree`` wrote; tensors are on the CPU. Raises DataError for a file that is not a checkpoint."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        if header.get("mdx") != FORMAT:
            raise DataError("is not a checkpoint of this version of mdx", "make it again with 'mdx run --again'", path)
        if header["digest"] != _digest(header["tree"], tensors):
            raise DataError("the checkpoint is damaged: its content is not what was written", AGAIN, path)
        return _unpack(json.loads(header["tree"]), tensors)
    except FileNotFoundError:
        raise DataError("the checkpoint is missing", "give the directory of a run that has trained", path) from None
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"the checkpoint cannot be read ({error.strerror})", AGAIN, path) from error
    except Exception as error:  # of safetensors, of JSON, of a tree that is none
        raise DataError(f"the checkpoint is damaged ({type(error).__name__}: {error})", AGAIN, path) from error


def _digest(text: str, tensors: Mapping[str, torch.Tensor]) -> str:
    """A checksum of the structure and of every tensor's type, shape and bytes."""
    found = hashlib.blake2b(text.encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _pack(value: Any, tensors: dict[str, torch.Tensor], name: str) -> Any:
    if isinstance(value, torch.Tensor):
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"": "tensor", "name": name}
    if isinstance(value, np.ndarray):
        tensors[name] = torch.from_numpy(np.ascontiguousarray(value).copy()).reshape(value.shape)
        return {"": "array", "name": name}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        keys = list(value)
        if all(isinstance(k, str) and k for k in keys):
            return {k: _pack(v, tensors, f"{name}.{k}") for k, v in value.items()}
        items = [
            [_pack(k, tensors, f"{name}.k{i}"), _pack(value[k], tensors, f"{name}.{i}")] for i, k in enumerate(keys)
        ]
        return {"": "items", "items": items}
    if isinstance(value, list | tuple):
        packed = [_pack(v, tensors, f"{name}.{i}") for i, v in enumerate(value)]
        return packed if isinstance(value, list) else {"": "tuple", "items": packed}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise PluginError(
        f"the state holds a {type(value).__name__} at '{name}'",
        "state() may hold JSON values, tensors and numpy arrays",
    )


def _unpack(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpack(v, tensors) for v in value]
    if not isinstance(value, dict):
        return value
    match value.get(""):
        case "tensor":
            return tensors[value["name"]]
        case "array":
            return tensors[value["name"]].numpy()
        case "tuple":
            return tuple(_unpack(v, tensors) for v in value["items"])
        case "items":
            return {_unpack(k, tensors): _unpack(v, tensors) for k, v in value["items"]}
        case _:
            return {k: _unpack(v, tensors) for k, v in value.items()}
