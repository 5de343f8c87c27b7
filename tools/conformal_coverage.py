"""Whether conformal promises are kept on average over draws of calibration *and* test patients.

    python tools/conformal_coverage.py [--draws 1000] [--out build/conformal.json]

Each promise is drawn for n calibration and 100 test patients. The mean of the draws must lie in
[1 - alpha, 1 - alpha + 1 / (n + 1)] give or take three standard errors; for one random image of patients with several,
the upper end is 1 - alpha + 2 / (n + 1); a risk must lie in [alpha - 2 / (n + 1) - 0.03, alpha], its settings being 40;
a survival bound promises the lower end only. tools/power.py puts the table into docs/reference/power.md.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fiducial.maths.conformal import (
    conformal_quantile,
    covered_share,
    group_quantiles,
    prediction_interval,
    residual_scores,
)
from fiducial.maths.conformal_risk import control_risk
from fiducial.maths.conformal_sets import label_scores, label_sets, true_scores
from fiducial.maths.conformal_survival import survival_bound
from fiducial.records.files import write_json

ALPHA = 0.1
N_TEST = 100
SIZES = (20, 50, 200)
Draw = Callable[[np.random.Generator, int], float]


@dataclass(frozen=True)
class Cell:
    """One promise with n calibration patients: the mean over draws, its standard error, and where it must lie."""

    promise: str
    n: int
    n_draws: int
    mean: float
    error: float
    low: float
    high: float

    @property
    def kept(self) -> bool:
        """Whether the mean lies between the bounds, give or take three standard errors."""
        return self.low - 3 * self.error <= self.mean <= self.high + 3 * self.error


def label_table(rng: np.random.Generator, n: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Probabilities [n, 3] that are too sure of themselves, and truths."""
    chance = rng.dirichlet(np.full(3, 0.7), n)
    truth = (rng.random((n, 1)) > chance.cumsum(axis=1)).sum(axis=1).clip(max=2)
    return chance**2 / (chance**2).sum(axis=1, keepdims=True), truth


def sets(method: str) -> Draw:
    """Label sets with one quantile for everybody."""

    def draw(rng: np.random.Generator, n: int) -> float:
        probability, truth = label_table(rng, n + N_TEST)
        uniform = None if method == "lac" else rng.random(n + N_TEST)
        scores = label_scores(probability, method, uniform=uniform)
        quantile = conformal_quantile(true_scores(scores, truth)[:n], ALPHA)
        return float(label_sets(scores[n:], quantile)[np.arange(N_TEST), truth[n:]].mean())

    return draw


def own_class(rng: np.random.Generator, n: int) -> float:
    """The quantile of a class, with n calibration and 100 test patients of it."""
    probability, truth = label_table(rng, 6 * (n + N_TEST))
    own = np.flatnonzero(truth == 0)
    before, after = own[:n], own[n : n + N_TEST]
    scores = label_scores(probability, "lac")
    others = np.flatnonzero(truth != 0)[:n]
    known = np.concatenate([before, others])
    quantile = group_quantiles(true_scores(scores, truth)[known], truth[known], ALPHA)[0]
    return float(label_sets(scores[after], quantile)[:, 0].mean())


def own_group(rng: np.random.Generator, n: int) -> float:
    """The quantile of an attribute's harder group, beside an easier one of twice its size."""
    size = n + N_TEST
    hard = np.abs(rng.normal(size=size)) * 2.0
    easy = np.abs(rng.normal(size=2 * n))
    group = np.repeat(["hard", "easy"], [n, 2 * n])
    quantile = group_quantiles(np.concatenate([hard[:n], easy]), group, ALPHA)["hard"]
    return float((hard[n:] <= quantile).mean())


def patients(images: str) -> Draw:
    """Patients with 1 to 5 images that resemble each other; those with more have larger scores."""

    def draw(rng: np.random.Generator, n: int) -> float:
        n_images = rng.integers(1, 6, n + N_TEST)
        subject = np.repeat(np.arange(n + N_TEST), n_images)
        level = rng.normal(size=n + N_TEST) + 0.5 * n_images
        scores = math.sqrt(0.6) * level[subject] + math.sqrt(0.4) * rng.normal(size=len(subject))
        own = subject < n
        quantile = conformal_quantile(scores[own], ALPHA, subject=subject[own], images=images)
        return float(covered_share(scores[~own] <= quantile, subject=subject[~own], images=images).mean())

    return draw


