"""Weights from a file or another run: read without executing anything, compared name by name, then taken."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from mdx.errors import ConfigError, DataError
from mdx.files import file_state
from mdx.interfaces.weights import Weights
from mdx.runs.checkpoint import load_tree
from mdx.runs.folders import final_checkpoint

LEAST_MATCHED = 0.95
SHOWN = 5
Rename = Mapping[str, str | None]


def digest_of_weights(weights: Weights) -> str:
    """A hash of the content that ``weights`` names. Raises ConfigError if it is not there."""
    path = final_checkpoint(weights.path) if weights.part else weights.path
    if not path.is_file():
        raise ConfigError("there is no such file of weights", "give PATH.safetensors or RUN:part", path)
    return _digest(path, *file_state(path)) + weights.part


@lru_cache(maxsize=64)
def _digest(path: Path, *state: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file, which holds no code, and the texts of its header.

    Raises DataError for another file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"is no safetensors file ({error})", "save it with safetensors.torch.save_file", path
        ) from error


@dataclass(frozen=True)
class Brought:
    """What a setting of type ``Weights`` brought.

    Attributes:
        name: of the file, or of the run and its network.
        tensors: the weights by name.
        tell: where the sentence goes that says what was taken.
    """

    name: str
    tensors: Mapping[str, Tensor]
    tell: Callable[[str], None] = lambda sentence: None

    def into(self, module: nn.Module, rename: Rename | None = None) -> str:
        """Fill ``module`` with the weights of equal name and shape, and say what matched, is missing and unexpected.

        Args:
            rename: beginnings of names in the file -> what stands for them in the module, the first that fits;
                ``None`` leaves such weights out: ``{"backbone.": "", "head.": None}``.

        Raises ConfigError if less than 95 % of the module's weights are there or two are to have one name, DataError if
        one of them is not finite.
        """
        given = _renamed(self.tensors, rename or {}, self.name)
        wanted = {name: value for name, value in module.state_dict().items() if value.is_floating_point()}
        matched = [name for name, value in wanted.items() if name in given and given[name].shape == value.shape]
        sentence = f"from {self.name}: {_said(wanted, given, matched)}"
        if not matched or len(matched) < LEAST_MATCHED * len(wanted):
            raise ConfigError(
                f"only {len(matched)} of {len(wanted)} weights are taken ({_said(wanted, given, matched)})",
                "give weights of the same network, made with the same settings; at least 95 % must match", self.name,
            )  # fmt: skip
        bad = [name for name in matched if not bool(torch.isfinite(given[name]).all())]
        if bad:
            raise DataError(f"{len(bad)} weights hold NaN or infinity, such as {bad[0]}", "give others", self.name)
        for name, value in module.state_dict().items():  # counters of batches are not asked for, and taken if there
            if not value.is_floating_point() and name in given and given[name].shape == value.shape:
                matched.append(name)
        module.load_state_dict({name: given[name] for name in matched}, strict=False)
        self.tell(sentence)
        return sentence


def bring(weights: Weights, tell: Callable[[str], None]) -> Brought:
    """The weights that a setting names.

    Raises DataError for a file that is not safetensors, ConfigError for a run without the network.
    """
    if not weights.part:
        return Brought(weights.path.name, read_safetensors(weights.path)[0], tell)
    tensors = load_tree(final_checkpoint(weights.path))["model"]
    start = f"{weights.part}."
    own = {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
    if not own:
        there = ", ".join(dict.fromkeys(name.partition(".")[0] for name in tensors))
        raise ConfigError(f"the run has no network '{weights.part}'", f"it has {there}", weights.path)
    return Brought(f"{weights.path.name}:{weights.part}", own, tell)


def _renamed(tensors: Mapping[str, Tensor], rename: Rename, where: str) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, value in tensors.items():
        beginning = next((begin for begin in rename if name.startswith(begin)), "")
        new = rename.get(beginning, "")
        if new is None:
            continue
        called = new + name.removeprefix(beginning)
        if called in found:
            raise ConfigError(
                f"two weights are to be called '{called}'", "rename only one of them, or leave one out", where
            )
        found[called] = value
    return found


def _said(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], matched: list[str]) -> str:
    """The key report in words."""
    both = [name for name in wanted if name in given]
    found = {
        "missing": [name for name in wanted if name not in given],
        "of another shape": [
            f"{name} {tuple(given[name].shape)} for {tuple(wanted[name].shape)}" for name in both if name not in matched
        ],
        "unexpected": [name for name, value in given.items() if name not in wanted and value.is_floating_point()],
    }
    listed = (f"{len(names)} {what}{_some(names)}" for what, names in found.items())
    return ", ".join([f"{len(matched)} weights matched", *listed])


def _some(names: list[str]) -> str:
    return f" ({', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''})" if names else ""
