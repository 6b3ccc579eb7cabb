"""The designs by name: each module has ``visits``, ``Visit``, ``simulate``, ``row`` and ``VERSION``."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from mdx_sim import age, brain, ms, travelling

DESIGNS: Mapping[str, ModuleType] = {"brain": brain, "travelling": travelling, "age": age, "ms": ms}
