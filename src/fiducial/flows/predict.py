"""``fiducial predict``: a run reads a cohort, with or without labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fiducial.records.progress import Progress, silent


@dataclass(frozen=True)
class Prediction:
    """What was predicted: how many images, where, and the cases that failed (key and message)."""

    run: Path
    out: Path
    n_images: int
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

    Args:
        run: The run folder; its files are verified first.
        cohort: The cohort folder. For the run's own cohort the run's frozen split is used.
        out: Where to write; the run folder itself is legal.
        splits: Only these parts; empty for every image.
        device: ``auto``, ``cpu`` or ``cuda``.
        progress: Called as ``progress(title, n_done, n_total)``.

    Raises:
        InputRefused: a file of the run was changed, or the whole cohort breaks the run's input contract.
    """
    from fiducial.predict.run import predict_cohort
    from fiducial.records.runs import RECORD, seal

    run, out = Path(run), Path(out)
    done = predict_cohort(run, Path(cohort), out, splits=splits, device=device, progress=progress)
    if out.resolve() == run.resolve() and (run / RECORD).is_file():
        seal(run, "predictions.parquet", *(["payload"] if (run / "payload").is_dir() else []))
    failures = tuple((failure.key, failure.message) for failure in done.failures)
    return Prediction(run=run, out=out, n_images=int(done.n), failures=failures)