def volumes(rng: np.random.Generator, n: int) -> float:
    """Intervals of a number whose errors have heavy tails."""
    predicted = rng.normal(size=n + N_TEST)
    truth = predicted + rng.uniform(1, 5, n + N_TEST) * rng.standard_t(4, n + N_TEST)
    quantile = conformal_quantile(residual_scores(truth[:n], predicted[:n]), ALPHA)
    low, high = prediction_interval(predicted[n:], quantile)
    return float(((low <= truth[n:]) & (truth[n:] <= high)).mean())


def survival(rng: np.random.Generator, n: int) -> float:
    """Lower bounds of survival where every end of follow-up is known and independent of the patient."""
    risk = rng.normal(size=n + N_TEST)
    died = rng.exponential(np.exp(5 - 0.7 * risk))
    censored = rng.uniform(50, 600, n + N_TEST)
    predicted = np.exp(5.3 - 0.7 * risk)
    time, event = np.minimum(died, censored), died <= censored
    bound = survival_bound(
        predicted[:n], time[:n], event[:n], cutoff_days=200.0, alpha=ALPHA, censoring_days=censored[:n]
    )
    return float((died[n:] >= bound.lower(predicted[n:])).mean())


def mask_risk(rng: np.random.Generator, n: int) -> float:
    """The mean share of a structure that masks miss, at the setting that is chosen for it."""
    place = rng.beta(2, 3, (n + N_TEST, 1)) + 0.1 * rng.random((n + N_TEST, 1))
    curves = np.clip(1.5 - 1.5 * np.linspace(0, 1.2, 40) / place, 0, 1)
    column = control_risk(curves[:n], ALPHA).column
    return float(curves[n:, column].mean()) if column is not None else math.nan


PROMISES: dict[str, tuple[Draw, float]] = {
    "label sets, LAC": (sets("lac"), 1),
    "label sets, APS": (sets("aps"), 1),
    "label sets, RAPS": (sets("raps"), 1),
    "label sets of a class": (own_class, 1),
    "sets of an attribute's group": (own_group, 1),
    "one random image of a patient": (patients("one"), 2),
    "all images of a patient": (patients("all"), 1),
    "interval of a volume": (volumes, 1),
    "lower bound of survival": (survival, math.inf),
    "risk of a mask": (mask_risk, 0),
}
"""A draw, and how far above 1 - alpha the mean may lie, in units of 1 / (n + 1)."""


def cell(promise: str, n: int, n_draws: int) -> Cell:
    """Draw one promise."""
    draw, slack = PROMISES[promise]
    rng = np.random.default_rng([n, list(PROMISES).index(promise)])
    held = np.array([draw(rng, n) for _ in range(n_draws)])
    low, high = 1 - ALPHA, min(1.0, 1 - ALPHA + slack / (n + 1))
    if promise == "risk of a mask":
        low, high = max(0.0, ALPHA - 2 / (n + 1) - 0.03), ALPHA
    return Cell(promise, n, n_draws, float(held.mean()), float(held.std() / math.sqrt(n_draws)), low, high)


def table(cells: list[Cell]) -> str:
    """One row for each promise, with the mean of the draws for each n."""
    lines = ["| promise | " + " | ".join(f"n = {n}" for n in SIZES) + " |", "|---" * (1 + len(SIZES)) + "|"]
    for promise in PROMISES:
        own = {one.n: one for one in cells if one.promise == promise}
        shown = [
            f"{own[n].mean:.4f} ± {3 * own[n].error:.4f} in [{own[n].low:.3f}, {own[n].high:.3f}]"
            + ("" if own[n].kept else " **not kept**")
            for n in SIZES
        ]
        lines.append(f"| {promise} | " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Draw all promises, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path("build/conformal.json"))
    asked = parser.parse_args()
    cells = [cell(promise, n, asked.draws) for promise in PROMISES for n in SIZES]
    write_json(asked.out, [asdict(one) for one in cells])
    print(table(cells))


if __name__ == "__main__":
    main()
