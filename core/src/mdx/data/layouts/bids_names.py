"""Names of files in BIDS: entities and suffix, and what sidecars say by the inheritance principle."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdx.data.files.formats import stem

MASKS = ("dseg", "mask", "seg", "roi")
ENTITY = re.compile(r"([a-zA-Z]+)-([A-Za-z0-9+.]+)")


@dataclass(frozen=True)
class BidsName:
    """``sub-01_ses-2_acq-high_T1w.nii.gz``: its path, its entities by key, its suffix ``T1w`` (may be empty)."""

    path: Path
    entities: Mapping[str, str]
    suffix: str

    @property
    def session(self) -> tuple[str, str]:
        """(sub, ses); the second is empty where the study has no sessions."""
        return self.entities.get("sub", ""), self.entities.get("ses", "")


def parse_name(path: Path) -> BidsName | None:
    """The parts of a name; None where it is not made of entities and one suffix at the end.

    ``sub-01_T1w_dseg``, which BIDS does not allow but many write, is a dseg with the entity ``of-T1w``.
    """
    name = path.name[:-5] if path.name.endswith(".json") else stem(path)
    *parts, last = name.split("_")
    if ENTITY.fullmatch(last):
        parts, last = [*parts, last], ""
    of = parts.pop() if last in MASKS and len(parts) > 1 and not ENTITY.fullmatch(parts[-1]) else None
    matches = [ENTITY.fullmatch(part) for part in parts]
    if not matches or not all(matches):
        return None
    entities = {m.group(1): m.group(2) for m in matches if m}
    return BidsName(path, entities | ({"of": of} if of else {}), last)


class Sidecars:
    """The JSON files of a study. A file's facts come from all that apply to it, those in deeper folders winning.

    A sidecar applies to images in its folder or below that have its suffix and all of its entities.

    Args:
        root: folder of the study.
        files: every JSON file in it.
    """

    def __init__(self, root: Path, files: Iterable[Path]) -> None:
        self.root = root
        self.damaged: list[Path] = []
        self._by_folder: dict[Path, list[BidsName]] = defaultdict(list)
        self._read: dict[Path, dict[str, Any]] = {}
        for path in sorted(files):
            name = parse_name(path) or BidsName(path, {}, path.stem)  # T1w.json at the top has no entities
            self._by_folder[path.parent].append(name)

    def facts(self, image: BidsName) -> dict[str, Any]:
        """What the sidecars of ``image`` say."""
        above = [folder for folder in image.path.parents if folder.is_relative_to(self.root)]
        found: dict[str, Any] = {}
        for folder in reversed(above):
            fitting = [
                name
                for name in self._by_folder.get(folder, ())
                if name.suffix == image.suffix and name.entities.items() <= image.entities.items()
            ]
            for name in sorted(fitting, key=lambda n: len(n.entities)):
                found |= self._content(name.path)
        return found

    def _content(self, path: Path) -> dict[str, Any]:
        if path not in self._read:
            try:
                raw = json.loads(path.read_text(encoding="utf-8-sig"))
            except (OSError, ValueError):
                raw = None
            if not isinstance(raw, dict):
                self.damaged.append(path)
            self._read[path] = raw if isinstance(raw, dict) else {}
        return self._read[path]
