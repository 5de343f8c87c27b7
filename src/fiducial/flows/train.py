"""``fiducial train``: a study becomes a run folder with a model in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from fiducial.records.progress import Progress, silent


@dataclass(frozen=True)
class Training:
    """What training made: the run folder, the study's name and fingerprint, the seed and the number of steps."""

    run: Path
    study: str
    fingerprint: str
    seed: int
    n_steps: int
    seconds: float


def train(
    study: str | Path,
    out: str | Path,
    *,
    seed: int | None = None,
    resume: bool = False,
    device: str = "auto",
    progress: Progress = silent,
) -> Training:
    """Plan and train what a study file states, and seal the run.

    Args:
        study: The study file.
        out: The run folder; it must not hold another run, unless ``resume`` goes on with an unfinished one.
        seed: Replaces the study's seed.
        resume: Go on from the last checkpoint; the result is the same as without interruption.
        device: ``auto``, ``cpu`` or ``cuda``.
        progress: Called as ``progress(title, n_done, n_total)``.

    Raises:
        InputRefused: the study, its cohort or the run folder cannot be used; a leak refuses training.
    """
    from fiducial.flows.about import read_about
    from fiducial.records.runs import read_record, seal
    from fiducial.study import load_study
    from fiducial.train.run import train_study

    loaded, out = load_study(study), Path(out)
    train_study(loaded, out, seed=seed, resume=resume, device=device, progress=progress)
    # Relative, so that the record names no machine and both folders can be moved together.
    folder = loaded.cohort_folder
    seal(out, cohort_folder=os.path.relpath(folder, out.resolve()), **read_about(folder))
    record = read_record(out)
    return Training(
        run=out,
        study=loaded.name,
        fingerprint=str(record.get("fingerprint", "")),
        seed=int(record.get("seed", loaded.train.seed if seed is None else seed)),
        n_steps=int(record.get("n_steps", 0)),
        seconds=float(record.get("seconds", 0.0)),
    )
