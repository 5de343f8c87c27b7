"""Two metrics in 12 groups of 10,000 rows with 2,000 replicates: Fiducial beside Fairlearn's MetricFrame.

    python benchmarks/09_fairness.py [--peer-replicates 20] [--out FILE.json]

Fairlearn's own bootstrap (``n_boot``) is timed on few replicates and scaled to 2,000: it is linear in them, which a
second run with half as many shows. Point values of both are compared on the same arrays, and the rest of the audit of
fairness (all attributes, intersections and tests) is timed beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from fairlearn.metrics import (
    MetricFrame,
    demographic_parity_difference,
    equal_opportunity_difference,
    equalized_odds_difference,
    false_positive_rate,
    true_positive_rate,
)

from fiducial.audit import AuditSettings, vendor_input
from fiducial.audit.fairness import check_fairness
from fiducial.audit.tables import prepared
from fiducial.maths.bootstrap import Bootstrap, clustered_bootstrap, rate_of
from fiducial.phantom.tables import draw_table

N_ROWS, N_GROUPS, N_REPLICATES = 10_000, 12, 2_000


def rows() -> dict[str, np.ndarray]:
    """10,000 rows of as many patients in 12 groups."""
    rng = np.random.default_rng(9)
    truth = rng.random(N_ROWS) < 0.3
    called = rng.random(N_ROWS) < np.where(truth, 0.8, 0.15)
    names = np.array([f"g{k:02d}" for k in range(N_GROUPS)])
    return {"truth": truth, "called": called, "group": names[rng.integers(0, N_GROUPS, N_ROWS)]}


def ours(data: dict[str, np.ndarray]) -> tuple[float, Bootstrap]:
    """Seconds, and both rates with their replicates in every group."""
    start = time.perf_counter()
    truth, called = data["truth"], data["called"]
    found = clustered_bootstrap(
        {
            "tpr": rate_of(called, among=truth),
            "fpr": rate_of(called, among=~truth),
            "selection": rate_of(called),
        },
        np.arange(N_ROWS),
        groups={str(name): data["group"] == name for name in np.unique(data["group"])},
        n_replicates=N_REPLICATES,
        seed=0,
    )
    np.quantile(found.replicates, [0.025, 0.975], axis=0)
    return time.perf_counter() - start, found


def peer(data: dict[str, np.ndarray], n_replicates: int) -> tuple[float, MetricFrame]:
    """Seconds of Fairlearn's bootstrap of the same two rates."""
    start = time.perf_counter()
    frame = MetricFrame(
        metrics={"tpr": true_positive_rate, "fpr": false_positive_rate},
        y_true=data["truth"].astype(int),
        y_pred=data["called"].astype(int),
        sensitive_features=data["group"],
        n_boot=n_replicates,
        ci_quantiles=[0.025, 0.975],
        random_state=0,
    )
    return time.perf_counter() - start, frame


def differences(data: dict[str, np.ndarray], found: Bootstrap, frame: MetricFrame) -> dict[str, float]:
    """Largest distance of point values by group and of the three differences."""
    y = data["truth"].astype(int), data["called"].astype(int)
    gaps = {name: np.ptp(found.values[k]) for k, name in enumerate(found.metrics)}
    theirs = {
        "equalised_odds": equalized_odds_difference(*y, sensitive_features=data["group"]),
        "equal_opportunity": equal_opportunity_difference(*y, sensitive_features=data["group"]),
        "demographic_parity": demographic_parity_difference(*y, sensitive_features=data["group"]),
    }
    own = {
        "equalised_odds": max(gaps["tpr"], gaps["fpr"]),
        "equal_opportunity": gaps["tpr"],
        "demographic_parity": gaps["selection"],
    }
    by_group = frame.by_group.loc[list(found.groups), ["tpr", "fpr"]].to_numpy().T
    return {name: abs(float(own[name] - theirs[name])) for name in own} | {
        "by_group": float(np.abs(by_group - found.values[:2]).max())
    }


def whole_check() -> float:
    """Seconds of the whole check on 10,000 test cases: three attributes (12 groups), intersections, gaps and tests."""
    table = draw_table(10_000, seed=0).assign(split="test")
    settings = AuditSettings(n_replicates=N_REPLICATES, attributes=("sex", "site", "scanner"))
    given = prepared(vendor_input(pd.DataFrame(table), settings=settings))
    start = time.perf_counter()
    check_fairness(given)
    return time.perf_counter() - start


def main() -> None:
    """Print the table and write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-replicates", type=int, default=20)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    data = rows()
    seconds, found = min((ours(data) for _ in range(3)), key=lambda run: run[0])
    n = given.peer_replicates
    half, _ = peer(data, n // 2)
    whole, frame = peer(data, n)
    scaled = whole * N_REPLICATES / n
    apart = differences(data, found, frame)
    check = whole_check()
    print(f"2 metrics, {N_GROUPS} groups, {N_ROWS:,} rows, {N_REPLICATES:,} replicates")
    print(f"{'fiducial (3 metrics)':44}{seconds:10.3f} s")
    print(f"{'fairlearn, scaled from ' + str(n):44}{scaled:10.1f} s{scaled / seconds:9.0f}x")
    print(f"{'  measured: ' + str(n // 2) + ' and ' + str(n) + ' replicates':44}{half:10.2f} s{whole:9.2f} s")
    print(f"{'fiducial, whole check of fairness':44}{check:10.1f} s")
    for name, distance in apart.items():
        print(f"{'difference of ' + name:44}{distance:10.1e}")
    if given.out:
        row = {"fiducial_s": seconds, "fairlearn_s_scaled": scaled, "fairlearn_replicates": n, "whole_check_s": check}
        row |= {"fairlearn_s_measured": whole, "times_faster": scaled / seconds, "differences": apart}
        given.out.write_text(json.dumps({"benchmark": "fairness", "rows": [row]}, indent=2) + "\n")


if __name__ == "__main__":
    main()
