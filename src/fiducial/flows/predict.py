"""``fiducial predict``: a run reads a cohort, with or without labels."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fiducial.flows.extras import require_modules
from fiducial.records.progress import Progress, silent


@dataclass(frozen=True)
class Prediction:
    """What was predicted: how many images of how many asked for, where, and what failed (image and message)."""

    run: Path
    out: Path
    n_images: int
    n_asked: int
    failures: tuple[tuple[str, str], ...]


def predict(
    run: str | Path,
    cohort: str | Path,
    out: str | Path,
    *,
    splits: tuple[str, ...] = (),
    device: str = "auto",
    progress: Progress = silent,
) -> Prediction:
    """Predict the images of a cohort and write ``predictions.parquet`` and, for masks, ``payload/``.

    A folder other than the run also receives the study file, the cohort's table and a record of where the model lies:
    it can be audited and reported like a run. That is how a model is tested on another hospital's cohort.

    Args:
        run: The run folder; its files are verified first.
        cohort: The cohort folder. For the run's own cohort the run's frozen split is used.
        out: Where to write; the run folder itself is legal.
        splits: Only these parts; empty for every image.
        device: ``auto``, ``cpu`` or ``cuda``.
        progress: Called as ``progress(title, n_done, n_total)``.

    Raises:
        InputRefused: a file of the run was changed, a part is unknown, or no image could be predicted.
    """
    require_modules("torch", "monai", "lightning_fabric", "safetensors")
    from fiducial.errors import InputRefused
    from fiducial.predict.run import predict_cohort
    from fiducial.records.runs import seal
    from fiducial.records.tables import SPLITS

    unknown = [name for name in splits if name not in SPLITS]
    if unknown:
        raise InputRefused(f"split {unknown[0]!r}", where="--split", legal=", ".join(SPLITS))
    run, cohort, out = Path(run), Path(cohort), Path(out)
    done = predict_cohort(run, cohort, out, splits=splits, device=device, progress=progress)
    names = ["predictions.parquet", *(["payload"] if (out / "payload").is_dir() else [])]
    if out.resolve() == run.resolve():
        seal(run, *names)
    else:
        seal(out, *names, *_belongings(run, cohort, out), **_facts(run, cohort, out))
    failures = tuple((failure.key, failure.message) for failure in done.failures)
    return Prediction(run=run, out=out, n_images=done.n, n_asked=done.n_asked, failures=failures)


def _belongings(run: Path, cohort: Path, out: Path) -> list[str]:
    """Write what an audit of these predictions needs beside them: the study and the cohort's table."""
    from fiducial.predict.run import cohort_of
    from fiducial.records.files import write_text
    from fiducial.records.runs import verify
    from fiducial.records.tables import COHORT, write_table

    verify(run, "study.toml")
    write_text(out / "study.toml", (run / "study.toml").read_text(encoding="utf-8"))
    write_table(cohort_of(run, cohort), out / "cohort.parquet", COHORT)
    return ["study.toml", "cohort.parquet"]


def _facts(run: Path, cohort: Path, out: Path) -> dict[str, Any]:
    """Where model and cohort lie, relative to the predictions, and which study made the model."""
    from fiducial.flows.about import read_about
    from fiducial.records.runs import read_record

    record = read_record(run)
    kept: dict[str, Any] = {key: record[key] for key in ("study_name", "fingerprint")}
    return {
        **kept,
        "run_folder": os.path.relpath(run.resolve(), out.resolve()),
        "cohort_folder": os.path.relpath(cohort.resolve(), out.resolve()),
        **read_about(cohort.resolve()),
    }
