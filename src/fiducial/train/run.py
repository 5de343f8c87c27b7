"""`train_study`: a study file becomes a run folder with a plan, a contract and weights."""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fiducial import __version__
from fiducial.cohort import cohort_digest, load_cohort
from fiducial.compute import Failure, map_cases, visible_cores
from fiducial.errors import InputRefused, LabelError, RunMismatch
from fiducial.predict.contract import learn_contract
from fiducial.predict.exams import Exam, gather_exams
from fiducial.records.files import read_json, write_json, write_text
from fiducial.records.plan import Plan
from fiducial.records.progress import Progress, silent
from fiducial.records.runs import seal, verify
from fiducial.records.tables import COHORT, write_table
from fiducial.study import Study, check_against
from fiducial.tasks import TASKS
from fiducial.tasks.classification.task import class_name
from fiducial.tasks.labels import Labels
from fiducial.train.cache import build_cache
from fiducial.train.division import frozen_split
from fiducial.train.ensemble import fit, parts_of
from fiducial.train.fingerprint import Traits, TraitsRequest, measure_traits
from fiducial.train.groups import with_groups
from fiducial.train.planner import Budget, draft_plan, measure_pace, time_plan

if TYPE_CHECKING:
    import pandas as pd

SERIAL_BYTES = 50e6  # below this, starting worker processes takes longer than the work


@dataclass(frozen=True)
class TrainedRun:
    """What a training left behind."""

    folder: Path
    n_train: int
    n_validation: int
    n_steps: int
    seconds: float
    set_aside: tuple[Failure, ...]


def train_study(
    study: Study,
    out: Path,
    *,
    seed: int | None = None,
    resume: bool = False,
    device: str = "auto",
    progress: Progress = silent,
) -> TrainedRun:
    """Train a study's model into the run folder ``out``.

    The budget's clock starts here: fingerprint, caching, timing and training all count. With ``resume`` an
    unfinished run goes on from its last checkpoint under its own plan.

    Raises:
        LeakError: a patient or image stands in two splits (and the study does not say ``on_leak = "drop"``).
        LabelError: no labels, or one class only. StudyError: the cohort cannot serve the study.
        RunMismatch: ``out`` holds another study's run, or a finished one; or a run that is resumed was begun with
            another seed or device than is asked for.
    """
    started = time.monotonic()
    out = Path(out)
    folder = study.cohort_folder
    cohort = load_cohort(folder)
    digest = cohort_digest(cohort)
    fingerprint = study.fingerprint(digest)
    if _claim(out, fingerprint, resume=resume, seed=seed, device=device):
        return _finished(out)
    check_against(study, cohort)
    cohort, notes = frozen_split(study, cohort)
    labels = TASKS[study.task.kind]().labels(cohort, study.task.targets)
    exams, aside = gather_exams(cohort, folder, study.data.inputs, study.task.targets)
    chosen = {part: [e for e in exams if e.split == part and _usable(e, study)] for part in ("train", "validation")}
    if not chosen["train"]:
        raise LabelError("no labelled training case", where=str(folder), action="check split and labels")
    budget = Budget(started, study.train.minutes, study.train.memory_gb, _device(device), visible_cores())
    _begin(out, fingerprint, cohort, study)
    if study.train.folds > 1:  # every network leaves a fold of both parts out
        chosen = {"train": [*chosen["train"], *chosen["validation"]], "validation": []}
    measured, lost = _traits(chosen["train"], study, progress)
    traits = list(measured.values())
    plan, plan_is_new = _plan(out, study, traits, labels, budget, seed=seed, resume=resume)
    readable = [e for e in chosen["train"] if e.image in measured]
    train, lost_too = build_cache(readable, plan, out / "cache", workers=_workers(exams), progress=progress)
    validation, lost_three = build_cache(
        chosen["validation"], plan, out / "cache", workers=_workers(exams), progress=progress
    )
    if not train:
        raise InputRefused("every training case failed", where=str(folder), action=lost_too[0].message)
    train, validation, mitigation = with_groups(train, validation, _values(study, cohort), study, plan)
    folds = _folds(study, cohort)
    first, aside_first = parts_of(plan.members[0], train, validation, folds)
    if plan_is_new:
        plan = plan.model_copy(update={"mitigation": mitigation})
        plan = time_plan(plan, measure_pace(plan, first, aside_first), budget, n_cases=len(first))
        write_json(out / "plan.json", plan.model_dump(mode="json"))
    contract = learn_contract([t.looks for t in traits], region_mask=plan.region.mask if plan.region else "")
    write_json(out / "contract.json", contract.model_dump(mode="json"))
    fit(out, plan, train, validation, folds, resume=resume, progress=progress)
    seconds = time.monotonic() - started
    failures = (*[Failure(k, "NoExam", v) for k, v in aside.items()], *lost, *lost_too, *lost_three)
    facts = {
        "study_name": study.name,
        "fingerprint": fingerprint,
        "cohort_digest": digest,
        "seed": plan.seed,
        "n_steps": plan.n_steps,
        "seconds": round(seconds, 1),
        "n_train": len(first),
        "n_validation": len(aside_first),
        "n_networks": len(plan.members),
        "n_parameters": _n_parameters(plan),
        "notes": notes,
        "set_aside": [{"image": f.key, "error": f.error, "message": f.message} for f in failures],
        "versions": _versions(),
    }
    names = ["study.toml", "cohort.parquet", "plan.json", "contract.json", "model.safetensors", "history.parquet"]
    seal(out, *names, **facts)
    shutil.rmtree(out / "cache", ignore_errors=True)
    shutil.rmtree(out / "checkpoint", ignore_errors=True)
    return TrainedRun(out, len(first), len(aside_first), plan.n_steps, seconds, failures)


