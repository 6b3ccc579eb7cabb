"""The template that heads are registered to: a brain without its skull, and where its white matter is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813 (the name that its own pages use)

from mdx.errors import DataError, ResourceError
from mdx_prepare.volumes import array_of, like, read_scan, to_itk

ICBM152 = "ICBM152 2009a symmetric"
SURE_WHITE_MATTER = 0.9
BRAIN_ML = (400.0, 2600.0)


@dataclass(frozen=True, eq=False)  # told apart by identity: images have no hash
class Template:
    """A skull-stripped T1 in its own grid.

    Attributes:
        name: what the records call it.
        form_code: the NIfTI code of images that lie in its space: 4 for MNI152, 2 for any other.
        t1: intensities, 0 outside the brain.
        brain: 1 in the brain with its fluid, 0 elsewhere.
        white_matter: 1 where it is surely white matter.
    """

    name: str
    form_code: int
    t1: sitk.Image
    brain: sitk.Image
    white_matter: sitk.Image

    @property
    def brain_ml(self) -> float:
        """Volume of the template's brain."""
        return float(array_of(self.brain).sum() * np.prod(self.brain.GetSpacing()) / 1000)


@lru_cache(maxsize=1)
def load_template(path: Path | None) -> Template:
    """ICBM152, or the skull-stripped T1 of a file.

    White matter of ICBM152: the packaged map above 0.9. Of another file: the brightest of three classes (Otsu) within
    its brain, which is everything above 0. Raises DataError for a file that is no skull-stripped brain.
    """
    if path is None:
        (t1, wm), affine = packaged_maps("t1", "wm")
        image, white = to_itk(t1, affine), to_itk((wm > SURE_WHITE_MATTER).astype(np.uint8), affine)
        return Template(ICBM152, 4, image, _filled(image), white)
    image, _ = read_scan(path)
    brain = _filled(image)
    template = Template(path.name, 2, image, brain, _brightest(image, brain))
    if not BRAIN_ML[0] <= template.brain_ml <= BRAIN_ML[1]:
        raise DataError(
            f"is no skull-stripped brain: {template.brain_ml:.0f} ml lie above 0",
            "give a template whose values are 0 outside the brain",
            path,
        )
    return template


def packaged_maps(*kinds: str) -> tuple[list[np.ndarray], np.ndarray]:
    """Maps of ICBM152 in 0..1 with their affine, as they lie in nilearn's wheel; nilearn itself is not imported."""
    import nibabel

    spec = find_spec("nilearn")
    folders = list(spec.submodule_search_locations or []) if spec else []
    maps, affine = [], np.eye(4)
    for kind in kinds:
        name = f"mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz"
        path = next((p for f in folders if (p := Path(f, "datasets", "data", name)).is_file()), None)
        if path is None:
            raise ResourceError(f"nilearn does not carry {name}", "reinstall nilearn (>= 0.13), or give --template")
        image = nibabel.load(path)
        maps.append(np.asarray(image.dataobj, dtype=np.float32) / 255)  # type: ignore[attr-defined]
        affine = np.asarray(image.affine)  # type: ignore[attr-defined]
    return maps, affine


def _filled(image: sitk.Image) -> sitk.Image:
    return sitk.BinaryFillhole(sitk.Greater(image, 0.0), fullyConnected=False)


def _brightest(image: sitk.Image, brain: sitk.Image) -> sitk.Image:
    """The upper of three classes of the values within ``brain``."""
    values, inside = array_of(image), array_of(brain) > 0
    line = sitk.GetImageFromArray(values[inside][None, None])  # thresholds of the brain alone: the air is no class
    found = sitk.OtsuMultipleThresholdsImageFilter()
    found.SetNumberOfThresholds(2)
    found.Execute(line)
    return like((inside & (values > found.GetThresholds()[1])).astype(np.uint8), image)
