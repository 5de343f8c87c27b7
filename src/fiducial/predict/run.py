"""`predict_cohort`: a run reads a cohort and writes predictions and masks; truth is noted where there is one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.compute import Failure, map_cases
from fiducial.errors import InputRefused
from fiducial.predict.contract import look, require
from fiducial.predict.exams import Exam, gather_exams, load_images, load_region, truth_of
from fiducial.predict.maps import PARTS, in_steps
from fiducial.predict.prepare import Prepared, prepare, restore
from fiducial.records.files import read_json, sha256_file
from fiducial.records.image import Image
from fiducial.records.plan import InputContract, Plan
from fiducial.records.progress import Progress, silent
from fiducial.records.runs import verify
from fiducial.records.tables import (
    COHORT,
    PREDICTED_DICE,
    PREDICTIONS,
    PROBABILITY,
    UNCERTAINTY,
    read_table,
    validated,
    write_table,
)

if TYPE_CHECKING:
    import pandas as pd

    from fiducial.predict.engine import TorchPredictor
    from fiducial.records.predictor import Answer

LEAST_PROBABILITY = 0.1
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

    predictor: TorchPredictor
    plan: Plan
    contract: InputContract
    out: Path
    name: str
    model: str

    def __call__(self, exam: Exam) -> dict[str, Any]:
        """Predict one exam: check the contract, prepare, apply, export.

        Returns:
            ``rows`` of Predictions, ``embedding`` (numbers; empty where none is asked for) and ``common``, what every
            row of the exam says.

        Raises:
            ContractError: the exam is not of the kind that the model was trained on.
        """
        images = load_images(exam)
        for image in images:
            image.require_finite(exam.image)
        require(self.contract, [look(image) for image in images], where=exam.image)
        region = load_region(exam, self.plan.region.mask, images[0]) if self.plan.region else None
        prepared = prepare(images, self.plan, region=region)
        answer = self.predictor.answer(prepared.voxels, seed=_seed(exam.image))
        common = {
            "study": self.name,
            "model": self.model,
            "subject": exam.subject,
            "image": exam.image,
            "split": exam.split,
        }
        if self.plan.label_type == "structures":
            rows = self._masks(exam, images[0], answer, prepared, common)
        else:
            rows = self._scores(exam, answer, common)
        embedding = [] if answer.embedding is None else [float(v) for v in answer.embedding]
        return {"rows": rows, "embedding": embedding, "common": common}

    def _masks(
        self, exam: Exam, image: Image, answer: Answer, prepared: Prepared, common: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """Write label maps on the native grid; one row per structure and member, and the Dice that each may expect."""
        probabilities = restore(answer.probabilities, prepared)
        final = probabilities.argmax(axis=0).astype(np.uint8)
        rows = self._mask_rows(exam, image, final, common)
        others = []
        for member, theirs in answer.members.items():
            labels = restore(theirs, prepared).argmax(axis=0).astype(np.uint8)
            others.append(labels)
            rows += self._mask_rows(exam, image, labels, common | {"member": member})
        if self.plan.maps and exam.split in PARTS:
            rows += self._map_rows(exam, image, probabilities, common)
        for number, target in enumerate(self.plan.targets, start=1):
            if others:
                dice = agreement_dice(final, others, number)
            else:
                dice = expected_dice(probabilities[number], final == number)
            if not math.isnan(dice):
                rows.append(common | {"target": target, "item": PREDICTED_DICE, "kind": "score", "value": dice})
        return rows

    def _map_rows(
        self, exam: Exam, image: Image, probabilities: NDArray[np.float32], common: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """Write the probability map of each structure that has a reference; a threshold is chosen by these."""
        from fiducial.archive import write_nifti

        rows = []
        for number, target in enumerate(self.plan.targets, start=1):
            truth = exam.mask(target)
            if truth is None:
                continue
            path = Path("payload") / f"{_safe(exam.image)}@map{number}.nii.gz"
            write_nifti(Image(in_steps(probabilities[number])[None], image.geometry), self.out / path)
            said = {"target": target, "item": PROBABILITY, "kind": "image", "payload": path.as_posix()}
            said |= {"payload_sha256": sha256_file(self.out / path)}
            rows.append(common | said | {"truth_payload": truth.path, "truth_label": str(truth.label)})
        return rows

    def _mask_rows(
        self, exam: Exam, image: Image, labels: NDArray[np.uint8], common: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """Write one label map; one row per structure."""
        from fiducial.archive import write_nifti

        ending = f"@{common['member']}" if common.get("member") else ""
        path = Path("payload") / f"{_safe(exam.image)}{ending}.nii.gz"
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

    def _scores(self, exam: Exam, answer: Answer, common: dict[str, Any]) -> list[dict[str, Any]]:
        """One row per member and target, or class of the only target; and the model's own doubt where it states one."""
        truth = truth_of(exam, self.plan)
        exclusive = self.plan.label_type == "multiclass"
        rows = []
        for member, probabilities in {"": answer.probabilities, **answer.members}.items():
            for number, name in enumerate(self.plan.classes):
                true = float(truth[number]) if not exclusive else _one_against_rest(float(truth[0]), number)
                target, item = (self.plan.targets[0], name) if exclusive else (name, "")
                said = {"member": member, "target": target, "item": item, "kind": "score", "truth": true}
                rows.append(common | said | {"value": min(1.0, max(0.0, float(probabilities[number])))})
        doubts = [] if answer.uncertainty is None else [float(v) for v in answer.uncertainty]
        for target, doubt in zip(self.plan.targets if doubts else (), doubts, strict=True):
            rows.append(common | {"target": target, "item": UNCERTAINTY, "kind": "score", "value": doubt})
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
    if not done.results:
        first = done.failures[0]
        raise InputRefused(
            f"none of {len(chosen)} images could be predicted; the first: {first.message}",
            where=first.key,
            action="give images of the kind that the model was trained on",
        )
    write_table(_gathered(list(done.results.values()), plan.targets[0]), out / "predictions.parquet", PREDICTIONS)
    failures = (*done.failures, *(Failure(key, "NoExam", reason) for key, reason in aside.items()))
    return Predicted(len(done.results), len(chosen), failures)


