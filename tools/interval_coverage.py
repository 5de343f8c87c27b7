"""How often 95 % intervals hold the truth, for every metric of the audit, few patients or many.

    python tools/interval_coverage.py [--metrics NAME ...] [--workers 2] [--cache build/coverage.json] [--draws 1000]

Patients have one image each or 1 to 5; the intervals are the audit's own. The smallest n from which on every cell of a
metric reaches 0.93 is its minimum n (`MINIMUM_N_OF` in fiducial.audit.measure). tools/power.py puts the table into
docs/reference/power.md.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.special import expit, ndtri
from scipy.stats import norm

from fiducial.audit.given import AuditSettings
from fiducial.audit.measure import gap, replicates, score_interval, statistic_of
from fiducial.audit.scores import ScoreColumn
from fiducial.compute import map_cases
from fiducial.maths.bootstrap import clustered_bootstrap
from fiducial.maths.decision_curve import net_benefit_of
from fiducial.maths.intervals import Interval, bootstrap_interval, mean_interval, rate_interval
from fiducial.records.files import write_json

ROOT = Path(__file__).parents[1]
N = (10, 20, 30, 50, 100, 300, 1000)
IMAGES = (1, 5)
"""Most images of a patient; the number is even from 1 up to it."""
HOLDS = 0.93
PREVALENCE = 0.25
CORRELATION = 0.6
SETTINGS = AuditSettings(n_replicates=500)
Draw = Callable[[np.random.Generator, int, int, Any], Interval]


@dataclass(frozen=True)
class Metric:
    """One kind of interval: how it is drawn, the settings, their truths, and what n counts.

    ``repeats`` multiplies the number of draws, for intervals that cost little.
    """

    draw: Draw
    truths: dict[str, tuple[Any, float]]
    counts: str
    repeats: int = 1


def patients(rng: np.random.Generator, n: int, images: int) -> np.ndarray:
    """The patient of each image."""
    return np.repeat(np.arange(n), rng.integers(1, images + 1, n))


def latent(rng: np.random.Generator, subject: np.ndarray) -> np.ndarray:
    """Standard normal values, correlated within patients."""
    own = rng.standard_normal(int(subject[-1]) + 1)[subject]
    return np.sqrt(CORRELATION) * own + np.sqrt(1 - CORRELATION) * rng.standard_normal(len(subject))


def column_of(rng: np.random.Generator, n: int, images: int, *, auc: float, change: Any = None) -> ScoreColumn:
    """A binormal score with known log-odds, as the phantom's tables have; ``change`` acts on the log-odds."""
    subject = patients(rng, n, images)
    truth = (rng.random(n) < PREVALENCE)[subject]
    mu = separation(auc)
    odds = log_odds(latent(rng, subject) + mu * truth, mu)
    score = expit(odds if change is None else change(odds))
    return ScoreColumn("t", "", "", truth, score, subject, np.arange(len(subject)))


def separation(auc: float) -> float:
    """How far apart the two classes' hidden scores lie."""
    return float(np.sqrt(2) * ndtri(auc))


def log_odds(hidden: np.ndarray, mu: float) -> np.ndarray:
    """The true log-odds at a hidden score."""
    return np.asarray(np.log(PREVALENCE / (1 - PREVALENCE)) + mu * hidden - mu**2 / 2)


