"""Tables of patients whose truth is known, for the tests of signatures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from fiducial.records.radiomics import FEATURES
from fiducial.records.tables import table

N_POSITIVE = 20


def features_table(values: dict[str, dict[str, float]], **more: Any) -> pd.DataFrame:
    """Rows of `FEATURES`: a region ``mask-SUBJECT`` each, with values by ``family.feature``."""
    codes = {"volume_mesh": "RNU0", "maximum": "84IY"}
    rows = []
    for subject, own in values.items():
        for name, value in own.items():
            family, feature = name.split(".")
            row = {"subject": subject, "image": f"image-{subject}", "mask": f"mask-{subject}", "value": value}
            rows.append({**row, "family": family, "feature": feature, "ibsi_code": codes.get(feature, ""), **more})
    return table(rows, FEATURES)


def planted(*, n: int = 50, n_noise: int = 20, shift: float = 2.0, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Features and outcomes of ``n`` patients: one texture follows the outcome, volume, maximum and the rest do not."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.arange(n) < N_POSITIVE * n // 50).astype(int)
    values = {}
    for k in range(n):
        own = {"morphology.volume_mesh": float(np.exp(rng.normal(10, 1))), "statistics.maximum": float(rng.gamma(4))}
        own["glcm.planted"] = float(rng.normal() + shift * truth[k])
        own |= {f"glcm.noise_{i:02d}": float(rng.normal()) for i in range(n_noise)}
        values[f"P{k:03d}"] = own
    time = rng.exponential(100 * np.exp(-truth)) + 1
    outcomes = pd.DataFrame({"subject": list(values), "spread": truth, "time": time, "event": rng.integers(0, 2, n)})
    outcomes["age"] = rng.integers(40, 80, n)
    outcomes["sex"] = rng.choice(["F", "M"], n)
    return features_table(values), outcomes
