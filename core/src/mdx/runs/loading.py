"""A finished run, loaded from its directory alone and applied to new files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdx.config import Resolved, read_config_file, resolve
from mdx.data.labels import label_of
from mdx.errors import DataError, PluginError, UsageError
from mdx.evaluation.cases import predict
from mdx.interfaces.adapter import Adapter, Prediction, Reference, networks_of
from mdx.interfaces.dataset import Sample, Task
from mdx.interfaces.model import Model
from mdx.plugins.activation import adapter_types, config_type, own_network_type
from mdx.plugins.discovery import Plugin, find_plugin
from mdx.plugins.manifest import Variant
from mdx.plugins.variants import taken
from mdx.runs.checkpoint import load_tree
from mdx.runs.folders import final_checkpoint, find_run, is_folds, read_json

if TYPE_CHECKING:
    import torch


class LoadedRun:
    """A method as one run left it.

    Attributes:
        directory: where it was loaded from.
        plugin, settings, task: what was run, with which settings, to predict what.
        adapter, model: the restored method and its networks.
    """

    def __init__(
        self, directory: Path, plugin: Plugin, settings: Resolved, task: Task, adapter: Adapter[Any], model: Model
    ) -> None:
        self.directory, self.plugin, self.settings, self.task = directory, plugin, settings, task
        self.adapter, self.model = adapter, model

    def apply(self, file: str | Path | Mapping[str, str | Path], reference: Reference | None = None) -> Prediction:
        """The prediction for a file, or for several contrasts by column name (``{"t1": ..., "t2": ...}``)."""
        return self.predict(self.load(file), reference)

    def load(self, file: str | Path | Mapping[str, str | Path]) -> Sample:
        """A file read and preprocessed as the run's own data were."""
        from mdx.data.batches.loading import load_file

        columns = self.settings.data.image
        files = dict(file) if isinstance(file, Mapping) else {columns[0]: file}
        if set(files) != set(columns):
            raise UsageError(f"the run needs {', '.join(columns)}, given: {', '.join(files)}", "give one file for each")
        return load_file({name: Path(files[name]) for name in columns}, self.settings.data, self.task)

    def predict(self, sample: Sample, reference: Reference | None = None) -> Prediction:
        """The prediction for a sample; without a reference, where the task has one, that of the run.

        Raises DataError where a network of the user's is not made for its voxels.
        """
        if self.adapter.own_network is not None:
            self.adapter.own_network.require(sample)
        site = label_of(self.task).reference(self.settings.data) if reference is None else None
        return predict(self.adapter, self.model, sample, Reference(site=site) if site else reference)

    def write(
        self, prediction: Prediction, folder: str | Path, name: str, probabilities: bool = False
    ) -> list[Path]:  # fmt: skip
        """Write what was predicted onto the grid of the file that was read; the paths written."""
        from mdx.data.batches.loading import write_prediction

        return write_prediction(prediction, self.task, Path(folder), name, self.settings.data, probabilities)


def load_run(path: str | Path, device: str | torch.device = "cpu") -> LoadedRun:
    """Load the run at ``path``; its training data need not exist any more, unless the method says it needs them.

    Of a folder of folds it is the ensemble of their runs.

    Raises UsageError if there is no run, DataError if it has not finished training, PluginError without its plugin.
    """
    directory = find_run(path)
    if is_folds(directory):
        from mdx.runs.ensemble import load_folds

        return load_folds(directory, device)
    facts = read_json(directory / "provenance.json")
    plugin = find_plugin(facts["plugin"])
    assert plugin.manifest is not None  # find_plugin returns working plugins only
    variant = plugin.manifest.variants.get(facts["variant"])
    if variant is None and facts["variant"] != plugin.name:
        raise PluginError(f"this {plugin.name} has no variant '{facts['variant']}'", "install the version of the run")
    adapter_type, _ = adapter_types(plugin, variant)
    settings = read_settings(directory, plugin, variant)
    task = task_from(facts["task"])
    # an address such as bids:/study?suffix=T1w,FLAIR names the columns of images, where the settings do not
    settings = replace(settings, data=settings.data.model_copy(update={"image": task.columns}))
    adapter = adapter_type(settings.method)
    reader = own_network_type(plugin)
    adapter.own_network = reader.kept(directory) if reader else None
    model = networks_of(adapter, task)
    tree = load_tree(final_checkpoint(directory))
    _refuse_useless(tree["model"], final_checkpoint(directory))
    adapter.restore(tree["adapter"], model)
    model.load_saved(tree["model"])
    model.to(device)
    if adapter.needs_data:
        from mdx.data.open import open_dataset

        adapter.attach(open_dataset(facts["data"], settings.data, (task.kind,)))
    return LoadedRun(directory, plugin, settings, task, adapter, model)


def _refuse_useless(weights: Mapping[str, torch.Tensor], path: Path) -> None:
    """Raise DataError for networks with a weight that is not finite: they predict nothing, or worse."""
    import torch

    bad = [name for name, w in weights.items() if w.is_floating_point() and not bool(torch.isfinite(w).all())]
    if bad:
        raise DataError(
            f"{len(bad)} of {len(weights)} weights hold NaN or infinity, such as {bad[0]}", "train the run again", path
        )


def read_settings(directory: Path, plugin: Plugin, variant: Variant | None) -> Resolved:
    """The settings of a run of ``variant`` from its config.yaml."""
    from mdx.data.config import DataConfig

    values = read_config_file(directory / "config.yaml")
    values.pop("run.compile", None)  # of an earlier mdx, where it did nothing
    cohorts = plugin.manifest.cohorts if plugin.manifest else ()
    values = taken(plugin, variant, values)  # an earlier mdx wrote those of all variants into every run
    return resolve([("config.yaml", values)], config_type(plugin, variant), DataConfig, cohorts)


def task_from(facts: Mapping[str, Any]) -> Task:
    """The task as provenance.json holds it."""
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in facts.items()}
    values["label_values"] = tuple(tuple(v) for v in facts.get("label_values", ()))
    return Task(**values)
