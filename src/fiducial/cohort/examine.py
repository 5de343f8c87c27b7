"""One case read once: its images, and its masks on their grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from fiducial.cohort.looks import image_looks
from fiducial.errors import FiducialError, GeometryError, InputRefused, UnreadableFile, VoxelError
from fiducial.records.files import sha256_file
from fiducial.records.image import Geometry

MAX_STRUCTURES = 64
SEGMENTATION = ".seg.nrrd"
CODES: dict[type[FiducialError], str] = {GeometryError: "grid-differs", VoxelError: "voxels-not-finite"}


@dataclass(frozen=True)
class CaseFiles:
    """What a layout found for one case.

    ``images`` are co-registered: image id to (path, modality). ``masks`` are label maps on their grid, ``raters`` those
    that single raters drew, by name. ``columns`` hold what the layout itself says (split, a label).
    """

    case: str
    images: Mapping[str, tuple[str, str]]
    masks: tuple[str, ...] = ()
    subject: str = ""
    columns: Mapping[str, str | int] = field(default_factory=dict)
    raters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class MaskLooks:
    """A label map: its file's digest and, by value, the volume in ml; ``rater`` empty for the reference.

    ``names`` are those that the file itself gives to its values (a segmentation's); None where it gives none.
    """

    path: str
    sha256: str
    volumes_ml: dict[int, float]
    rater: str = ""
    names: dict[int, str] | None = None


@dataclass(frozen=True)
class Refusal:
    """Why a case, or a mask of it, was set aside: a stable code, what was found and what a person can do."""

    path: str
    code: str
    found: str
    action: str

    @property
    def reason(self) -> str:
        """Code and finding in one line."""
        return f"{self.code}: {self.found}"


@dataclass(frozen=True)
class Examined:
    """A case as it was found: columns of each image by id, and its masks; or the refusal of the whole case."""

    images: dict[str, dict[str, str]] = field(default_factory=dict)
    masks: tuple[MaskLooks, ...] = ()
    refusal: Refusal | None = None
    refused_masks: tuple[Refusal, ...] = ()
    refused_raters: tuple[Refusal, ...] = ()


def examine(case: CaseFiles) -> Examined:
    """Read a case's files; what is wrong with them is returned, not raised.

    The whole case is set aside where an image cannot be read or holds NaN or infinite voxels, where two of its
    images differ in grid, or where a mask does not lie on their grid: such a pair is wrong in a way that nobody can
    see later. A mask that is no map of structures (too many values), and whatever is wrong with the mask of a single
    rater, is set aside alone.
    """
    path = ""
    first = next(iter(case.images.values()))[0] if case.images else ""
    try:
        images: dict[str, dict[str, str]] = {}
        reference: Geometry | None = None
        for image, (path, modality) in case.images.items():
            columns, geometry = _image(path, modality)
            if reference is not None:
                reference.require_match(geometry, action=_mend(path, first, intensities=True))
            reference = reference or geometry
            images[image] = columns
        masks: list[MaskLooks] = []
        refused: list[Refusal] = []
        for path in case.masks:
            for looks in _masks(path, reference, first):
                if isinstance(looks, Refusal):
                    refused.append(looks)
                else:
                    masks.append(looks)
    except InputRefused as error:
        return Examined(refusal=_refusal(path, error))
    refused_raters: list[Refusal] = []
    for rater, path in case.raters.items():
        try:
            found = _masks(path, reference, first)
        except InputRefused as error:
            found = [_refusal(path, error)]
        refused_raters += [looks for looks in found if isinstance(looks, Refusal)]
        masks += [replace(looks, rater=rater) for looks in found if isinstance(looks, MaskLooks)]
    return Examined(images, tuple(masks), None, tuple(refused), tuple(refused_raters))


def _image(path: str, modality: str) -> tuple[dict[str, str], Geometry]:
    from fiducial.archive import read_image

    image = read_image(path, modality=modality)
    image.require_finite()
    return {**image_looks(image), "modality": image.modality, "unit": image.unit}, image.geometry


def _mend(path: str, image: str, *, intensities: bool = False) -> str:
    """The command that brings a file onto the image's grid."""
    from fiducial.archive.regrid import resample_command

    command = resample_command(path, image, intensities=intensities)
    return f"resample it onto the image's grid: {command} ; then put that file in its place and ingest again"


def _masks(path: str, reference: Geometry | None, image: str) -> list[MaskLooks | Refusal]:
    """What one file holds: a label map, or a segmentation of layers, each a label map with names of its own."""
    from fiducial.archive import read_segments

    segments = read_segments(Path(path)) if path.lower().endswith(SEGMENTATION) else ()
    if not segments:
        return [_mask(path, reference, image)]
    found: list[MaskLooks | Refusal] = []
    for layer in sorted({segment.layer for segment in segments}):
        looks = _mask(f"{path}#{layer}", reference, image)
        if isinstance(looks, MaskLooks):
            unnamed = {value: f"label_{value}" + (f"_of_layer_{layer}" if layer else "") for value in looks.volumes_ml}
            names = unnamed | {segment.value: segment.name for segment in segments if segment.layer == layer}
            looks = replace(looks, names=names)
        found.append(looks)
    return found


def _mask(path: str, reference: Geometry | None, image: str) -> MaskLooks | Refusal:
    from fiducial.archive import read_mask

    mask = read_mask(path)
    mask.require_finite()
    if reference is not None:
        reference.require_match(mask.geometry, action=_mend(path, image))
    values, counts = np.unique(mask.array, return_counts=True)
    if values.size and values.min() < 0:
        raise UnreadableFile("negative-labels: a label map with values below 0", action="write labels as 0, 1, 2 ...")
    if values.size > MAX_STRUCTURES + 1:
        return Refusal(
            path,
            "too-many-structures",
            f"{values.size - 1} different values: an instance map, or an image instead of a mask",
            f"give a label map of at most {MAX_STRUCTURES} structures",
        )
    volume = mask.geometry.voxel_ml
    volumes = {int(v): float(n) * volume for v, n in zip(values, counts, strict=True) if v != 0}
    return MaskLooks(path, sha256_file(path.partition("#")[0]), volumes)


def _refusal(path: str, error: InputRefused) -> Refusal:
    code = CODES.get(type(error), "")
    if not code:
        # The archive's refusals carry their code in front.
        code, _, found = error.given.partition(": ")
        return Refusal(path, code, found, error.action)
    return Refusal(path, code, error.given, error.action)
