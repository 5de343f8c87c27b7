"""Small pictures of a cohort's images, for pages that a person skims."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial.records.progress import Progress

if TYPE_CHECKING:
    from fiducial.predict.drawing import Window
    from fiducial.records.image import Image
    from fiducial.records.picture import Picture

SHOWN = ("image", "path", "modality", "spacing_source", "frames", "frame_time_ms", "window_center", "window_width")
"""Columns of the cohort that a thumbnail and its caption are made from; only pictures have the later ones."""
LEAST_SHOWN = 0.05
"""A stated window inside which less of the image lies says nothing of it."""
WIDTH = 260
"""Width in pixels."""


def draw_thumbnails(
    rows: Sequence[Mapping[str, Any]],
    folder: Path,
    *,
    said: Mapping[str, str] | None = None,
    workers: int,
    progress: Progress,
) -> tuple[dict[str, Picture], list[str]]:
    """A picture of each cohort row (columns `SHOWN`), by image, and the images that could not be drawn.

    The caption is the size and spacing, or what ``said`` holds for the image.
    """
    from fiducial.compute import map_cases

    jobs = {
        str(row["image"]): {**row, "path": _place(str(row["path"]), folder), "said": (said or {}).get(row["image"], "")}
        for row in rows
    }
    drawn = map_cases(_thumbnail, jobs, workers=workers, progress=progress, title="thumbnails")
    return dict(drawn.results), [failure.key for failure in drawn.failures]


def _size(image: Image, row: dict[str, Any]) -> str:
    """How many voxels of which size; of a picture, what its size is a measure of; of a film, its pace."""
    x, y, z = image.geometry.shape
    spacing = " x ".join(f"{mm:.3g}" for mm in image.geometry.spacing_mm)
    source = row.get("spacing_source") or ""
    if not source or row.get("frames") == "slices":
        return f"{x} x {y} x {z} voxels of {spacing} mm."
    size = "size unknown" if source == "unknown" else f"{spacing.rpartition(' x ')[0]} mm ({source.replace('_', ' ')})"
    step = row.get("frame_time_ms")
    pace = f" every {step:.4g} ms" if step is not None and not math.isnan(step) else ""
    film = f"; {z} frames{pace}, shown: middle, first and last" if z > 1 else ""
    return f"{x} x {y} pixels, {size}{film}."


def _stated_window(image: Image, row: dict[str, Any]) -> Window | None:
    """The window that the header states, if it shows anything of the image."""
    import numpy as np

    from fiducial.predict.drawing import Window

    center, width = row.get("window_center"), row.get("window_width")
    if center is None or width is None or not width > 0 or image.array.shape[0] != 1:
        return None
    low, high = center - width / 2, center + width / 2
    shown = float(np.mean((image.array > low) & (image.array < high)))
    return Window(low, high, f"Window {low:.4g} to {high:.4g}, as stated.") if shown > LEAST_SHOWN else None


def _place(path: str, folder: Path) -> str:
    return path if Path(path).is_absolute() else str(folder / path)


def _thumbnail(row: dict[str, Any]) -> Picture:
    """Three planes of a volume, a picture itself or frames of a film, made small and of few greys."""
    from io import BytesIO

    from PIL import Image as Picture8

    from fiducial.archive import read_image
    from fiducial.predict.pictures import score_picture
    from fiducial.records.picture import Picture

    image = read_image(row["path"], modality=row["modality"])
    said = row["said"] or _size(image, row)
    whole = score_picture(row["image"], image, kind="typical", said=said, window=_stated_window(image, row))
    with Picture8.open(BytesIO(whole.png)) as large:
        small = large.convert("RGB")
    small.thumbnail((WIDTH, WIDTH))
    packed = BytesIO()
    small.quantize(48).save(packed, "PNG", optimize=True)
    return Picture(whole.case, whole.caption, packed.getvalue())
