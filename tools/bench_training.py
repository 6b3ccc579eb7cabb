"""What a training step of each method costs, against the plain supervised step of the same networks on the same images.

``python tools/bench_training.py`` trains every variant for a few batches of random volumes through its own ``fit``, and
prints the median time of a batch (loading from memory, all updates) and its ratio to the plain variant's.
``--full`` takes the papers' image and batch sizes and networks, which wants a GPU; there the peak of the memory is
printed too. ``--precision bf16-mixed`` is to be compared with ``32-true`` by running both.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mdx.config import RunSettings, nested
from mdx.interfaces.adapter import networks_of
from mdx.interfaces.dataset import Case, Dataset, Sample, Task
from mdx.interfaces.geometry import Geometry
from mdx.plugins.activation import adapter_types
from mdx.plugins.discovery import find_plugin
from mdx.training.device import take_place
from mdx.training.run import Run
from mdx.workflow.method import hide

SITES = ("A", "B", "C")


@dataclass(frozen=True)
class Subject:
    """How a plugin is measured.

    Attributes:
        plain: the variant that is the plain supervised step.
        kind: of the task.
        small, full: size of images, cases in a batch, and settings of networks that fit a CPU, and the paper's.
        settings: of the method, in both sizes.
        prefix: of the settings ``batch_size`` and ``steps``.
        variants: those that train otherwise than ``plain``; None: all.
    """

    plain: str
    kind: Any
    small: tuple[tuple[int, ...], int, Mapping[str, Any]]
    full: tuple[tuple[int, ...], int, Mapping[str, Any]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    prefix: str = ""
    variants: tuple[str, ...] | None = None


METHODS = {
    "fda": Subject(
        "no_da",
        "segmentation",
        ((48, 56, 8), 16, {"filters": 4, "training.crop": 56}),
        ((182, 218, 32), 16, {"filters": 16, "training.crop": 160}),
        {"training.epochs": 2, "training.validate_every": 2},
        prefix="training.",
        variants=("no_da",),  # the others train nothing else
    ),
    "unlearning": Subject(
        "normal",
        "regression",
        ((48, 56, 48), 16, {"width": 0.25, "stages": 4, "stem_stride": 2}),
        ((128, 128, 32), 16, {}),
        {"epochs": 2, "pretrain_epochs": 1, "probe_every": 0, "select": "last"},
    ),
    "l2i": Subject(
        "vanilla",
        "classification",
        ((40, 46, 34), 10, {"backbone": "small_cnn3d", "latent": 32}),
        ((124, 172, 120), 10, {"backbone": "inception_resnet_v1_3d"}),
        {"epochs": 2, "augmentation": False, "select": "last"},
    ),
}


class TimedRun(Run):
    """A run that notes how long each batch of a training loader took, by stage."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.stage = ""
        self.batches: dict[str, list[float]] = {}

    def epochs(self, stage: str, count: int, **options: Any) -> Iterator[Any]:
        """As ``Run.epochs``; says which stage the batches that follow belong to."""
        for epoch in super().epochs(stage, count, **{**options, "shared": None}):
            self.stage = stage
            yield epoch

    def loader(self, *arguments: Any, **options: Any) -> Any:
        """As ``Run.loader``, with a clock."""
        return Clocked(super().loader(*arguments, **options), self)


class Clocked:
    """A loader that notes the time from one batch to the next."""

    def __init__(self, inner: Any, run: TimedRun) -> None:
        self.inner, self.run = inner, run

    def __iter__(self) -> Iterator[Any]:
        before: float | None = None
        for batch in self.inner:
            now = self._now()
            if before is not None:
                self.run.batches.setdefault(self.run.stage, []).append(now - before)
            before = now
            yield batch
        if before is not None:
            self.run.batches.setdefault(self.run.stage, []).append(self._now() - before)

    def _now(self) -> float:
        if self.run.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def cohort(kind: Any, size: tuple[int, ...], cases_of_site: int = 12) -> Dataset:
    """Random images of three sites, with every class and label at each."""
    classes = ("a", "b") if kind == "classification" else ("brain",) if kind == "segmentation" else ()
    label = {"classification": "class", "segmentation": "mask"}.get(kind, "age")
    task = Task(kind, classes, ("image",), len(size), SITES, label=label)
    cases: list[Case] = []
    for site in SITES:
        for i in range(cases_of_site):
            value = classes[i % len(classes)] if classes else 40.0 + i
            split = "val" if i >= cases_of_site - 2 else "train"
            role = "target" if classes and site == "A" else "source"
            mask = Path("none.nii") if kind == "segmentation" else None
            cases.append(Case(f"{site}{i}", f"{site}{i}", site, {"image": Path("none.nii")}, split=split, role=role,
                              columns={label: value}, mask=mask))  # fmt: skip
    images = {
        case.id: torch.randn(1, *size, generator=torch.Generator().manual_seed(k)) for k, case in enumerate(cases)
    }

    def load(case: Case, visible: bool) -> Sample:
        if kind == "segmentation":
            truth = (images[case.id] > 0.5).float()
        else:
            truth = classes.index(case.columns[label]) if classes else case.columns[label]
        hidden = frozenset[str]() if visible else frozenset({label})
        return Sample(case, images[case.id], Geometry(np.eye(4), size), {label: truth} if visible else {}, hidden)

    return Dataset(task, cases, load)