def _claim(out: Path, fingerprint: str, *, resume: bool, seed: int | None, device: str) -> bool:
    """Make sure that the folder is free, or holds this study's own run; True if that run is finished.

    Raises:
        RunMismatch: it holds something else, or a run that is not to be resumed.
    """
    mark = out / "claim.json"
    if mark.exists() and not (out / "plan.json").exists():  # refused or interrupted before there was a plan
        shutil.rmtree(out / "cache", ignore_errors=True)
        return False
    if mark.exists():
        finished = (out / "run.json").exists()
        if read_json(mark)["fingerprint"] != fingerprint:
            raise RunMismatch(
                "this folder holds a run of another study or cohort",
                where=str(out),
                legal="a run is only ever of one study file and one cohort",
                action="choose another --out, or remove the folder",
            )
        if not resume:
            what = "a finished run" if finished else "an unfinished run"
            action = "choose another --out, or remove the folder" if finished else "add --resume, or remove the folder"
            raise RunMismatch(f"this folder holds {what}", where=str(out), action=action)
        _require_begun_alike(out, seed, device)
        return finished
    if out.exists() and any(out.iterdir()):
        raise RunMismatch("this folder is not empty and is no run", where=str(out), action="choose another --out")
    return False


def _begin(out: Path, fingerprint: str, cohort: pd.DataFrame, study: Study) -> None:
    """Claim the folder, once the study and its cohort have been found fit: a refusal leaves nothing behind."""
    write_json(out / "claim.json", {"fingerprint": fingerprint})
    write_table(cohort, out / "cohort.parquet", COHORT)
    write_text(out / "study.toml", study.to_toml())


def _require_begun_alike(out: Path, seed: int | None, device: str) -> None:
    """Refuse to go on under another seed or device than the plan's: the result would not be what was asked for.

    Raises:
        RunMismatch: a seed or a device was named that is not the plan's.
    """
    if not (out / "plan.json").exists():
        return
    plan = Plan.model_validate(read_json(out / "plan.json"))
    for what, named, own in (("seed", seed, plan.seed), ("device", device, plan.device)):
        if named not in (None, "auto", own):
            raise RunMismatch(
                f"--{what} {named}, but the run was begun with {what} {own}",
                where=str(out / "plan.json"),
                legal=f"{what} {own}: a resumed run ends as it was begun",
                action=f"leave --{what} out, or choose another --out for a run of its own",
            )


def _finished(out: Path) -> TrainedRun:
    """A finished run, as its record tells it."""
    record = verify(out, "model.safetensors", "plan.json")
    return TrainedRun(
        out, int(record["n_train"]), int(record["n_validation"]), int(record["n_steps"]), float(record["seconds"]), ()
    )


def _usable(exam: Exam, study: Study) -> bool:
    """Whether an exam has what training needs: a mask of a target, or a label."""
    if study.task.kind == "segmentation":
        return any(exam.mask(target) for target in study.task.targets)
    return any(class_name(value) != "" for _, value in exam.labels)


def _traits(exams: Sequence[Exam], study: Study, progress: Progress) -> tuple[dict[str, Traits], tuple[Failure, ...]]:
    """Measure the training exams; failed ones are left out here and named."""
    region = study.task.region.mask if study.task.region else ""
    is_mask = study.task.kind == "segmentation"
    requests = {
        e.image: TraitsRequest(e, study.task.targets if is_mask else (), region, need_masks=is_mask) for e in exams
    }
    done = map_cases(measure_traits, requests, workers=_workers(exams), progress=progress, title="measuring images")
    if not done.results:
        first = done.failures[0]
        raise InputRefused(
            f"no training image can be used; the first: {first.message}", where=first.key, action="see `fiducial check`"
        )
    return done.results, done.failures


def _plan(
    out: Path,
    study: Study,
    traits: Sequence[Traits],
    labels: Labels,
    budget: Budget,
    *,
    seed: int | None,
    resume: bool,
) -> tuple[Plan, bool]:
    """The run's own plan when it is resumed, else a new draft; True if its steps are still to be timed."""
    if resume and (out / "plan.json").exists():
        return Plan.model_validate(read_json(out / "plan.json")), False
    return draft_plan(study, traits, labels, budget, seed=study.train.seed if seed is None else seed), True


def _values(study: Study, cohort: pd.DataFrame) -> dict[str, str]:
    """The value, by image, of the attribute that training is to be made fairer to."""
    if study.train.mitigate is None:
        return {}
    column = cohort[study.train.mitigate.attribute]
    said = column.astype(object).where(column.notna(), "").map(str)
    return dict(zip(cohort["image"], said, strict=True))


def _folds(study: Study, cohort: pd.DataFrame) -> dict[str, int]:
    """The fold of each image; empty where no network leaves one out."""
    if study.train.folds == 1:
        return {}
    return dict(zip(cohort["image"], map(int, cohort["fold"]), strict=True))


def _device(device: str) -> str:
    from fiducial.predict.engine import resolve_device

    return resolve_device(device)


def _workers(exams: Sequence[Exam]) -> int:
    """In this process for few or small images (worker start-up dominates), else one worker per core."""
    from fiducial.predict.exams import total_bytes

    return 1 if total_bytes(exams) < SERIAL_BYTES else 0


def _n_parameters(plan: Plan) -> int:
    from fiducial.models import MODELS

    return sum(p.numel() for p in MODELS[plan.model](plan).parameters())


def _versions() -> dict[str, str]:
    """Versions that decide the numbers."""
    from importlib.metadata import version

    names = ("torch", "monai", "lightning-fabric", "numpy", "scipy", "pandas", "simpleitk")
    return {"fiducial": __version__, "python": platform.python_version()} | {n: version(n) for n in names}
