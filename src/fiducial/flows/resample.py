"""``fiducial resample``: a label map, or an image, onto the grid of another image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fiducial.records.progress import Progress, silent

SUFFIXES = (".nii", ".nii.gz")


@dataclass(frozen=True)
class LabelVolume:
    """Volume of one value of a label map, before and after; ``change`` is after / before - 1."""

    label: int
    before_ml: float
    after_ml: float
    change: float


@dataclass(frozen=True)
class Resampled:
    """What was written: how, from which grid onto which, what became of each label, and how much lies outside.

    ``outside`` is the share of the new grid's voxels that lie beyond the source; ``labels`` is empty for intensities.
    """

    out: Path
    method: str
    source: str
    grid: str
    labels: tuple[LabelVolume, ...]
    outside: float


def resample(
    source: str | Path,
    like: str | Path,
    out: str | Path,
    *,
    intensities: bool = False,
    progress: Progress = silent,
) -> Resampled:
    """Sample a label map (nearest neighbour) or an image (linear) at another image's voxel centres (`onto_grid`).

    Args:
        source: The file to resample.
        like: The image (a file or a DICOM series) whose grid is wanted.
        out: The NIfTI file to write.
        intensities: Whether the source is an image instead of a label map.
        progress: Called as ``progress(title, n_done, n_total)``.

    Raises:
        InputRefused: a file cannot be read, ``out`` is there already or is no NIfTI, the two do not overlap, or no
            voxel of any label would be left.
    """
    from fiducial.archive import read_image, read_mask, write_nifti
    from fiducial.archive.regrid import onto_grid, volumes_ml
    from fiducial.errors import GeometryError, InputRefused

    out = Path(out)
    if not out.name.lower().endswith(SUFFIXES):
        raise InputRefused(f"the name {out.name}", where=str(out), legal=f"a file that ends in {' or '.join(SUFFIXES)}")
    if out.exists():
        raise InputRefused("a file is already here", where=str(out), action="choose another name; nothing is replaced")
    progress("resampling", 0, 1)
    grid = read_image(like).geometry
    given = read_image(source) if intensities else read_mask(source)
    moved, inside = onto_grid(given, grid, labels=not intensities)
    labels: tuple[LabelVolume, ...] = ()
    if not intensities:
        before, after = volumes_ml(given), volumes_ml(moved)
        labels = tuple(_volume(v, ml, after.get(v, 0.0)) for v, ml in before.items())
        if before and not after:
            raise GeometryError(
                f"no voxel of {len(before)} label(s) lies at a voxel centre of {grid.describe()}",
                where=str(source),
                action="check that both are of one examination, or give an image of finer voxels",
            )
    write_nifti(moved, out)
    progress("resampling", 1, 1)
    method = "linear" if intensities else "nearest neighbour"
    return Resampled(out, method, given.geometry.describe(), grid.describe(), labels, float(1 - inside.mean()))


def _volume(label: int, before_ml: float, after_ml: float) -> LabelVolume:
    return LabelVolume(label, round(before_ml, 6), round(after_ml, 6), round(after_ml / before_ml - 1, 6))
