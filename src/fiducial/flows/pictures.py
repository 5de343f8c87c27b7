"""Pictures of the best, typical and worst cases of an audit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fiducial.errors import LabelError
from fiducial.records.progress import Progress

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from fiducial.audit.given import AuditInput
    from fiducial.records.image import Image
    from fiducial.records.picture import Picture

Drawer = Callable[[Path, Progress], bool]


@dataclass(frozen=True)
class Files:
    """Where the images of a cohort lie, by image id, and the masks of a structure by the image they belong to."""

    cohort: pd.DataFrame
    folder: Path

    def image(self, name: str) -> Image | None:
        """The image of an id; None where the cohort has none, or its file is gone."""
        from fiducial.archive import read_image

        rows = self.cohort[(self.cohort["image"] == name) & (self.cohort["role"] == "image")]
        if not len(rows) or not self._there(rows.iloc[0]["path"]):
            return None
        return read_image(self._place(rows.iloc[0]["path"]), modality=rows.iloc[0]["modality"])

    def region(self, name: str, structure: str) -> NDArray[np.bool_] | None:
        """The mask [x, y, z] of a structure of an image, or None."""
        from fiducial.archive import read_mask

        masks = self.cohort[(self.cohort["of"] == name) & (self.cohort["structure"] == structure)]
        if not len(masks) or not self._there(masks.iloc[0]["path"]):
            return None
        mask = read_mask(self._place(masks.iloc[0]["path"]), label=int(masks.iloc[0]["mask_value"])).array
        inside: NDArray[np.bool_] = mask[0].astype(bool)
        return inside

    def _place(self, path: str) -> str:
        return path if Path(path).is_absolute() else str(self.folder / path)

    def _there(self, path: str) -> bool:
        return Path(self._place(path).split("#")[0]).is_file()


def drawer(given: AuditInput, predictions: pd.DataFrame, base: Path, files: Files | None) -> Drawer:
    """A function that draws an audit's cases into a folder and says whether there was anything to draw.

    Args:
        given: what is audited; only its audited part is shown.
        predictions: the Predictions table with its columns ``label`` and ``truth_label``.
        base: the folder that relative payloads start from.
        files: where the images lie; None draws outlines of masks only.
    """

    def draw(folder: Path, progress: Progress) -> bool:
        from fiducial.records.picture import write_pictures

        progress("pictures", 0, 1)
        pictures = _pictures(given, predictions, base, files)
        if pictures:
            write_pictures(pictures, folder)
        progress("pictures", 1, 1)
        return bool(pictures)

    return draw


def _pictures(given: AuditInput, predictions: pd.DataFrame, base: Path, files: Files | None) -> tuple[Picture, ...]:
    """Masks where there are measured cases, else scores of the first target; none where nothing has a truth."""
    from fiducial.predict.pictures import draw_masks, draw_scores

    load = files.image if files else None
    shown = _audited(predictions)
    try:
        if len(given.cases):
            return draw_masks(_audited(given.cases), shown, base=base, load=load)
        if load is None or files is None:
            return ()
        region = given.study.task.region if given.study is not None else None
        focus = (lambda name: files.region(name, region.mask)) if region else None
        return draw_scores(shown, str(shown["target"].iloc[0]), load=load, focus=focus)
    except LabelError:
        # Nothing to order cases by: an audit without pictures is still an audit.
        return ()


def _audited(rows: pd.DataFrame) -> pd.DataFrame:
    """The test part where there is one."""
    return rows[rows["split"] == "test"] if "test" in set(rows["split"]) else rows
