"""Weights as a setting of any method: which file or run a network starts from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

SUFFIX = ".safetensors"


class Weights(str):
    """``PATH.safetensors``, or ``RUN:part``, the network ``part`` of a finished run; used through ``run.weights``.

    In a configuration: ``encoder: Weights | None = Field(None, description=...)``. The digest of what it names is part
    of a run's identity, so that a moved file is the same start and a changed one is another. Raises ValueError for
    other texts; whether the file exists is asked when a run is planned.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Weights:
        """Checks the form."""
        path, colon, part = text.rpartition(":")
        if not text.endswith(SUFFIX) and not (colon and path and part.isidentifier()):
            raise ValueError(
                "must be PATH.safetensors, or RUN:part such as runs/first:encoder; of pickled files (.pt, .pth), which "
                "execute what they say when they are read, save the state_dict with safetensors.torch.save_file"
            )
        if path == "timm":
            raise ValueError("names weights of timm, which mdx does not load: give them as PATH.safetensors")
        return super().__new__(cls, text)

    @property
    def part(self) -> str:
        """The network of a run; empty for a file."""
        return "" if self.endswith(SUFFIX) else self.rpartition(":")[2]

    @property
    def path(self) -> Path:
        """The file, or the directory of the run."""
        return Path(self if not self.part else self.rpartition(":")[0]).expanduser()

    @property
    def absolute(self) -> str:
        """The same, whatever the working directory."""
        return f"{self.path.resolve()}{':' if self.part else ''}{self.part}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """A text, checked, and written as a text."""
        return core_schema.no_info_after_validator_function(
            cls, core_schema.str_schema(), serialization=core_schema.plain_serializer_function_ser_schema(str)
        )


def weights_in(settings: BaseModel, prefix: str = "") -> Iterator[tuple[str, Weights]]:
    """The dotted name and value of every setting that names weights."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, Weights):
            yield f"{prefix}{name}", value
        elif isinstance(value, BaseModel):
            yield from weights_in(value, f"{prefix}{name}.")
