"""The three doors of the audit: a run of ours, anybody's table of predictions, anybody's masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial.errors import InputRefused, RunMismatch
from fiducial.flows.attributes import cohort_attributes, groupable, joined, person_known, with_unmatched
from fiducial.flows.leaks import leaks_of
from fiducial.flows.pictures import Files, drawer
from fiducial.records.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

    from fiducial.audit.given import AuditInput, AuditSettings
    from fiducial.study import Study


FEW_CASES = 32


def nothing() -> None:
    """No opening to count."""


def no_pictures(folder: Path, progress: Progress) -> bool:  # noqa: ARG001 - the signature of every drawer
    """No pictures to draw."""
    return False


@dataclass(frozen=True)
class Asked:
    """What the user said beside the source."""

    study: Study | None
    attributes: Path | None
    settings: AuditSettings
    workers: int
    progress: Progress
    raters: Path | None = None

    def workers_for(self, n_cases: int) -> int:
        """The processes that were asked for; for a few cases one, as starting others takes longer than the work."""
        return 1 if self.workers == 0 and n_cases < FEW_CASES else self.workers


@dataclass(frozen=True)
class Opened:
    """What came through a door: the audit's input, and what is to be done beside it.

    ``opening`` counts an opening of the test part; ``pictures`` draws cases into a folder and says whether it did.
    """

    given: AuditInput
    opening: Callable[[], object] = nothing
    pictures: Callable[[Path, Progress], bool] = no_pictures
    notes: tuple[str, ...] = ()


def from_table(path: Path, asked: Asked) -> Opened:
    """A table of predictions, ours or a vendor's."""
    from fiducial.audit.vendor import vendor_input

    given = vendor_input(path, study=asked.study, attributes=asked.attributes, settings=asked.settings)
    return Opened(given)


def from_run(run: Path, asked: Asked) -> Opened:
    """A run folder: its files are verified, its masks measured, its cohort's leaks and openings looked up."""
    import pandas as pd

    from fiducial.audit.given import AuditInput
    from fiducial.audit.tables import audited_split
    from fiducial.flows.openings import count_openings, record_opening
    from fiducial.predict.maps import measure_maps
    from fiducial.predict.measure import measure_masks
    from fiducial.predict.raters import measure_raters, raters_of_cohort
    from fiducial.records.runs import verify
    from fiducial.records.tables import CASES, COHORT, PREDICTIONS, final_answers, read_table, table
    from fiducial.study import load_study

    _require_predictions(run)
    record = verify(run, "study.toml", "cohort.parquet", "predictions.parquet")
    study = load_study(run / "study.toml")
    _require_same_study(run, record, study, asked.study)
    predictions = read_table(run / "predictions.parquet", PREDICTIONS)
    cohort = read_table(run / "cohort.parquet", COHORT)
    cases = table([], CASES)
    final = final_answers(predictions)
    if (final["kind"] == "mask").any():
        verify(run, "payload")
        workers = asked.workers_for(final["image"].nunique())
        cases = measure_masks(final, base=run, workers=workers, progress=asked.progress).cases
        maps = measure_maps(predictions, base=run, workers=workers, progress=asked.progress).cases
        cases = pd.concat([cases, maps], ignore_index=True) if len(maps) else cases
    folder = _cohort_folder(run, record)
    drawn = raters_of_cohort(cohort, folder, set(final.loc[final["split"] == audited_split(final), "image"]))
    rated = measure_raters(drawn, workers=asked.workers, progress=asked.progress).cases if len(drawn) else None
    fingerprint = str(record.get("fingerprint", ""))
    before = count_openings(folder, fingerprint=fingerprint, study=study.name)
    settings = replace(asked.settings, person_known=asked.settings.person_known and person_known(cohort))
    attributes, unmatched = joined(cohort_attributes(cohort, study), asked.attributes)
    given = AuditInput(
        predictions=predictions,
        cases=cases,
        attributes=attributes,
        study=study,
        settings=settings,
        leaks=leaks_of(cohort, run, record),
        openings=before.n + 1,
        openings_other_versions=before.n_other_versions,
        source=f"predictions.parquet sha256:{record['files']['predictions.parquet'][:16]}",
        unmatched=unmatched,
        rated=rated,
    )

    def opening() -> object:
        return record_opening(folder, fingerprint=fingerprint, study=study.name, run=run.resolve().name)

    return Opened(given, opening, drawer(given, final, run, Files(cohort, folder)))