def _gathered(results: Sequence[dict[str, Any]], target: str) -> pd.DataFrame:
    """Rows of all exams, and a row for each coordinate of each embedding."""
    import pandas as pd

    rows = pd.DataFrame([row for result in results for row in result["rows"]])
    embedded = [result for result in results if result["embedding"]]
    if embedded:
        n = len(embedded[0]["embedding"])
        common = pd.DataFrame([result["common"] for result in embedded])
        coordinates = common.loc[common.index.repeat(n)].reset_index(drop=True)
        coordinates["value"] = np.concatenate([result["embedding"] for result in embedded])
        coordinates["item"] = [f"{k:02d}" for k in range(n)] * len(embedded)
        rows = pd.concat([rows, coordinates.assign(target=target, kind="embedding")], ignore_index=True)
    return validated(rows, PREDICTIONS)


def expected_dice(probability: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    """The Dice that a mask may expect if its voxels are right with the stated probabilities.

    2 sum of p inside the mask / (sum of p + size of the mask): the ratio of the expectations of numerator and
    denominator. Voxels of probability below 0.1 do not count: a small structure is surrounded by millions of them,
    whose probabilities are near 0 but not calibrated, and their sum would outweigh it. NaN for an empty mask.
    """
    size = int(mask.sum())
    total = float(probability[probability >= LEAST_PROBABILITY].sum(dtype=np.float64))
    return 2 * float(probability[mask].sum(dtype=np.float64)) / (total + size) if size else math.nan


def agreement_dice(final: NDArray[np.uint8], others: Sequence[NDArray[np.uint8]], label: int) -> float:
    """Mean Dice of the members' masks with the final one (Roy et al., NeuroImage 2019); NaN if that is empty."""
    mask = final == label
    size = int(mask.sum())
    if not size:
        return math.nan
    theirs = [other == label for other in others]
    return float(np.mean([2 * int((mask & one).sum()) / (size + int(one.sum())) for one in theirs]))


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


def _seed(image: str) -> int:
    """A seed of its own for each image, so that its draws do not depend on what was predicted before."""
    import hashlib

    return int.from_bytes(hashlib.sha256(image.encode()).digest()[:6], "big")


def _safe(image: str) -> str:
    """A file name from an image id: letters, digits, dot, dash and underscore; others become a digest."""
    import hashlib
    import re

    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}", image):
        return image
    return hashlib.sha256(image.encode()).hexdigest()[:24]
