"""The networks of a method, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from mdx.errors import PluginError


class Model(nn.ModuleDict):
    """Named networks: ``Model(encoder=..., head=...)``, then ``model.encoder`` and ``model["encoder"]``.

    Raises PluginError for a name that ``nn.ModuleDict`` cannot hold, such as ``keys`` or ``a.b``.
    """

    def __init__(self, modules: Mapping[str, nn.Module] | None = None, **named: nn.Module) -> None:
        super().__init__()
        self._waiting: dict[str, Tensor] = {}
        for name, module in {**(modules or {}), **named}.items():
            self[name] = module

    def __setitem__(self, key: str, module: nn.Module) -> None:
        if not key.isidentifier() or hasattr(nn.ModuleDict, key) or (hasattr(self, key) and key not in self):
            raise PluginError(
                f"a network cannot be named '{key}'",
                "use a Python name that torch.nn.ModuleDict does not use itself, such as 'encoder' or 'site_head'",
            )
        super().__setitem__(key, module)
        self._take_waiting(key, module)

    def load_saved(self, weights: Mapping[str, Tensor]) -> None:
        """Load a saved ``state_dict``; weights of networks that do not exist yet are given to them when they are added.

        Raises PluginError if a saved network does not fit the one that exists.
        """
        self._waiting = dict(weights)
        for name, module in self.items():
            self._take_waiting(name, module)

    def _take_waiting(self, name: str, module: nn.Module) -> None:
        prefix = f"{name}."
        mine = {k: v for k, v in self._waiting.items() if k.startswith(prefix)}
        if not mine:
            return
        self._waiting = {k: v for k, v in self._waiting.items() if k not in mine}
        try:
            module.load_state_dict({k.removeprefix(prefix): v for k, v in mine.items()})
        except RuntimeError as error:
            raise PluginError(
                f"the saved weights do not fit the network '{name}': {' '.join(str(error).split())[:300]}",
                "build() and restore() must make the networks that the run was trained with",
            ) from error

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def forward(self, *_: object) -> None:
        """A model has no forward of its own: call one of its networks."""
        raise PluginError("a Model is not called itself", "call one of its networks, as in model.encoder(x)")
