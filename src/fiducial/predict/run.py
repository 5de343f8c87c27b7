"""`predict_cohort`: a run reads a cohort and writes predictions and masks; truth is noted where there is one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fiducial.compute import Failure, map_cases
from fiducial.errors import InputRefused
from fiducial.predict.contract import look, require
from fiducial.predict.exams import Exam, gather_exams, load_images, load_region, truth_of
from fiducial.predict.prepare import prepare, restore
from fiducial.records.files import read_json, sha256_file
from fiducial.records.image import Image
from fiducial.records.plan import InputContract, Plan
from fiducial.records.predictor import Predictor
from fiducial.records.progress import Progress, silent
from fiducial.records.runs import verify
from fiducial.records.tables import COHORT, PREDICTIONS, read_table, table, write_table

if TYPE_CHECKING:
    import pandas as pd

MODEL_FILES = ("plan.json", "contract.json", "model.safetensors", "cohort.parquet")


@dataclass(frozen=True)
class Predicted:
    """How many exams were predicted, how many were asked for, and which failed, with the reason."""

    n: int
    n_asked: int
    failures: tuple[Failure, ...]


@dataclass(frozen=True)
class Reader:
    """What predicting one exam needs."""

    predictor: Predictor
    plan: Plan
    contract: InputContract
    out: Path
    name: str
    model: str

    def __call__(self, exam: Exam) -> list[dict[str, Any]]:
        """Predict one exam: check the contract, prepare, apply, export; returns Predictions rows.

        Raises:
            ContractError: the exam is not of the kind that the model was trained on.
        """
        images = load_images(exam)
        for image in images:
            image.require_finite(exam.image)
        require(self.contract, [look(image) for image in images], where=exam.image)
        region = load_region(exam, self.plan.region.mask, images[0]) if self.plan.region else None
        prepared = prepare(images, self.plan, region=region)
        probabilities = self.predictor(prepared.voxels)
        common = {
            "study": self.name,
            "model": self.model,
            "subject": exam.subject,
            "image": exam.image,
            "split": exam.split,
        }
        if self.plan.label_type == "structures":
            return self._masks(exam, images[0], restore(probabilities, prepared), common)
        return self._scores(exam, probabilities, common)

    def _masks(
        self, exam: Exam, image: Image, probabilities: np.ndarray, common: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """Write one label map on the native grid; one row per structure."""
        from fiducial.archive import write_nifti

        labels = probabilities.argmax(axis=0).astype(np.uint8)
        path = Path("payload") / f"{_safe(exam.image)}.nii.gz"
        write_nifti(Image(labels[None], image.geometry), self.out / path)
        digest = sha256_file(self.out / path)
        rows = []
        for number, target in enumerate(self.plan.targets, start=1):
            truth = exam.mask(target)
            rows.append(
                common
                | {
                    "target": target,
                    "kind": "mask",
                    "payload": path.as_posix(),
                    "payload_sha256": digest,
                    "label": str(number),
                    "truth_payload": truth.path if truth else "",
                    "truth_label": str(truth.label) if truth else "",
                }
            )
        return rows

    def _scores(self, exam: Exam, probabilities: np.ndarray, common: dict[str, Any]) -> list[dict[str, Any]]:
        """One row per target, or per class of the only target."""
        truth = truth_of(exam, self.plan)
        exclusive = self.plan.label_type == "multiclass"
        rows = []
        for number, name in enumerate(self.plan.classes):
            true = float(truth[number]) if not exclusive else _one_against_rest(float(truth[0]), number)
            target, item = (self.plan.targets[0], name) if exclusive else (name, "")
            value = min(1.0, max(0.0, float(probabilities[number])))
            rows.append(common | {"target": target, "item": item, "kind": "score", "value": value, "truth": true})
        return rows


def predict_cohort(
    run: Path,
    cohort: Path,
    out: Path,
    *,
    splits: Sequence[str] = (),
    device: str = "auto",
    progress: Progress = silent,
) -> Predicted:
    """Predict the images of a cohort.

    The run's files are verified first. For the cohort that the run was trained on, its frozen split is used. An
    exam that breaks the input contract or cannot be read is set aside and named; the others go on.

    Args:
        run: the run folder.
        cohort: the cohort folder.
        out: where ``predictions.parquet`` and ``payload/`` go.
        splits: only these parts; empty for all.
        device: ``auto``, ``cpu`` or ``cuda``.
        progress: called as exams finish.

    Raises:
        IntegrityError: a file of the run was changed. InputRefused: no exam could be predicted.
    """
    from fiducial.predict.engine import load_predictor

    record = verify(run, *MODEL_FILES)
    plan = Plan.model_validate(read_json(run / "plan.json"))
    contract = InputContract.model_validate(read_json(run / "contract.json"))
    frame = cohort_of(run, cohort)
    exams, aside = gather_exams(frame, cohort, plan.inputs, plan.targets)
    chosen = [e for e in exams if not splits or e.split in splits]
    if not chosen:
        raise InputRefused(
            f"no image of {', '.join(plan.inputs)} to predict" + (f" in {', '.join(splits)}" if splits else ""),
            where=str(cohort),
            legal=f"images of modality {', '.join(plan.inputs)}",
            action=next(iter(aside.values()), "check the cohort with `fiducial check`"),
        )
    reader = Reader(
        load_predictor(run, device=device),
        plan,
        contract,
        out,
        str(record.get("study_name", "")),
        str(record["files"]["model.safetensors"])[:12],
    )
    # In this process: the network already uses every core.
    done = map_cases(reader, {e.image: e for e in chosen}, workers=1, progress=progress, title="predicting")
    rows = [row for result in done.results.values() for row in result]
    if not rows:
        first = done.failures[0]
        raise InputRefused(
            f"none of {len(chosen)} images could be predicted; the first: {first.message}",
            where=first.key,
            action="give images of the kind that the model was trained on",
        )
    write_table(table(rows, PREDICTIONS), out / "predictions.parquet", PREDICTIONS)
    failures = (*done.failures, *(Failure(key, "NoExam", reason) for key, reason in aside.items()))
    return Predicted(len(done.results), len(chosen), failures)


def cohort_of(run: Path, cohort: Path) -> pd.DataFrame:
    """The cohort's table; with the run's frozen split where it is the cohort that the run was trained on."""
    frame = read_table(cohort / "cohort.parquet", COHORT)
    frozen = read_table(run / "cohort.parquet", COHORT)
    # The frozen table may be shorter: rows that leaked are dropped from it.
    if set(frozen["sha256"]) <= set(frame["sha256"]) and set(frozen["image"]) <= set(frame["image"]):
        return frozen
    return frame


def _one_against_rest(true_class: float, number: int) -> float:
    """1 for the true class, 0 for another, NaN where the label is missing (-1)."""
    return math.nan if true_class < 0 else float(true_class == number)


def _safe(image: str) -> str:
    """A file name from an image id: letters, digits, dot, dash and underscore; others become a digest."""
    import hashlib
    import re

    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}", image):
        return image
    return hashlib.sha256(image.encode()).hexdigest()[:24]
