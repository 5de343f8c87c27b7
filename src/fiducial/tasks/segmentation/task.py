"""Segmentation: which voxels belong to each structure.

What it measures: overlap (Dice, IoU) and boundary agreement (HD95, MASD, NSD) of predicted and reference masks.
Why it matters: volumes, doses and response criteria are computed from the mask.
What it cannot see: whether the reference is right; whether a small missed lesion mattered.
Example: ``[task] kind = "segmentation"``, ``targets = ["nodule"]``.
References: Maier-Hein et al., Metrics reloaded, Nature Methods 2024.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fiducial.errors import LabelError
from fiducial.tasks.labels import Labels

if TYPE_CHECKING:
    import pandas as pd

KIND = "mask"
HEADLINE = "dice"


def labels(cohort: pd.DataFrame, targets: tuple[str, ...]) -> Labels:
    """Background and the targets, in the study's order.

    Raises:
        LabelError: the cohort has no mask at all, or none of a target.
    """
    masks = cohort[(cohort["role"] == "mask") & (cohort["rater"] == "")]
    known = sorted(set(masks["structure"]))
    if not known:
        raise LabelError(
            "the cohort has no masks, so there is nothing to learn from",
            legal="mask rows (role = mask) with a structure",
            action="ingest a folder with labels/ beside images/, or DICOM with RTSTRUCT",
        )
    unknown = [target for target in targets if target not in known]
    if unknown:
        raise LabelError(
            f"no mask of {', '.join(unknown)}", where="study, task.targets", legal=", ".join(known), action="name these"
        )
    return Labels("structures", ("background", *targets))
