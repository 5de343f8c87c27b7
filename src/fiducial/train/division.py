"""A study's division of its cohort, and the answer to its leaks. Needs no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fiducial.cohort import drop_leaks, find_leaks, split_cohort
from fiducial.errors import LeakError
from fiducial.study import Study, with_bands

if TYPE_CHECKING:
    import pandas as pd


N_NOTED = 50


def split_study(study: Study, cohort: pd.DataFrame) -> pd.DataFrame:
    """Split as the study says; the mix of a classification's classes is kept alike in all parts."""
    labels = study.task.targets if study.task.kind == "classification" else ()
    rule = study.data.split.model_copy(update={"folds": max(study.train.folds, study.data.split.folds)})
    return split_cohort(with_bands(cohort, study.data.bands), rule, labels=labels)


def frozen_split(study: Study, cohort: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Split a cohort as the study says, and answer its leaks.

    Raises:
        LeakError: leaks were found and the study refuses them; the message names the first pairs.
    """
    cohort = split_study(study, cohort)
    leaks = find_leaks(cohort)
    if not leaks:
        return cohort, []
    pairs = [f"{k.kind}: {k.image_a} ({k.split_a}) and {k.image_b} ({k.split_b})" for k in leaks]
    if study.data.on_leak == "refuse":
        shown = "\n    ".join(pairs[:10]) + (f"\n    and {len(pairs) - 10} more" if len(pairs) > 10 else "")
        raise LeakError(
            f"{len(leaks)} pair(s) stand in two splits:\n    {shown}",
            where=str(study.source),
            action='mend the split, or say on_leak = "drop" under [data] to remove them from the earlier split',
        )
    cohort, dropped = drop_leaks(cohort, leaks)
    return cohort, [f"dropped {len(dropped)} images that leaked between splits", *pairs[:N_NOTED]]
