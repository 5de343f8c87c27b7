"""``fiducial check``: is this cohort, or this study on its cohort, fit to be trained on?"""

from __future__ import annotations

from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial.errors import StudyError
from fiducial.records.progress import Progress, silent

if TYPE_CHECKING:
    import pandas as pd

    from fiducial.study import Study


@dataclass(frozen=True)
class Checked:
    """What a check found.

    ``splits`` counts subjects by part; ``leaks`` are the pairs that stand in two parts, each as a mapping;
    ``description`` are the cohort's tables; ``outliers`` are images that stand out, worst first, with the reasons;
    ``pairs`` are current images with their priors, ``visit_problems`` what does not fit in time. None of these makes a
    cohort unsound; ``sound`` is false where training would be refused.
    """

    source: Path
    cohort: Path
    study: str
    fingerprint: str
    n_subjects: int
    n_images: int
    splits: dict[str, int]
    leaks: tuple[dict[str, Any], ...]
    on_leak: str
    description: dict[str, Any]
    outliers: tuple[dict[str, Any], ...] = ()
    pairs: tuple[dict[str, Any], ...] = ()
    visit_problems: tuple[dict[str, Any], ...] = ()

    @property
    def sound(self) -> bool:
        """Whether training would accept this."""
        return not self.leaks or self.on_leak == "drop"


def check(source: str | Path, *, progress: Progress = silent) -> Checked:
    """Check a cohort folder, or a study file together with its cohort.

    A cohort is checked as it stands: tables, and leaks between the parts that its ``split`` column states. A study
    is also checked against its cohort (labels, classes, groups) and split by its own rule first.

    Raises:
        InputRefused: a table is broken, or the study cannot be served by its cohort. Leaks are returned, not raised.
    """
    from fiducial.cohort import (
        cohort_digest,
        describe,
        find_leaks,
        find_outliers,
        load_cohort,
        pair_visits,
        visit_problems,
    )
    from fiducial.cohort.table import images_of

    source = Path(source)
    study = _study(source)
    folder = study.cohort_folder if study else source
    cohort = load_cohort(folder)
    fingerprint = ""
    if study:
        from fiducial.study import check_against
        from fiducial.train.division import split_study

        check_against(study, cohort)
        fingerprint = study.fingerprint(cohort_digest(cohort))
        cohort = split_study(study, cohort)
    progress("leaks", 0, 1)
    leaks = find_leaks(cohort)
    progress("leaks", 1, 1)
    images = images_of(cohort)
    return Checked(
        source=source,
        cohort=folder,
        study=study.name if study else "",
        fingerprint=fingerprint,
        n_subjects=int(images["subject"].nunique()),
        n_images=len(images),
        splits=subjects_by_split(images),
        leaks=tuple(asdict(leak) for leak in leaks),
        on_leak=study.data.on_leak if study else "refuse",
        description=described(describe(cohort)),
        outliers=tuple(asdict(one) for one in find_outliers(cohort)),
        pairs=tuple(described({"pairs": pair_visits(cohort)})["pairs"]),
        visit_problems=tuple(asdict(problem) for problem in visit_problems(cohort)),
    )


def described(description: Any) -> dict[str, Any]:
    """A cohort's description as titles and tables, each a list of mappings."""
    tables = asdict(description) if is_dataclass(description) and not isinstance(description, type) else description
    return {
        str(title).replace("_", " "): table.reset_index(drop=True).to_dict("records")
        if hasattr(table, "to_dict")
        else table
        for title, table in dict(tables).items()
    }


def _study(source: Path) -> Study | None:
    """The study, where ``source`` is a study file; None for a folder."""
    if source.is_dir():
        return None
    if source.suffix == ".toml":
        from fiducial.study import load_study

        return load_study(source)
    raise StudyError("neither a folder nor a study file", where=str(source), legal="COHORT (a folder) or STUDY.toml")


def subjects_by_split(images: pd.DataFrame) -> dict[str, int]:
    """Subjects in each part, in the parts' order; images in no part are counted under ``(none)``."""
    from fiducial.records.tables import SPLITS

    counts = images.groupby("split")["subject"].nunique()
    return {part or "(none)": int(counts[part]) for part in (*SPLITS, "") if part in counts.index}
