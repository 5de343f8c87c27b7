"""Leaks that an audit must know of: inside the cohort, and between it and what the model was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from fiducial.cohort import Leak

LEARNED_FROM = ("train", "validation")


def leaks_of(cohort: pd.DataFrame, folder: Path, record: dict[str, Any]) -> list[Leak]:
    """Leaks between the parts of a cohort and, if a model of another folder predicted it, with that model's own images.

    Between two cohorts only images are compared, not subjects: two cohorts may call two people ``case_1``.
    """
    from fiducial.cohort import find_leaks
    from fiducial.records.tables import COHORT, read_table

    found = find_leaks(cohort)
    learned_from = (folder / str(record.get("run_folder", "."))).resolve() / "cohort.parquet"
    if "run_folder" not in record or not learned_from.is_file():
        return found
    learned = read_table(learned_from, COHORT)
    learned = learned[learned["split"].isin(LEARNED_FROM)]
    return found if _has_parts(cohort) else found + _across(learned, cohort)


def _has_parts(cohort: pd.DataFrame) -> bool:
    """Whether the cohort carries the run's own split: then its parts were compared already."""
    return bool(cohort["split"].isin(LEARNED_FROM).any())


def _across(learned: pd.DataFrame, cohort: pd.DataFrame) -> list[Leak]:
    """Images of a cohort that are exact or near copies of images that a model learned from."""
    import pandas as pd

    from fiducial.cohort import find_leaks

    # Ids are made distinct, because two cohorts may use one id for two images.
    theirs = learned.assign(image="learned from: " + learned["image"])
    ours = cohort.assign(split="test")
    return [leak for leak in find_leaks(pd.concat([theirs, ours], ignore_index=True)) if leak.kind != "subject"]
