"""Files as accidents and attacks leave them: cut off, flipped bits, claims of too much, bombs, and no files at all."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import tifffile
from PIL import Image

CUBE = np.arange(6 * 7 * 8, dtype=np.int16).reshape(6, 7, 8)


def nifti_bytes(**fields: tuple[int, str, tuple[float, ...]]) -> bytes:
    """A small volume; ``name=(offset, struct format, values)`` overwrites bytes of its header."""
    content = bytearray(nib.Nifti1Image(CUBE, np.eye(4)).to_bytes())
    for offset, kind, values in fields.values():
        struct.pack_into(f"<{kind}", content, offset, *values)
    return bytes(content)


ODD_HEADERS: dict[str, bytes] = {
    "unknown type": nifti_bytes(type=(70, "h", (7,))),
    "type 26996": nifti_bytes(type=(70, "h", (26996,))),
    "type 0": nifti_bytes(type=(70, "h", (0,))),
    "nine axes": nifti_bytes(axes=(40, "h", (9,))),
    "no axes": nifti_bytes(axes=(40, "h", (0,))),
    "negative edge": nifti_bytes(edge=(42, "h", (-24,))),
    "32767 cubed": nifti_bytes(edges=(42, "3h", (32767,) * 3)),
    "900 cubed": nifti_bytes(edges=(42, "3h", (900,) * 3)),
    "no frames": nifti_bytes(axes=(40, "5h", (4, 6, 7, 8, 0))),
    "slope with NaN": nifti_bytes(slope=(112, "2f", (2.0, float("nan")))),
    "slope with inf": nifti_bytes(slope=(112, "2f", (2.0, float("inf")))),
    "offset NaN": nifti_bytes(offset=(108, "f", (float("nan"),))),
    "offset huge": nifti_bytes(offset=(108, "f", (1e9,))),
    "offset negative": nifti_bytes(offset=(108, "f", (-16.0,))),
    "no magic": nifti_bytes(magic=(344, "4s", (b"\0\0\0\0",))),  # type: ignore[arg-type]
    "magic of a pair": nifti_bytes(magic=(344, "4s", (b"ni1\0",))),  # type: ignore[arg-type]
    "size 999": nifti_bytes(size=(0, "i", (999,))),
    "only a header": nifti_bytes()[:348],
    "cut": nifti_bytes()[:500],
    "a web page": b"<!DOCTYPE html><html>404</html>" * 20,
}


def bombs(folder: Path) -> Iterator[Path]:
    """Small files that claim or unpack to much more than memory should be given for them."""
    nifti2 = bytearray(nib.Nifti2Image(CUBE, np.eye(4)).to_bytes()[:544])
    struct.pack_into("<5q", nifti2, 16, 4, 6, 7, 8, 1 << 40)
    yield _write(folder / "channels.nii", bytes(nifti2))
    # a valid small volume with 300 MB of zeros behind it, in 300 kB
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(nifti_bytes())]
    parts += [packer.compress(bytes(1 << 20)) for _ in range(300)]
    yield _write(folder / "behind.nii.gz", b"".join([*parts, packer.flush()]))
    yield _write(folder / "claims.nii.gz", gzip.compress(ODD_HEADERS["32767 cubed"]))
    strip = zlib.compress(bytes(30_000 * 1000), 9)
    tifffile.imwrite(folder / "wide.tif", shape=(30_000, 30_000), dtype=np.uint8, compression="zlib",
                     data=(strip for _ in range(30)), rowsperstrip=1000)  # fmt: skip
    yield folder / "wide.tif"
    Image.new("1", (17_000, 17_000)).save(folder / "wide.png")
    yield folder / "wide.png"


def no_files(folder: Path) -> Iterator[Path]:
    """Paths that can be opened and never end."""
    os.mkfifo(folder / "pipe.nii.gz")
    yield folder / "pipe.nii.gz"
    (folder / "endless.nii").symlink_to("/dev/zero")
    yield folder / "endless.nii"
    (folder / "endless.png").symlink_to("/dev/zero")
    yield folder / "endless.png"


def damaged_copies(path: Path, folder: Path, seed: int, count: int) -> Iterator[Path]:
    """``count`` copies of a file, each cut off or with some bits flipped, mostly near its start."""
    rng = np.random.default_rng(seed)
    content = path.read_bytes()
    suffix = "".join(path.suffixes)
    for i in range(count):
        broken = bytearray(content)
        if i % 3 == 0:
            broken = broken[: rng.integers(0, len(broken))]
        else:
            reach = min(len(broken), 400) if i % 3 == 1 else len(broken)
            for at in rng.integers(0, reach, rng.integers(1, 6)):
                broken[at] ^= 1 << rng.integers(0, 8)
        yield _write(folder / f"{path.name.split('.')[0]}-{seed}-{i}{suffix}", bytes(broken))


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
