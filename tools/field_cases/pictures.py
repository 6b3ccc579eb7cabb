"""Situations of plain images: masks as JPEG, turned photographs, inks, planes, polarity, size, palettes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import tifffile
from field_cases import made
from field_cases.bench import Bench, situation
from PIL import Image

TURNED = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90}
"""Orientation tag -> how a viewer's upright image lies in the file."""


def plain(path: Path, site: str, pixels: np.ndarray) -> Path:
    return made.png(path, pixels)


def white(path: Path, mask: np.ndarray) -> Path:
    """A mask of 0 and 255."""
    return made.png(path, mask * 255)


@situation(
    "4", "Masks of two values were saved as JPEG, and others number their objects",
    "core/tests/data/test_mask_values.py::test_a_jpeg_is_no_mask",
    "core/tests/data/test_mask_values.py::test_values_that_saving_or_resizing_smeared_are_found_in_png_too",
    "core/tests/data/test_mask_values.py::test_numbers_of_objects_are_no_classes",
)  # fmt: skip
def values_that_are_no_classes(bench: Bench) -> None:
    def lossy(path: Path, mask: np.ndarray) -> Path:
        path = path.with_name(f"{path.name}.jpg")
        Image.fromarray(mask * 255).save(path)
        return path

    count = iter(range(3, 99, 3))

    def numbered(path: Path, mask: np.ndarray) -> Path:
        n = next(count)
        objects = np.zeros_like(mask)
        objects.ravel()[:: mask.size // n] = 1
        return made.png(path, (np.cumsum(objects).reshape(mask.shape) * objects).astype(np.uint8))

    for name, write in (("jpeg", lossy), ("cells", numbered)):
        (bench.place / name).mkdir()
        made.pictures(bench.place / name, plain, write)
    bench.refused(bench.mdx("data check jpeg/t.csv"), 4, "a JPEG cannot hold labels", ": 8 errors")
    bench.refused(bench.mdx("data check cells/t.csv"), 4, "the masks number objects, 1 to")
    bench.went(bench.mdx("data check cells/t.csv --set data.classes=foreground"), "0 errors")


@situation(
    "7", "Photographs are stored turned, with an orientation tag of 3 or 6",
    "core/tests/data/test_meaning_of_pixels.py::test_an_image_is_read_as_a_viewer_shows_it",
)  # fmt: skip
def turned_photographs(bench: Bench) -> None:
    from mdx.data.files.images import read_image

    def photograph(path: Path, site: str, pixels: np.ndarray, tag: int = 3) -> Path:
        path = path.with_name(f"{path.name}.jpg")
        exif = Image.Exif()
        exif[274] = tag if site == "B" else 1
        upright = Image.fromarray(pixels)
        (upright.transpose(TURNED[tag]) if site == "B" else upright).save(path, quality=95, exif=exif)
        return path

    for tag in TURNED:
        folder = bench.place / f"tag{tag}"
        folder.mkdir()
        made.pictures(folder, partial(photograph, tag=tag), white)
        bench.went(bench.mdx(f"data check {folder.name}/t.csv"), "8 cases, 16 files: 0 errors")
        r = made.alike(np.moveaxis(read_image(folder / "B0.jpg")[0], 0, -1), made.disc(4)[0])
        bench.must(f"tag {tag}: what is read lies on its mask (r {r:.2f} with the upright image)", r > 0.9)


@situation(
    "8", "One site's pictures are CMYK TIFF",
    "core/tests/data/test_meaning_of_pixels.py::test_inks_become_the_colours_that_they_print",
)  # fmt: skip
def inks(bench: Bench) -> None:
    from mdx.data.files.images import read_image

    def print_shop(path: Path, site: str, pixels: np.ndarray) -> Path:
        path = path.with_name(f"{path.name}.tif")
        picture = Image.fromarray(pixels)
        (picture.convert("CMYK") if site == "B" else picture).save(path)
        return path

    made.pictures(bench.place, print_shop, white)
    bench.went(bench.mdx("data check t.csv"), "8 cases, 16 files: 0 errors")
    found = np.moveaxis(read_image(bench.place / "B0.tif")[0], 0, -1).astype(int)
    farthest = int(np.abs(found - made.disc(4)[0]).max())
    bench.must(f"the colours are those that the inks print (farthest apart: {farthest} of 255)", farthest <= 1)


@situation(
    "9", "TIFF in separate planes, with white as 0, or with 16 bits a colour, each packed with LZW",
    "core/tests/data/test_meaning_of_pixels.py::test_colours_of_a_tiff_are_the_same_however_it_is_packed",
    "core/tests/data/test_meaning_of_pixels.py::test_white_stored_as_zero_is_inverted_however_it_is_packed",
)  # fmt: skip
def planes_and_polarity(bench: Bench) -> None:
    from mdx.data.files.images import read_image

    colour = made.disc(0)[0]
    deep = colour.astype(np.uint16) * 201
    grey = colour[..., 0]
    files = {
        "planes": (np.moveaxis(colour, -1, 0), {"photometric": "rgb", "planarconfig": "separate"}, colour),
        "deep": (deep, {"photometric": "rgb"}, deep),
        "white0": (deep[..., 0], {"photometric": "miniswhite"}, 65535 - deep[..., 0]),
        "white0_8": (grey, {"photometric": "miniswhite"}, 255 - grey),
    }  # fmt: skip
    for name, (stored, options, meant) in files.items():
        path = bench.place / f"{name}.tif"
        tifffile.imwrite(path, stored, compression="lzw", **options)
        found = read_image(path)[0]
        bench.must(f"{name}: every value is the one meant", np.array_equal(np.moveaxis(found, 0, -1).squeeze(), meant))
        made.table(bench.place / f"{name}.csv", ["image", "subject", "site"], [[path.name, "a", "A"]])
        bench.went(bench.mdx(f"data check {name}.csv"), "1 cases, 1 files: 0 errors")


@situation(
    "14", "A picture has over 179 million pixels",
    "core/tests/data/test_odd_files.py::test_one_odd_file_does_not_end_the_check_of_the_others",
    "core/tests/data/test_odd_files.py::test_the_limit_of_a_file_can_be_set",
)  # fmt: skip
def huge_pictures(bench: Bench) -> None:
    rows = []
    for name, edge in (("slide", 13_500), ("bomb", 17_000), ("small", 64)):
        Image.new("1", (edge, edge), 1).save(bench.place / f"{name}.png")
        rows.append([f"{name}.png", name, "AB"[len(rows) % 2]])
    made.table(bench.place / "t.csv", ["image", "subject", "site"], rows)
    call = bench.mdx("data check t.csv")
    bench.refused(call, 4, "bomb.png: claims 17000 x 17000", "3 cases, 3 files: 1 errors")
    bench.must("182 million pixels are read", "slide.png: " not in call.text)


@situation(
    "18", "Masks are PNG with a palette",
    "core/tests/data/test_meaning_of_pixels.py::test_a_palette_is_colour_in_an_image_and_labels_in_a_mask",
)  # fmt: skip
def palettes(bench: Bench) -> None:
    from mdx.data.files.images import read_mask

    def indexed(path: Path, mask: np.ndarray) -> Path:
        path = path.with_name(f"{path.name}.png")
        picture = Image.frombytes("P", mask.shape[::-1], mask.tobytes())
        picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0] + [0] * 759)
        picture.save(path)
        return path

    made.pictures(bench.place, plain, indexed)
    bench.went(bench.mdx("data check t.csv"), "8 cases, 16 files: 0 errors")
    bench.must("the labels are the palette's numbers",
               np.array_equal(read_mask(bench.place / "A0_mask.png")[0], made.disc(0)[1]))  # fmt: skip
