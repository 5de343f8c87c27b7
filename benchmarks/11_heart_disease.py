"""Heart disease at four hospitals: a plain model of one, audited as a vendor's table on the three others.

    python benchmarks/11_heart_disease.py --data ../shared/data/heart_disease [--out FOLDER] [--replicates 2000]

A logistic regression (scikit-learn) learns from 60 % of Cleveland's patients, drawn by seed; the other 40 % are the
calibration part, and all of Budapest (Hungarian), Zurich and Basel (Switzerland) and Long Beach (VA) the test part.
Missing values are filled with Cleveland's medians, a cholesterol of 0 counts as missing, and what is missing at a
hospital stays missing in the attributes of the table. Disease is a value above 0 in the last column.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

SITES = {"cleveland": "Cleveland", "hungarian": "Budapest", "switzerland": "Zurich", "va": "Long Beach"}
COLUMNS = (
    *("age", "sex", "chest_pain", "pressure_mmhg", "cholesterol_mg_dl", "sugar_above_120", "ecg", "heart_rate_max"),
    *("angina_on_exertion", "st_depression", "st_slope", "vessels", "thallium", "disease"),
)
USED = (
    *("age", "sex", "chest_pain", "pressure_mmhg", "cholesterol_mg_dl", "sugar_above_120", "ecg", "heart_rate_max"),
    *("angina_on_exertion", "st_depression"),
)
CATEGORIES = ("chest_pain", "ecg")
STUDY = """
[study]
name = "heart-disease"
intended_use = "Foretell coronary disease before angiography, for research"
[data]
attributes = ["sex", "site", "age_band", "sugar_above_120", "st_slope", "thallium"]
bands = {age = [50, 60]}
[task]
kind = "classification"
targets = ["disease"]
[operating_point]
rule = "sensitivity"
value = 0.9
[[accept]]
metric = "auc"
statistic = "low"
at_least = 0.8
[[accept]]
metric = "sensitivity"
statistic = "low"
at_least = 0.85
"""
SHOWN = {
    "accuracy": ("auc", "prevalence"),
    "operating_point": ("sensitivity", "specificity"),
    "calibration": ("calibration_slope", "calibration_in_the_large"),
    "sites": ("auc", "calibration_in_the_large"),
    "decisions": ("net_benefit", "likelihood_ratio_positive", "likelihood_ratio_negative"),
    "label_noise": ("noise_rate",),
}


def patients(folder: Path) -> pd.DataFrame:
    """All 920 patients with their hospital; NaN where a hospital did not write something down."""
    parts = []
    for name, site in SITES.items():
        part = pd.read_csv(folder / f"processed.{name}.data", header=None, names=list(COLUMNS), na_values=["?"])
        parts.append(part.assign(site=site, subject=[f"{name}-{k:03d}" for k in range(1, len(part) + 1)]))
    rows = pd.concat(parts, ignore_index=True)
    rows["cholesterol_mg_dl"] = rows["cholesterol_mg_dl"].where(rows["cholesterol_mg_dl"] > 0)
    return rows.assign(truth=(rows["disease"] > 0).astype(float))


def vendor_table(rows: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """The model's answers for everybody whom it was not trained on, with attributes as they were written down."""
    own = np.flatnonzero(rows["site"] == "Cleveland")
    own = np.random.default_rng(seed).permutation(own)
    trained, calibration = np.split(own, [round(0.6 * len(own))])
    value = _probability(rows, trained)
    split = pd.Series("test", index=rows.index)
    split.iloc[calibration] = "calibration"
    table = pd.DataFrame(
        {
            "subject": rows["subject"],
            "image": rows["subject"],
            "target": "disease",
            "value": value,
            "truth": rows["truth"],
            "split": split,
            "site": rows["site"],
            "age": rows["age"],
            "sex": rows["sex"].map({1.0: "M", 0.0: "F"}),
            "sugar_above_120": rows["sugar_above_120"].map({1.0: "yes", 0.0: "no"}),
            "st_slope": rows["st_slope"].map({1.0: "rising", 2.0: "flat", 3.0: "falling"}),
            "thallium": rows["thallium"].map({3.0: "normal", 6.0: "fixed defect", 7.0: "reversible defect"}),
        }
    )
    return table.drop(index=rows.index[trained]).reset_index(drop=True)


def _probability(rows: pd.DataFrame, trained: np.ndarray) -> np.ndarray:
    """A plain logistic regression on what every hospital measured."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features = rows[list(USED)]
    features = features.fillna(features.iloc[trained].median())
    features = pd.get_dummies(features, columns=list(CATEGORIES), dtype=float)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=1000))
    model.fit(features.iloc[trained], rows["truth"].iloc[trained])
    return model.predict_proba(features)[:, 1]


def audited(table: pd.DataFrame, out: Path, n_replicates: int) -> list[dict[str, object]]:
    """Write the table, audit it and write the report; the rows of its evidence."""
    from fiducial.flows import AuditSettings, audit, report

    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(out / "vendor.csv", index=False)
    (out / "study.toml").write_text(STUDY)
    settings = AuditSettings(n_replicates=n_replicates)
    audit(out / "vendor.csv", out / "audit", study=out / "study.toml", settings=settings)
    report(out / "audit")
    rows: list[dict[str, object]] = json.loads((out / "audit" / "evidence.json").read_text())["rows"]
    return rows


def main() -> None:
    """Train, audit, print the key figures and, if asked, keep the report and JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/heart_disease"))
    parser.add_argument("--replicates", type=int, default=2000)
    parser.add_argument("--out", type=Path, help="folder for table and report; a temporary one unless named")
    asked = parser.parse_args()
    everybody = patients(asked.data)
    table = vendor_table(everybody)
    events = table.groupby("site")["truth"].sum().to_dict()
    print(f"{len(everybody)} patients; {table.groupby('split').size().to_dict()}, with disease {events}")
    with tempfile.TemporaryDirectory() as folder:
        rows = audited(table, asked.out or Path(folder), asked.replicates)
    shown = [
        row
        for row in rows
        if row["metric"] in SHOWN.get(str(row["check"]), ())
        and row["value"] is not None
        and row["condition"] == "clean"
        and (row["group"] == "all" or row["check"] == "sites")
    ]
    for row in shown:
        bounds = "" if row["low"] is None else f" ({row['low']:.3f} to {row['high']:.3f})"
        where = f"{row['split']} {row['group']} n = {row['n_subjects']}"
        print(f"{row['check']:<17}{row['metric']:<27}{row['statistic']:<17}{row['value']:.3f}{bounds:<20} {where}")
    for row in rows:
        if row["verdict"] in ("finding", "fail", "inconclusive"):
            print(f"{row['verdict']}: {row['check']} {row['metric']}: {row['reason']}")
    if asked.out:
        (asked.out / "heart.json").write_text(json.dumps(shown, indent=2))


if __name__ == "__main__":
    main()
