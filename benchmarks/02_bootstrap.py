"""2,000 clustered bootstrap replicates of 8 metrics on 10,000 cases, alone and in 12 groups, beside scikit-learn.

    python benchmarks/02_bootstrap.py [--out FILE.json]

The peer draws the same patients' rows in a loop and calls scikit-learn's metrics; it is timed on 20 replicates
and scaled to 2,000. Standard errors of both are printed side by side.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from sklearn.metrics import accuracy_score, brier_score_loss, precision_score, recall_score, roc_auc_score

from fiducial.maths.bootstrap import Statistic, binary_statistics, bootstrap_counts, clustered_bootstrap, mean_of
from fiducial.maths.calibration import bin_edges, ece

N_CASES, N_SUBJECTS, N_REPLICATES, N_PEER = 10_000, 6_000, 2_000, 20
METRICS = ("dice", "auc", "sensitivity", "specificity", "ppv", "accuracy", "brier", "ece")
THRESHOLD = 0.5


def cases() -> dict[str, np.ndarray]:
    """10,000 cases of 6,000 patients, whose scores and Dice share a patient effect."""
    rng = np.random.default_rng(3)
    subject = np.sort(np.concatenate([np.arange(N_SUBJECTS), rng.integers(0, N_SUBJECTS, N_CASES - N_SUBJECTS)]))
    effect = rng.normal(size=N_SUBJECTS)[subject]
    truth = rng.random(N_CASES) < 0.3
    score = 1 / (1 + np.exp(-(1.6 * truth - 1.3 + 0.6 * effect + 0.8 * rng.normal(size=N_CASES))))
    dice = 1 / (1 + np.exp(-(2 + 0.5 * effect + 0.5 * rng.normal(size=N_CASES))))
    return {"subject": subject, "truth": truth, "score": score, "dice": dice}


def ours(data: dict[str, np.ndarray], groups: dict[str, np.ndarray] | None = None) -> tuple[float, dict[str, float]]:
    """Seconds and the standard error of each metric."""
    start = time.perf_counter()
    every = binary_statistics(
        data["truth"], data["score"], threshold=THRESHOLD, edges=bin_edges(data["score"], n_bins=10)
    )
    statistics: dict[str, Statistic] = {"dice": mean_of(data["dice"]), **every}
    chosen = {name: statistics[name] for name in METRICS}
    found = clustered_bootstrap(chosen, data["subject"], groups=groups, n_replicates=N_REPLICATES, seed=0)
    return time.perf_counter() - start, {name: float(found.replicates[:, i, 0].std()) for i, name in enumerate(METRICS)}


def peer(data: dict[str, np.ndarray]) -> tuple[float, dict[str, float]]:
    """Seconds for all replicates (scaled) and standard errors by a loop over scikit-learn."""
    counts = bootstrap_counts(data["subject"], N_PEER, 1)
    start = time.perf_counter()
    found = []
    for count in counts:
        rows = np.repeat(np.arange(N_CASES), count[data["subject"]])
        truth, score = data["truth"][rows], data["score"][rows]
        called = score >= THRESHOLD
        found.append(
            (
                data["dice"][rows].mean(),
                roc_auc_score(truth, score),
                recall_score(truth, called),
                recall_score(~truth, ~called),
                precision_score(truth, called),
                accuracy_score(truth, called),
                brier_score_loss(truth, score),
                ece(truth, score),
            )
        )
    seconds = (time.perf_counter() - start) * N_REPLICATES / N_PEER
    return seconds, dict(zip(METRICS, np.std(found, axis=0).tolist(), strict=True))


def main() -> None:
    """Print the table and write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    data = cases()
    rng = np.random.default_rng(4)
    groups = {"all": np.ones(N_CASES, dtype=bool)}
    groups |= {f"{name}={v}": rng.integers(0, 3, N_SUBJECTS)[data["subject"]] == v for name in "abcd" for v in range(3)}
    seconds, errors = min((ours(data) for _ in range(3)), key=lambda run: run[0])
    seconds_groups, _ = min((ours(data, groups) for _ in range(3)), key=lambda run: run[0])
    seconds_peer, errors_peer = peer(data)
    print(
        f"{N_REPLICATES:,} clustered replicates of {len(METRICS)} metrics, {N_CASES:,} cases, {N_SUBJECTS:,} patients"
    )
    print(f"{'fiducial':40}{seconds:10.2f} s")
    print(f"{'fiducial, all + 12 groups':40}{seconds_groups:10.2f} s")
    print(f"{'loop over scikit-learn (scaled from 20)':40}{seconds_peer:10.1f} s{seconds_peer / seconds:9.0f}x")
    print(f"\n{'standard error':16}{'fiducial':>12}{'loop of 20':>12}")
    for name in METRICS:
        print(f"{name:16}{errors[name]:12.5f}{errors_peer[name]:12.5f}")
    if given.out:
        row = {"fiducial_s": seconds, "fiducial_12_groups_s": seconds_groups, "scikit_learn_loop_s": seconds_peer}
        row |= {"times_faster": seconds_peer / seconds, "standard_errors": errors}
        given.out.write_text(json.dumps({"benchmark": "bootstrap", "rows": [row]}, indent=2) + "\n")


if __name__ == "__main__":
    main()
