"""Every optimiser of every method is made here, so that ``--set optimizer.name=...`` works in all of them."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import Optimizer

from mdx.config import OptimizerSettings
from mdx.errors import ConfigError, PluginError, nearest

BUILT_IN: dict[str, type[Optimizer]] = {
    name.lower(): kind
    for name, kind in vars(torch.optim).items()
    if isinstance(kind, type) and issubclass(kind, Optimizer) and kind is not Optimizer
}


def make_optimizer(
    params: Iterable[Any],
    algorithm: str,
    defaults: dict[str, Any],
    settings: OptimizerSettings,
    from_plugins: Callable[..., Optimizer | None],
) -> Optimizer:
    """The optimiser ``algorithm`` with the method's ``defaults``, or what the user's ``settings`` put in its place.

    A group that names its own learning rate keeps it. Raises ConfigError for an unknown name or option, and for a
    learning rate that no group would take.
    """
    name = (settings.name or algorithm).lower()
    chosen = {k: v for k, v in settings.model_dump(exclude={"name"}).items() if v is not None}
    replaced = settings.name is not None and name != algorithm.lower()
    chosen = {key: _number(value) for key, value in chosen.items()}
    options = {**({"lr": defaults["lr"]} if replaced and "lr" in defaults else {} if replaced else defaults), **chosen}
    groups = list(params)
    if settings.lr is not None and groups and all(isinstance(group, dict) and "lr" in group for group in groups):
        raise ConfigError(
            "optimizer.lr has no effect here: the method gives each of its networks a learning rate of its own",
            "set the method's own, such as --set lr=...; 'mdx show PLUGIN' lists them",
        )
    if name in BUILT_IN:
        kind = BUILT_IN[name]
        known = set(inspect.signature(kind.__init__).parameters) - {"self", "params"}
        for key in options:
            if key not in known:
                raise ConfigError(f"the optimiser '{name}' has no option '{key}'", nearest(key, known))
        return kind(groups, **options)
    made = from_plugins(name=name, params=groups, options=options)
    if made is None:
        raise ConfigError(f"there is no optimiser '{name}'", nearest(name, BUILT_IN))
    return made


def take_moments(made: Optimizer, earlier: Optimizer) -> None:
    """Let ``made`` remember what ``earlier`` does of parameters of both. Raises PluginError for another algorithm."""
    if type(made) is not type(earlier):
        raise PluginError(
            f"{type(made).__name__} cannot go on with what {type(earlier).__name__} remembers", "use one algorithm"
        )
    for group in made.param_groups:
        for parameter in group["params"]:
            if earlier.state.get(parameter):
                made.state[parameter] = copy.deepcopy(earlier.state[parameter])


def _number(value: Any) -> Any:
    """Options of ``--set`` arrive as text: numbers, true and false are read as such."""
    if not isinstance(value, str):
        return value
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    try:
        return float(value)
    except ValueError:
        return value
