"""``fiducial run``: train, predict, audit, report, in one folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fiducial.flows.audit import Audited, audit
from fiducial.flows.predict import Prediction, predict
from fiducial.flows.report import Report, report
from fiducial.flows.train import Training, train
from fiducial.records.progress import Progress, silent


@dataclass(frozen=True)
class Run:
    """What a whole run made, step by step."""

    training: Training
    prediction: Prediction
    audited: Audited
    report: Report


def run(
    study: str | Path,
    out: str | Path,
    *,
    seed: int | None = None,
    resume: bool = False,
    device: str = "auto",
    progress: Progress = silent,
) -> Run:
    """Train a study, predict its calibration and test parts, audit them and write the report.

    Args:
        study: The study file.
        out: The run folder.
        seed: Replaces the study's seed.
        resume: Go on with an unfinished run; a finished training is not repeated.
        device: ``auto``, ``cpu`` or ``cuda``.
        progress: Called as ``progress(title, n_done, n_total)``.

    Raises:
        InputRefused: as the four steps do.
    """
    from fiducial.study import load_study

    out = Path(out)
    training = train(study, out, seed=seed, resume=resume, device=device, progress=progress)
    cohort = load_study(study).cohort_folder
    prediction = predict(out, cohort, out, splits=("calibration", "test"), device=device, progress=progress)
    audited = audit(out, progress=progress)
    return Run(training, prediction, audited, report(out, progress=progress))
