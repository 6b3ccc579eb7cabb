"""What a prepared case was made from, so that a command given again does only what is missing and says why."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mdx.data.files.formats import no_such_file
from mdx.errors import DataError
from mdx.files import file_state, folder_and_part
from mdx_prepare.case import CaseFiles
from mdx_prepare.config import PrepareConfig

VERSION = 3
"""Of the steps: results of another version are made again."""
CHUNK = 1 << 20


@dataclass(frozen=True)
class Origin:
    """The files and settings that decide what becomes of a case.

    Attributes:
        files: what each is in words (``image t1``, ``mask lesion``, ``brain mask``, ``template``) -> where it lies.
        settings: of the preparation, without paths.
    """

    files: Mapping[str, Path]
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, case: CaseFiles, config: PrepareConfig) -> Origin:
        """Raises DataError for a case without the brain mask that the settings ask for, and for a missing file."""
        if config.mask_column is not None and case.brain is None:
            raise DataError(f"has no brain mask in the column '{config.mask_column}'", "fill the cell", case.id)
        named = {("image", k): v for k, v in case.images.items()} | {("mask", k): v for k, v in case.labels.items()}
        files = {kind if kind == name else f"{kind} {name}": path for (kind, name), path in named.items()}
        if case.brain is not None:
            files["brain mask"] = case.brain
        if config.template is not None:
            files["template"] = config.template
        for path in files.values():
            if not path.exists() and folder_and_part(path) is None:
                raise no_such_file(path)
        settings = json.loads(json.dumps({k: v for k, v in asdict(config).items() if k != "template"}))
        return cls(files, settings)

    def record(self) -> dict[str, Any]:
        """Plain values to hold another origin against; it reads every file once."""
        return {
            "version": VERSION,
            "settings": dict(self.settings),
            "files": {what: {"state": list(file_state(path)), "content": content_of(path)}
                      for what, path in self.files.items()},
        }  # fmt: skip

    def changed_since(self, record: Mapping[str, Any]) -> list[str]:
        """In words what differs from ``record``; a file is read only if its size or time is another one."""
        if record["version"] != VERSION:
            return ["mdx prepares in another way now"]
        before, now = record["settings"], self.settings
        words = [f"{k} was {before.get(k)!r} and is {now[k]!r}" for k in now if now[k] != before.get(k)]
        for what in dict.fromkeys([*record["files"], *self.files]):
            if what not in self.files:
                words.append(f"there is no {what} any more")
            elif what not in record["files"]:
                words.append(f"the {what} is new")
            else:
                known, path = record["files"][what], self.files[what]
                if list(file_state(path)) != known["state"] and content_of(path) != known["content"]:
                    words.append(f"the {what} is another one")
        return words


def content_of(path: Path) -> str:
    """A hash of what is in a file, of both files of a pair (``.hdr`` and ``.img``), or of the files in a folder."""
    inside = folder_and_part(path)
    if inside is not None:
        members = sorted(Path(entry.path) for entry in os.scandir(inside[0]) if entry.is_file())
    else:
        members = sorted({path, *(q for s in (".hdr", ".img") if (q := path.with_suffix(s)).is_file()
                                  and path.suffix.lower() in (".hdr", ".img"))})  # fmt: skip
    digest = hashlib.sha256(str(inside and inside[1]).encode())
    for member in members:
        digest.update(member.name.encode() if len(members) > 1 else b"")
        with member.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
    return digest.hexdigest()