def population(auc: float, change: Any = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores on a fine grid, and the probabilities of each with truth 1 and 0."""
    mu = separation(auc)
    hidden = np.linspace(-9, 9 + mu, 200_001)
    step = hidden[1] - hidden[0]
    odds = log_odds(hidden, mu)
    one = PREVALENCE * norm.pdf(hidden - mu) * step
    none = (1 - PREVALENCE) * norm.pdf(hidden) * step
    return expit(odds if change is None else change(odds)), one, none


def brier_truth(auc: float) -> float:
    """Mean squared distance in the population."""
    score, one, none = population(auc)
    return float((one * (1 - score) ** 2 + none * score**2).sum())


def ece_truth(change: Any) -> float:
    """ECE over ten bins of equal width in the population."""
    score, one, none = population(0.9, change)
    which = np.clip(np.ceil(score * 10).astype(int) - 1, 0, 9)
    off = np.bincount(which, one - score * (one + none), minlength=10)
    return float(np.abs(off).sum())


def benefit_truth(threshold: float) -> float:
    """Net benefit of an AUC of 0.9 at a threshold."""
    score, one, none = population(0.9)
    called = score >= threshold
    return float(one[called].sum() - none[called].sum() * threshold / (1 - threshold))


def shifted(by: float) -> Callable[[np.ndarray], np.ndarray]:
    """Log-odds moved."""
    return lambda odds: odds + by


def stretched(by: float) -> Callable[[np.ndarray], np.ndarray]:
    """Log-odds multiplied."""
    return lambda odds: odds * by


def _auc(rng: np.random.Generator, n: int, images: int, auc: float) -> Interval:
    return score_interval("auc", column_of(rng, n, images, auc=auc), None, SETTINGS)


def _rate(rng: np.random.Generator, n: int, images: int, rate: float) -> Interval:
    subject = patients(rng, n, images)
    return rate_interval(latent(rng, subject) < ndtri(rate), subject=subject)


def _brier(rng: np.random.Generator, n: int, images: int, auc: float) -> Interval:
    return score_interval("brier", column_of(rng, n, images, auc=auc), None, SETTINGS)


def _ece(rng: np.random.Generator, n: int, images: int, shift: float) -> Interval:
    return score_interval("ece", column_of(rng, n, images, auc=0.9, change=shifted(shift)), None, SETTINGS)


def _slope(rng: np.random.Generator, n: int, images: int, said: tuple[float, float]) -> Interval:
    column = column_of(rng, n, images, auc=said[0], change=stretched(said[1]))
    return score_interval("calibration_slope", column, None, SETTINGS)


def _large(rng: np.random.Generator, n: int, images: int, shift: float) -> Interval:
    column = column_of(rng, n, images, auc=0.9, change=shifted(shift))
    return score_interval("calibration_in_the_large", column, None, SETTINGS)


def _dice_of(shape: str, z: np.ndarray) -> np.ndarray:
    dice = expit(2.2 + 0.9 * z)
    return np.where(z < ndtri(0.05), 0.0, dice) if shape == "failures" else dice


def _dice(rng: np.random.Generator, n: int, images: int, shape: str) -> Interval:
    subject = patients(rng, n, images)
    return mean_interval(_dice_of(shape, latent(rng, subject)), subject=subject, bounds=(0, 1))


def _dice_truth(shape: str) -> float:
    return float(_dice_of(shape, ndtri((np.arange(1_000_000) + 0.5) / 1_000_000)).mean())


def _gap(rng: np.random.Generator, n: int, images: int, said: tuple[int, float]) -> Interval:
    """The gap of sensitivity over groups of which the last is worse; n counts patients with the finding."""
    groups, lower = said
    subject = patients(rng, n, images)
    group = rng.integers(groups, size=n)[subject]
    hit = latent(rng, subject) < ndtri(np.where(group == groups - 1, 0.9 - lower, 0.9))
    column = ScoreColumn("t", "", "", np.ones(len(hit), dtype=bool), hit * 1.0, subject, np.arange(len(hit)))
    masks = {str(k): group == k for k in range(groups) if (group == k).any()}
    found = replicates({"sensitivity": statistic_of("sensitivity", column, 0.5)}, subject, masks, SETTINGS)
    single = {name: rate_interval(hit[mask], subject=subject[mask]) for name, mask in masks.items()}
    return gap(found, "sensitivity", list(masks), SETTINGS, single)


def _benefit(rng: np.random.Generator, n: int, images: int, threshold: float) -> Interval:
    column = column_of(rng, n, images, auc=0.9)
    statistic = net_benefit_of(column.truth, column.score, threshold=threshold)
    found = clustered_bootstrap({"it": statistic}, column.subject, n_replicates=SETTINGS.n_replicates)
    return bootstrap_interval(found, "it")


METRICS: dict[str, Metric] = {
    "auc": Metric(_auc, {f"{a:g}": (a, a) for a in (0.7, 0.8, 0.9, 0.95, 0.98)}, "patients, a quarter with it", 4),
    "rate": Metric(_rate, {f"{r:g}": (r, r) for r in (0.7, 0.8, 0.9, 0.95, 0.98)}, "patients that count", 4),
    "brier": Metric(_brier, {f"AUC {a:g}": (a, brier_truth(a)) for a in (0.7, 0.9, 0.98)}, "patients"),
    "ece": Metric(_ece, {f"shift {s:g}": (s, ece_truth(shifted(s))) for s in (0.0, 0.5, 1.0)}, "patients"),
    "calibration_slope": Metric(
        _slope,
        {f"AUC {a:g}, 1/{s:g}": ((a, s), 1 / s) for a in (0.8, 0.9, 0.95) for s in (1.0, 1.5)},
        "patients, a quarter with it",
        2,
    ),
    "calibration_in_the_large": Metric(
        _large, {f"{s:g}": (s, -s) for s in (0.0, 0.5)}, "patients, a quarter with it", 2
    ),
    "dice": Metric(_dice, {s: (s, _dice_truth(s)) for s in ("good", "failures")}, "patients", 4),
    "gap": Metric(
        _gap,
        {f"{k} groups, {g:g}": ((k, g), g) for k in (2, 4) for g in (0.0, 0.2)},
        "patients that count, in all groups",
    ),
    "net_benefit": Metric(_benefit, {f"{t:g}": (t, benefit_truth(t)) for t in (0.1, 0.5)}, "patients"),
}


@dataclass(frozen=True)
class Cell:
    """One metric, setting, number of images and of patients."""

    metric: str
    setting: str
    images: int
    n: int
    draws: int

    @property
    def key(self) -> str:
        """What its result is kept under."""
        return f"{self.metric}|{self.setting}|{self.images}|{self.n}|{self.draws}"


def measured(cell: Cell) -> dict[str, int]:
    """How many of the intervals hold the truth, and how many had bounds at all."""
    metric = METRICS[cell.metric]
    setting, truth = metric.truths[cell.setting]
    rng = np.random.default_rng([*cell.key.encode()])
    held = given = 0
    for _ in range(cell.draws):
        found = metric.draw(rng, cell.n, cell.images, setting)
        if math.isfinite(found.low) and math.isfinite(found.high):
            given += 1
            # A gap and an ECE of 0 lie on the edge of what they can be.
            held += found.low <= truth + 1e-9 and truth - 1e-9 <= found.high
    return {"held": held, "given": given}


def cells(metrics: Iterable[str], draws: int) -> Iterator[Cell]:
    """Every cell of some metrics."""
    for name in metrics:
        for setting in METRICS[name].truths:
            for images in IMAGES:
                for n in N:
                    yield Cell(name, setting, images, n, draws * METRICS[name].repeats)


def digest() -> str:
    """SHA-256 over this file and the statistics it rests on."""
    names = ("bootstrap", "intervals", "delong", "calibration", "decision_curve", "inputs")
    paths = [Path(__file__), *(ROOT / "src" / "fiducial" / "maths" / f"{name}.py" for name in names)]
    # Formatting and comments change no interval.
    return hashlib.sha256("".join(ast.dump(ast.parse(path.read_text())) for path in paths).encode()).hexdigest()[:16]


def run(metrics: list[str], path: Path, *, workers: int, draws: int) -> dict[str, dict[str, int]]:
    """Measure what the cache lacks; the results of all cells by key."""
    held: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    if held.get("digest") != digest():
        held = {"digest": digest(), "cells": {}}
    waiting = {cell.key: cell for cell in cells(metrics, draws) if cell.key not in held["cells"]}
    names = list(waiting)
    path.parent.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(names), 20):
        done = map_cases(measured, {key: waiting[key] for key in names[start : start + 20]}, workers=workers)
        held["cells"] |= done.results
        for failure in done.failures:
            print(f"  failed: {failure.key}: {failure.message}", file=sys.stderr)
        write_json(path, held)
        print(f"  {min(start + 20, len(names))} of {len(names)} cells", file=sys.stderr)
    found: dict[str, dict[str, int]] = held["cells"]
    return found


def share(found: dict[str, dict[str, int]], cell: Cell) -> float:
    """Coverage of one cell; NaN where fewer than half of the draws gave an interval."""
    one = found.get(cell.key, {"held": 0, "given": 0})
    return one["held"] / one["given"] if one["given"] > cell.draws / 2 else float("nan")


def lowest(found: dict[str, dict[str, int]], metric: str, n: int, draws: int) -> float:
    """The smallest coverage over a metric's settings and images at one n; NaN where one has none."""
    own = [cell for cell in cells([metric], draws) if cell.n == n]
    return min((share(found, cell) for cell in own), key=lambda value: -1.0 if math.isnan(value) else value)


def minimum_n(found: dict[str, dict[str, int]], metric: str, draws: int) -> int:
    """The smallest n from which on every cell holds; 0 where none does."""
    least = 0
    for n in reversed(N):
        if not lowest(found, metric, n, draws) >= HOLDS:
            break
        least = n
    return least


def table(
    found: dict[str, dict[str, int]], metrics: Iterable[str], draws: int
) -> list[tuple[str, str, list[str], str]]:
    """For each metric what n counts, the smallest coverage at each n, and the minimum n."""
    rows = []
    for name in metrics:
        shown = [f"{lowest(found, name, n, draws):.3f}".replace("nan", "–") for n in N]
        rows.append((name, METRICS[name].counts, shown, str(minimum_n(found, name, draws) or "none")))
    return rows


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--metrics", nargs="+", choices=list(METRICS), default=list(METRICS), metavar="NAME")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "coverage.json")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--all", action="store_true", help="print every cell")
    given = parser.parse_args()
    found = run(given.metrics, given.cache, workers=given.workers, draws=given.draws)
    if given.all:
        for cell in cells(given.metrics, given.draws):
            print(json.dumps({**asdict(cell), "coverage": round(share(found, cell), 4)}))
    print(f"{'metric':26}" + "".join(f"{n:>8}" for n in N) + "  minimum n")
    for name, _, shown, least in table(found, given.metrics, given.draws):
        print(f"{name:26}" + "".join(f"{one:>8}" for one in shown) + f"  {least}")


if __name__ == "__main__":
    main()