def from_masks(predictions: Path, truth: Path, asked: Asked) -> Opened:
    """Two folders of label maps; files of one name belong together, and no person is known unless told."""
    from fiducial.audit.given import AuditInput
    from fiducial.predict.folders import pair_mask_folders
    from fiducial.predict.measure import MaskSettings, measure_masks
    from fiducial.records.tables import PREDICTIONS, validated

    paired = pair_mask_folders(predictions, truth, workers=asked.workers, progress=asked.progress)
    rows = validated(paired.predictions, PREDICTIONS)
    settings = MaskSettings(ignore_label=paired.ignore_label)
    workers = asked.workers_for(rows["image"].nunique())
    measured = measure_masks(rows, settings=settings, workers=workers, progress=asked.progress)
    attributes = with_unmatched(rows[["image", "subject", "split"]].drop_duplicates(), paired.unmatched)
    attributes, unmatched = joined(attributes, asked.attributes)
    subject = dict(zip(attributes["image"], attributes["subject"], strict=True))
    cases = measured.cases.assign(subject=measured.cases["image"].map(subject))
    rated, said = _rated(rows, asked)
    rows = rows.assign(subject=rows["image"].map(subject))
    known = asked.settings.person_known and person_known(attributes)
    own = asked.settings.attributes or (asked.study.data.attributes if asked.study else ())
    given = AuditInput(
        predictions=rows[PREDICTIONS.names],
        cases=cases,
        attributes=attributes,
        study=asked.study,
        settings=replace(asked.settings, person_known=known, attributes=own or groupable(attributes)),
        source=f"{predictions.name} against {truth.name}, {rows['image'].nunique()} pairs",
        unmatched=unmatched,
        rated=None if rated is None else rated.assign(subject=rated["image"].map(subject)),
    )
    notes = (*paired.notes, *said, *(f"not paired: {text}" for text in _short(paired.unmatched)))
    return Opened(given, pictures=drawer(given, rows, Path(), None), notes=notes)


def from_raters(folder: Path, asked: Asked) -> Opened:
    """Masks of several raters and no model: only how far they agree can be said."""
    from fiducial.audit.given import AuditInput
    from fiducial.predict.raters import measure_raters, rated_folders
    from fiducial.records.tables import CASES, PREDICTIONS, table

    found = rated_folders(folder)
    measured = measure_raters(found.predictions, workers=asked.workers, progress=asked.progress)
    attributes = found.predictions[["image", "subject", "split"]].drop_duplicates()
    attributes, unmatched = joined(attributes, asked.attributes)
    subject = dict(zip(attributes["image"], attributes["subject"], strict=True))
    given = AuditInput(
        predictions=table([], PREDICTIONS),
        cases=table([], CASES),
        attributes=attributes,
        study=asked.study,
        settings=replace(asked.settings, person_known=asked.settings.person_known and person_known(attributes)),
        source=f"masks of {len(found.raters)} raters in {folder.name}",
        unmatched=unmatched,
        rated=measured.cases.assign(subject=measured.cases["image"].map(subject)),
    )
    return Opened(given, notes=found.notes)


def _rated(rows: pd.DataFrame, asked: Asked) -> tuple[pd.DataFrame | None, tuple[str, ...]]:
    """The comparison of raters' folders that were named beside a model's masks; and notes.

    Raises:
        InputRefused: no image of the raters is among the masks.
    """
    from fiducial.errors import InputRefused
    from fiducial.predict.raters import measure_raters, rated_folders

    if asked.raters is None:
        return None, ()
    structures = dict(zip(rows["target"], rows["truth_label"], strict=True))
    keys = zip(rows["image"], rows["target"], strict=True)
    truth = dict(zip(keys, zip(rows["truth_payload"], rows["truth_label"], strict=True), strict=True))
    found = rated_folders(asked.raters, structures=structures, truth=truth)
    theirs, known = set(found.predictions["image"]), set(rows["image"])
    if not theirs & known:
        raise InputRefused(
            f"no image of the raters is among the masks: {min(theirs)!r} against {min(known)!r}",
            where=str(asked.raters),
            legal="equal file names for equal images",
        )
    others = sorted(theirs - known)
    notes = [f"rated, but not among the masks: {len(others)} images, such as {others[0]}"] if others else []
    kept = found.predictions[found.predictions["image"].isin(known)]
    return measure_raters(kept, workers=asked.workers, progress=asked.progress).cases, (*found.notes, *notes)


def _cohort_folder(run: Path, record: dict[str, Any]) -> Path:
    """The cohort that the run was made from, where its openings are counted; the run itself if it is gone."""
    folder = (run / str(record.get("cohort_folder", "."))).resolve()
    return folder if folder.is_dir() else run


def _require_predictions(run: Path) -> None:
    """Refuse a run that was trained and has predicted nothing yet, with the command that comes next."""
    from fiducial.records.runs import read_record

    record = read_record(run)
    if "predictions.parquet" not in record["files"]:
        cohort = _cohort_folder(run, record)
        raise InputRefused(
            "this run has no predictions yet",
            where=str(run),
            legal="a run whose calibration and test parts were predicted into its own folder",
            action=f"`fiducial predict {run} {cohort} --out {run} --split calibration --split test` first; "
            "`fiducial run` does every step",
        )


def _require_same_study(run: Path, record: dict[str, Any], own: Study, stated: Study | None) -> None:
    """Refuse another study than the one that the run was made by: its criteria were not stated before training."""
    if stated is None or stated.canonical() == own.canonical():
        return
    raise RunMismatch(
        f"the run was made by study {own.name!r} (fingerprint {str(record.get('fingerprint', ''))[:12]}), "
        f"and {stated.source} says something else",
        where=str(run),
        legal="the study file that the run was trained under",
        action="leave --study out, or train a run of the other study",
    )


def _short(names: tuple[str, ...], n: int = 20) -> list[str]:
    """The first few names, and how many more there are."""
    return [*names[:n], *([f"and {len(names) - n} more"] if len(names) > n else [])]
