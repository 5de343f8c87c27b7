"""``fiducial train``: a study becomes a run folder with a model in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from fiducial.flows.extras import require_modules
from fiducial.records.progress import Progress, silent


@dataclass(frozen=True)
class Training:
    """What training made, and the cases that were set aside (image and message)."""

    run: Path
    study: str
    fingerprint: str
    seed: int
    n_train: int
    n_validation: int
    n_steps: int
    seconds: float
    set_aside: tuple[tuple[str, str], ...]


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
    require_modules("torch", "monai", "lightning_fabric", "safetensors")
    from fiducial.flows.about import read_about
    from fiducial.records.runs import seal
    from fiducial.study import load_study
    from fiducial.train.run import train_study

    loaded, out = load_study(study), Path(out)
    done = train_study(loaded, out, seed=seed, resume=resume, device=device, progress=progress)
    folder = loaded.cohort_folder
    # Relative, so that the record names no machine and both folders can be moved together.
    record = seal(out, cohort_folder=os.path.relpath(folder, out.resolve()), **read_about(folder))
    return Training(
        run=out,
        study=loaded.name,
        fingerprint=str(record["fingerprint"]),
        seed=int(record["seed"]),
        n_train=done.n_train,
        n_validation=done.n_validation,
        n_steps=done.n_steps,
        seconds=done.seconds,
        set_aside=tuple((failure.key, failure.message) for failure in done.set_aside),
    )
