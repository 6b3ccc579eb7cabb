"""A network that the user brings (``--init-from``): a run of mdx, a safetensors file of weights for a method's own
network, an ONNX graph of checked operators, or, only with ``--trust-code``, a TorchScript file. A TorchScript file is a
program: it can write and change files when it is loaded and when it is applied.

What a network was trained on cannot be read off its weights, so it is stated, and compared with the data before
anything runs. A run states it through its own settings; a file carries it as JSON: beside it (``net.json`` for
``net.pt``, ``net.onnx`` and ``net.safetensors``), in a TorchScript archive (extra file ``mdx.json``), in the metadata
of an ONNX file, or in the header of a safetensors file.
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError, model_validator

from mdx.config import Settings, read_config_file
from mdx.data.config import Intensity, check_limits
from mdx.errors import ConfigError, DataError
from mdx.files import replacing, write_json
from mdx.interfaces.dataset import Dataset, Sample, Task
from mdx.interfaces.model import Model
from mdx.interfaces.own_network import OwnNetwork
from mdx.runs.folders import final_checkpoint, read_json
from mdx.training.weights import Brought, read_safetensors

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mdx.data.config import DataConfig

IN_ARCHIVE = "mdx.json"
BACKGROUND = "background"
KEPT = "own_network"
TRUST = "MDX_TRUST_CODE"
SPACING_TOLERANCE = 0.01


class Contract(Settings):
    """What a network was made for: (B, channels, H, W) in, (B, classes, H, W) out."""

    channels: int = Field(ge=1, description="channels of the input")
    classes: tuple[str, ...] = Field(
        min_length=1, description="output channels in order: the data's classes, and 'background' where there is one"
    )
    activation: Literal["sigmoid", "softmax", "logits"] = Field(
        description="last layer of the network; logits: none, then mdx applies softmax where 'background' is a class, "
        "else sigmoid"
    )
    intensity: Intensity = Field(description="as data.intensity")
    lower: float = Field(1.0, description="as data.lower; percentiles and window only")
    upper: float = Field(99.0, description="as data.upper; percentiles and window only")
    spacing_mm: tuple[float, ...] | None = Field(
        description="voxel edges of the input, in-plane or all; null: the network was trained on several"
    )
    multiple: int = Field(1, ge=1, description="height and width of the input must be multiples of this")

    @model_validator(mode="after")
    def _ordered(self) -> Contract:
        check_limits(self.intensity, self.lower, self.upper)
        return self


@dataclass(frozen=True)
class SliceNetwork(OwnNetwork):
    """What ``--init-from`` gave.

    Attributes:
        name: of the file or the run directory.
        digest: hash of the content.
        contract: what the network was made for.
        file, module: an ONNX or TorchScript file and its network; None for a run.
        weights: all weights of a run by the names of its networks; empty for a file.
    """

    name: str
    digest: str
    contract: Contract
    file: Path | None = None
    module: nn.Module | None = None
    weights: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, digest: str, data: Dataset, config: DataConfig) -> SliceNetwork:
        """The network at ``path``, compared with the data that it is to segment.

        Raises ConfigError naming everything in which contract and data differ, with what was expected and found, or
        with a contract to fill in where a file has none; DataError for a file that is neither ONNX nor TorchScript.
        """
        first = {case.site: case for case in reversed(data.cases)}
        spacings = {site: data.load(case).geometry.spacing_mm for site, case in sorted(first.items())}
        own = _of_run(path, digest) if path.is_dir() else _of_file(path, digest, data.task, config, spacings)
        faults = list(_misfits(own, data.task, config, spacings))
        if faults:
            raise ConfigError(
                "the network does not fit the data:\n  " + "\n  ".join(faults),
                "bring the data to what the network expects with --set data.intensity=... data.lower=... "
                "data.upper=... data.spacing_mm=... data.classes=..., or correct the contract if it is wrong",
                path,
            )
        return own

    @classmethod
    def kept(cls, directory: Path) -> SliceNetwork | None:
        """The network that a run directory keeps; None for a run that made its own."""
        if not (directory / f"{KEPT}.json").exists():
            return None
        facts = read_json(directory / f"{KEPT}.json")
        contract = Contract.model_validate(facts["contract"])
        for path in (directory / f"{KEPT}.pt", directory / f"{KEPT}.onnx"):
            if path.exists():
                return cls(facts["name"], facts["digest"], contract, file=path, module=_load(path)[0])
        from mdx.runs.checkpoint import load_tree

        weights = load_tree(directory / f"{KEPT}.safetensors")["model"]
        return cls(facts["name"], facts["digest"], contract, weights=weights)

    def take(self, model: Model, part: str) -> str:
        """Fill the network ``part`` of ``model`` with the weights of the run; a sentence that says what matched.

        Raises ConfigError unless every weight of the network is there and fits.
        """
        if self.weights and not any(name.startswith(f"{part}.") for name in self.weights):
            return replace(self, weights={f"{part}.{k}": v for k, v in self.weights.items()}).take(model, part)
        wanted = {name: value for name, value in model.state_dict().items() if name.startswith(f"{part}.")}
        misfits = [
            f"{name}: expected {tuple(value.shape)}, "
            + (f"found {tuple(self.weights[name].shape)}" if name in self.weights else "found nothing")
            for name, value in wanted.items()
            if name not in self.weights or self.weights[name].shape != value.shape
        ]
        if misfits:
            raise ConfigError(
                f"{len(misfits)} of {len(wanted)} weights of '{part}' do not fit, such as {misfits[0]}",
                "give the settings that the other run's network was made with (its config.yaml), such as filters",
                self.name,
            )
        own = {name.removeprefix(f"{part}."): self.weights[name] for name in wanted}
        return Brought(self.name, own).into(getattr(model, part))

    def require(self, sample: Sample) -> None:
        """Raises DataError where a sample has other voxels than the network was trained on."""
        stated, found = self.contract.spacing_mm, sample.geometry.spacing_mm
        if not _same_spacing(stated, found):
            raise DataError(
                f"voxels of {_edges(found)} mm, the network {self.name} was trained on {_edges(stated)} mm",
                f"resample with --set data.spacing_mm={','.join(f'{v:g}' for v in stated or ())}", sample.case.id,
            )  # fmt: skip

    def keep(self, directory: Path) -> None:
        """Copy what is needed into a run directory, so that the run does without the original; once."""
        if (directory / f"{KEPT}.json").exists():
            return
        if self.file is not None:
            with replacing(directory / f"{KEPT}{'.onnx' if _is_onnx(self.file) else '.pt'}") as temporary:
                shutil.copyfile(self.file, temporary)
        else:
            from mdx.runs.checkpoint import save_tree

            save_tree(directory / f"{KEPT}.safetensors", {"model": dict(self.weights)})
        facts = {"name": self.name, "digest": self.digest, "contract": self.contract.model_dump(mode="json")}
        write_json(directory / f"{KEPT}.json", facts)  # last: it says that the copy is complete


def _of_run(path: Path, digest: str) -> SliceNetwork:
    brought = SliceNetwork.kept(path)
    if brought is not None and brought.module is not None:
        return brought
    from mdx.runs.checkpoint import load_tree

    settings, task = read_config_file(path / "config.yaml"), read_json(path / "provenance.json")["task"]
    same = {name: settings[f"data.{name}"] for name in ("intensity", "lower", "upper", "spacing_mm")}
    stated = {"channels": len(task["channels"]), "classes": task["classes"], "activation": "logits", **same}
    weights = load_tree(final_checkpoint(path))["model"]
    return SliceNetwork(path.name, digest, Contract.model_validate(stated), weights=weights)


def _of_file(
    path: Path, digest: str, task: Task, config: DataConfig, spacings: Mapping[str, Sequence[float]]
) -> SliceNetwork:
    weights: Mapping[str, Tensor] = {}
    module: nn.Module | None = None
    if path.suffix == ".safetensors":
        weights, header = read_safetensors(path)
        inside = header.get(IN_ARCHIVE, "")
    else:
        module, inside = _load(path)
    beside = path.with_suffix(".json")
    text = inside or (beside.read_text(encoding="utf-8") if beside.is_file() and beside != path else "")
    if not text:
        template = {
            "channels": len(task.channels), "classes": list(task.classes),
            "activation": "sigmoid, softmax or logits: which?", **_intensity(config),
            "spacing_mm": [round(v, 3) for v in next(iter(spacings.values()))], "multiple": 8,
        }  # fmt: skip
        raise ConfigError(
            "the network says nothing of what it was made for",
            f"write {beside.name} beside it (or as extra file {IN_ARCHIVE} into it); for these data:\n"
            + json.dumps(template, indent=1),
            path,
        )
    try:
        contract = Contract.model_validate(json.loads(text))
    except json.JSONDecodeError as error:
        raise ConfigError(f"the contract is not JSON ({error})", f"correct {beside.name}", path) from error
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        what = f"the contract is not complete: {'; '.join(faults)}"
        raise ConfigError(what, f"correct {beside.name}", path) from None
    return SliceNetwork(path.name, digest, contract, file=path if module is not None else None, module=module,
                      weights=weights)  # fmt: skip


def require_trust(path: Path) -> None:
    """Raise ConfigError unless the user has said that code from outside may run (``--trust-code``)."""
    if os.environ.get(TRUST) != "1":
        raise ConfigError(
            "is TorchScript: a program that can write and change files when it is loaded and when it is applied",
            "if you know who made it, say --trust-code, each time (in Python set MDX_TRUST_CODE=1); ONNX files, "
            "weights as safetensors, and runs of mdx's own networks, need no trust",
            path,
        )


def _load(path: Path) -> tuple[nn.Module, str]:
    """The network on the CPU, and its contract in the archive or an empty text. Loading TorchScript runs what it says.

    Raises DataError for other files; a program of ``torch.export`` is one, as torch reads it with pickle.
    """
    if _is_onnx(path):
        from mdx_segment.onnx_network import read_onnx

        return read_onnx(path)
    if path.suffix == ".pt2":
        raise DataError(
            "is a program of torch.export: to read it, torch executes what the file says",
            "export the network to ONNX, whose operators mdx checks: torch.onnx.export(..., dynamo=True)",
            path,
        )
    require_trust(path)
    import torch

    extra: dict[str, Any] = {IN_ARCHIVE: ""}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # newer torch calls its TorchScript functions deprecated
            module = torch.jit.load(path, map_location="cpu", _extra_files=extra)
    except (RuntimeError, ValueError) as error:
        raise DataError(
            f"is not a TorchScript file ({str(error).splitlines()[0][:120]})",
            "export it to ONNX, or save it with torch.jit.save(torch.jit.script(network.eval()), path); pickled models "
            "are not loaded",
            path,
        ) from error
    text = extra[IN_ARCHIVE]
    return module.eval(), text.decode() if isinstance(text, bytes) else text


def _is_onnx(path: Path) -> bool:
    return path.suffix.lower() == ".onnx"


def _intensity(config: DataConfig) -> dict[str, Any]:
    """The settings that determine intensities."""
    names = ("intensity", "lower", "upper") if config.intensity in ("percentiles", "window") else ("intensity",)
    return {name: getattr(config, name) for name in names}


def _misfits(
    own: SliceNetwork, task: Task, config: DataConfig, spacings: Mapping[str, Sequence[float]]
) -> Iterator[str]:
    """A sentence for everything in which the contract and the data differ."""
    contract = own.contract
    for name, value in {"channels": len(task.channels), **_intensity(config)}.items():
        if getattr(contract, name) != value:
            yield f"{name}: the network expects {getattr(contract, name)}, the data have {value}"
    foreground = [name for name in contract.classes if name != BACKGROUND]
    # the outputs of a file are put into the data's order; weights of a run are taken as they are
    if foreground != list(task.classes) if own.module is None else sorted(foreground) != sorted(task.classes):
        yield f"classes: the network has {', '.join(contract.classes)}, the data have {', '.join(task.classes)}"
    if contract.activation == "softmax" and len(contract.classes) < 2:
        yield "activation: softmax over one class is always 1; name the background too, or state sigmoid"
    for site, spacing in spacings.items():
        if not _same_spacing(contract.spacing_mm, spacing):
            stated = _edges(contract.spacing_mm)
            yield f"spacing_mm: the network expects {stated}, the scans of site {site} have {_edges(spacing)}"


def _same_spacing(stated: Sequence[float] | None, found: Sequence[float]) -> bool:
    """Within 1 %; fewer stated edges than axes are those in the plane."""
    if stated is None:
        return True
    edges = list(stated) * len(found) if len(stated) == 1 else stated
    return all(abs(a - b) <= SPACING_TOLERANCE * a for a, b in zip(edges, found, strict=False))


def _edges(spacing: Sequence[float] | None) -> str:
    return " x ".join(f"{v:.4g}" for v in spacing or ())