@dataclass(frozen=True)
class Measured:
    """What came of a variant's ``fit``.

    Attributes:
        stages: median seconds of a batch in each stage.
        peak: GB of the device's memory at most.
        before, after: all weights as one vector on the CPU, before and after.
    """

    stages: dict[str, float]
    peak: float
    before: torch.Tensor
    after: torch.Tensor


def weights(model: torch.nn.Module) -> torch.Tensor:
    """All weights of ``model`` as one vector on the CPU, in the order of their names."""
    return torch.cat([p.detach().cpu().flatten().clone() for _, p in sorted(model.named_parameters())])


def measure(
    plugin: str, variant: str, data: Dataset, settings: Mapping[str, Any], options: argparse.Namespace
) -> Measured:
    """Train a variant as ``options.device`` and ``options.precision`` say."""
    found = find_plugin(plugin)
    assert found.manifest is not None  # find_plugin returns working plugins only
    row = found.manifest.variants[variant]
    adapter_type, config_type = adapter_types(found, row)
    adapter = adapter_type(config_type.model_validate(nested({**settings, **row.values})))
    place = take_place(RunSettings.model_validate({"device": options.device, "precision": options.precision}))
    torch.manual_seed(0)
    if place.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as folder:
        model = networks_of(adapter, data.task)
        if options.no_dropout:
            for part in model.modules():
                if isinstance(part, torch.nn.Dropout):
                    part.p = 0.0
        before = weights(model)
        run = TimedRun(Path(folder), adapter, model, place=place, settings=RunSettings.model_validate(
            {"precision": options.precision}))  # fmt: skip
        run.journal.stream = Path(os.devnull).open("w")  # noqa: SIM115 - as long as the run
        capabilities = found.manifest.capabilities
        assert capabilities is not None  # methods have them
        with run.autocast():
            adapter.fit(hide(data, row.target_labels or capabilities.target_labels), model, run)
    peak = torch.cuda.max_memory_allocated() / 1e9 if place.device.type == "cuda" else 0.0
    # the first batch of a stage warms caches up
    stages = {stage: statistics.median(times[1:] or times) for stage, times in run.batches.items()}
    return Measured(stages, peak, before, weights(model))


def settings_of(subject: Subject, full: bool, steps: int) -> tuple[tuple[int, ...], int, dict[str, Any]]:
    """Size of images, cases in a batch, and all settings."""
    size, batch, network = subject.full if full else subject.small
    shape = {f"{subject.prefix}batch_size": batch, f"{subject.prefix}steps": steps}
    return size, batch, {**subject.settings, **network, **shape}


def variants_of(plugin: str) -> list[str]:
    """The variants to measure, the plain one first."""
    subject, manifest = METHODS[plugin], find_plugin(plugin).manifest
    assert manifest is not None  # find_plugin returns working plugins only
    return list(dict.fromkeys([subject.plain, *(subject.variants or manifest.variants)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plugins", nargs="*", default=list(METHODS), help=f"of {', '.join(METHODS)}")
    parser.add_argument("--variants", help="of the plugin, separated by commas; default: all")
    parser.add_argument("--full", action="store_true", help="the papers' images, batches and networks")
    parser.add_argument("--steps", type=int, default=8, help="batches of an epoch")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--precision", default="32-true", choices=["32-true", "bf16-mixed"])
    parser.add_argument("--threads", type=int, default=1, help="threads of torch; one gives steady ratios")
    parser.add_argument("--no-dropout", action="store_true", help="drop nothing, so that devices can be compared")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for plugin in options.plugins:
        subject = METHODS[plugin]
        size, batch, settings = settings_of(subject, options.full, options.steps)
        data = cohort(subject.kind, size)
        names = [subject.plain, *options.variants.split(",")] if options.variants else variants_of(plugin)
        print(f"{plugin}: batches of {batch} x {'x'.join(map(str, size))}, {options.device}, {options.precision}")
        measured = {name: measure(plugin, name, data, settings, options) for name in dict.fromkeys(names)}
        plain = min(measured[subject.plain].stages.values())
        for name, found in measured.items():
            for stage, seconds in found.stages.items():
                memory = f"  peak {found.peak:.1f} GB" if found.peak else ""
                print(f"  {name:<24}{stage:<10}{seconds * 1e3:9.1f} ms  ratio {seconds / plain:5.2f}{memory}")


if __name__ == "__main__":
    main()
