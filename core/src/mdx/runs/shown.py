"""What a method has the report show: tables, curves and pictures, plain files of its run directory."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mdx.errors import PluginError
from mdx.files import replacing, write_json
from mdx.runs.folders import read_json

FILE = "shown.json"


class Shown:
    """Writes ``shown.json``, an entry a title in the order in which they were first given. Only rank 0 writes."""

    def __init__(self, directory: Path, writes: bool) -> None:
        self.directory, self.writes = directory, writes

    def table(self, title: str, rows: Sequence[Mapping[str, Any]], text: str) -> None:
        """See ``Run.table``."""
        self._put({"kind": "table", "title": title, "text": text, "rows": [dict(row) for row in rows]})

    def curve(
        self, title: str, x: Sequence[float], series: Mapping[str, Sequence[float]], x_name: str, y_name: str,
        chosen: Mapping[str, float], text: str,
    ) -> None:  # fmt: skip
        """See ``Run.curve``."""
        for name, values in series.items():
            if len(values) != len(x):
                raise PluginError(
                    f"'{title}': {name} has {len(values)} values for {len(x)} points", "give one for each"
                )
        self._put({
            "kind": "curve", "title": title, "text": text, "x": list(x), "x_name": x_name, "y_name": y_name,
            "series": {name: list(values) for name, values in series.items()}, "chosen": dict(chosen),
        })  # fmt: skip

    def picture(self, title: str, images: Mapping[str, Any], text: str) -> None:
        """See ``Run.picture``."""
        pictures = {caption: _pixels(image, title) for caption, image in images.items()}
        if not self.writes:
            return
        from PIL import Image

        stem = f"shown_{re.sub('[^a-z0-9]+', '_', title.lower())[:40]}_{zlib.crc32(title.encode()):08x}"
        files = {caption: f"figures/{stem}_{i}.png" for i, caption in enumerate(pictures)}
        (self.directory / "figures").mkdir(exist_ok=True)
        for caption, pixels in pictures.items():
            with replacing(self.directory / files[caption]) as temporary:
                Image.fromarray(pixels).save(temporary, format="png")
        self._put({"kind": "picture", "title": title, "text": text, "files": files})

    def _put(self, entry: dict[str, Any]) -> None:
        if not self.writes:
            return
        entries = read_shown(self.directory)
        titles = [known["title"] for known in entries]
        if entry["title"] in titles:
            entries[titles.index(entry["title"])] = entry
        else:
            entries.append(entry)
        write_shown(self.directory, entries)


def write_shown(directory: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """Let these be the entries of a directory."""
    write_json(directory / FILE, list(entries))


def read_shown(directory: Path) -> list[dict[str, Any]]:
    """The entries of a run; none where its method shows nothing. Raises DataError for a damaged file."""
    path = directory / FILE
    return read_json(path) if path.exists() else []


def _pixels(image: Any, title: str) -> np.ndarray:
    """(H, W) or (H, W, 3) uint8."""
    values = np.asarray(image.detach().cpu() if hasattr(image, "detach") else image)
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] != 3) or 0 in values.shape:
        raise PluginError(f"'{title}': {values.shape} is no picture", "give (height, width) or (height, width, 3)")
    if values.dtype == np.uint8:
        return values
    return (np.nan_to_num(values.astype(np.float64)).clip(0, 1) * 255).round().astype(np.uint8)
