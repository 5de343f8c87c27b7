"""Features of patients who do not exist, correlated as radiomics features are; two of them foretell an event.

Of 173 features of 51 sarcomas (FDG-PET, IBSI 1) the quartiles of |Spearman's correlation| are 0.19, 0.46 and 0.79, and
at 0.9 they form 57 clusters of complete linkage. Here blocks of features say nearly the same, and the blocks share a
few things that vary, the volume first. `tests/phantom/test_feature_tables.py` holds the figures that this gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from fiducial.errors import InputRefused
from fiducial.maths.inputs import Bools, Floats, Integers

SHARED = (0.65, 0.2, 0.08, 0.04, 0.03)
"""Mean shares of what blocks have in common; the first is the logarithm of the volume."""
OWN = 0.1
"""Share of a block's variance that no other block has."""
PER_BLOCK = 3.3
NEARNESS = (0.96, 0.999)
"""Correlation of a feature with its block."""
FAR = 0.25
"""Planted features lie in this share of blocks, the least like the volume: else it would tell the same."""
PREVALENCE = 0.4
N_PLANTED = 2


@dataclass(frozen=True)
class PlantedFeatures:
    """``features`` [n, p] with the volume at 0, ``event`` [n], ``planted`` [2] places of the features that matter."""

    features: Floats
    event: Bools
    planted: Integers


def draw_features(n: int, n_features: int, *, auc: float, seed: int) -> PlantedFeatures:
    """A cohort in which the sum of two features, of different blocks, has the AUC ``auc``; 0.5 plants nothing.

    The log odds are linear in the standardised sum, with a prevalence of 0.4 on average. Structure and patients are
    drawn anew from each seed.

    Raises:
        InputRefused: fewer than 20 features, no patient, or an AUC outside [0.5, 0.99].
    """
    if n < 1 or n_features < 20 or not 0.5 <= auc <= 0.99:
        raise InputRefused(
            f"{n} patients, {n_features} features, AUC {auc:g}", legal="patients, 20 features, AUC of 0.5 to 0.99"
        )
    rng = np.random.default_rng(seed)
    n_blocks = round(n_features / PER_BLOCK)
    weights = rng.normal(size=(n_blocks, len(SHARED))) * np.sqrt(SHARED)
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    weights[0] = np.eye(len(SHARED))[0]
    shared = rng.normal(size=(n, len(SHARED)))
    blocks = shared @ weights.T * np.sqrt(1 - OWN) + rng.normal(size=(n, n_blocks)) * np.sqrt(OWN)
    popular = 1 / np.arange(1, n_blocks + 1) ** 0.7
    block = np.concatenate(
        [np.arange(n_blocks), rng.choice(n_blocks, n_features - n_blocks, p=popular / popular.sum())]
    )
    near = rng.uniform(*NEARNESS, n_features)
    features = blocks[:, block] * near + rng.normal(size=(n, n_features)) * np.sqrt(1 - near**2)
    features[:, 0] = np.exp(features[:, 0])
    far = np.argsort(np.abs(weights[:, 0]), kind="stable")[: max(N_PLANTED, round(n_blocks * FAR))]
    planted = rng.choice(far, N_PLANTED, replace=False)
    cross = float(weights[planted[0]] @ weights[planted[1]]) * (1 - OWN) * float(near[planted].prod())
    score = features[:, planted].sum(axis=1) / np.sqrt(2 + 2 * cross)
    intercept, slope = log_odds_of(auc)
    event = rng.random(n) < 1 / (1 + np.exp(-(intercept + slope * score)))
    return PlantedFeatures(features, np.asarray(event), planted)


@cache
def log_odds_of(auc: float) -> tuple[float, float]:
    """Intercept and slope of log odds in a standard normal score with this AUC and prevalence 0.4."""
    from scipy.optimize import brentq

    z = np.linspace(-8, 8, 4001)
    density = np.exp(-(z**2) / 2)
    density /= density.sum()

    def intercept(slope: float) -> float:
        return float(brentq(lambda c: float(density @ (1 / (1 + np.exp(-(c + slope * z))))) - PREVALENCE, -30, 30))

    def area(slope: float) -> float:
        risk = 1 / (1 + np.exp(-(intercept(slope) + slope * z)))
        ill, well = density * risk / PREVALENCE, density * (1 - risk) / (1 - PREVALENCE)
        return float(ill @ (np.cumsum(well) - well / 2))

    slope = 0.0 if auc == 0.5 else float(brentq(lambda b: area(b) - auc, 1e-6, 30))
    return intercept(slope), slope
