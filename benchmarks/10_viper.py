"""43 mammography readers as raters, and as models: agreement, operating points, modalities; a full report of each part.

    python benchmarks/10_viper.py --data ../shared/data/viper [--out FOLDER] [--replicates 2000]

Each of the five sub-studies has its own selection of cases and its own prevalence, and readers took part in several, so
each is audited by itself. In each reading group two readers drawn by seed are the "model" (the mean of their scores,
divided by 201, which is not a risk); the recall decisions of the others are the raters' rows. An image is one woman in
one modality; both modalities of a woman belong to one subject. The truth is cancer within 455 days. A score above 100
was a recall, so the operating point is 0.5. Nothing is fitted, so there is no calibration part.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

HIGHEST_SCORE = 201
RECALLED = 1
STUDY = """
[study]
name = "viper-{name}"
intended_use = "Recall women from mammography as two readers of the VIPER study did, for research"
[data]
attributes = ["modality"]
[task]
kind = "classification"
targets = ["cancer"]
[operating_point]
rule = "threshold"
value = 0.5
[[accept]]
metric = "auc"
statistic = "low"
at_least = 0.75
"""
SHOWN = (
    ("accuracy", "auc", "value"),
    ("operating_point", "sensitivity", "value"),
    ("operating_point", "specificity", "value"),
    ("agreement", "percent_agreement", "value"),
    ("agreement", "fleiss_kappa", "value"),
    ("agreement", "krippendorff_alpha", "value"),
    ("decisions", "net_benefit", "value"),
    ("decisions", "likelihood_ratio_positive", "value"),
    ("decisions", "likelihood_ratio_negative", "value"),
)


def readings(folder: Path) -> pd.DataFrame:
    """One row per reader, woman and modality; ``image`` is the woman in that modality."""
    rows = pd.read_csv(folder / "viperObs.csv")
    return rows.assign(
        subject=rows["caseID"].map("case{:05d}".format),
        image=[f"case{case:05d}-{name}" for case, name in zip(rows["caseID"], rows["modalityID"], strict=True)],
        truth=rows["cancerStatus455"].astype(float),
        recalled=(rows["recall"] == RECALLED).astype(float),
        score=rows["score"] / HIGHEST_SCORE,
        modality=rows["modalityID"],
    )


def panels(rows: pd.DataFrame, *, seed: int = 0) -> set[tuple[str, str]]:
    """(reader, case group) of two readers from each reading group: the readers who saw one set of cases."""
    rng = np.random.default_rng(seed)
    chosen: set[tuple[str, str]] = set()
    for group, part in rows.groupby("caseGroup", sort=True):
        readers = sorted(part["readerID"].unique())
        chosen |= {(readers[k], str(group)) for k in rng.choice(len(readers), 2, replace=False)}
    return chosen


def vendor_table(rows: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """The mean score of the two readers of each panel, and the recall decisions of all others as rows by rater."""
    chosen = panels(rows, seed=seed)
    inside = np.array([pair in chosen for pair in zip(rows["readerID"], rows["caseGroup"], strict=True)])
    said = ["subject", "image", "truth", "modality"]
    model = rows[inside].groupby(said, sort=True)["score"].mean().rename("value").reset_index()
    raters = rows[~inside & rows["image"].isin(set(model["image"]))]
    raters = raters.rename(columns={"recalled": "value", "readerID": "rater"})[[*said, "value", "rater"]]
    return pd.concat([model.assign(rater=""), raters], ignore_index=True).assign(target="cancer")


def modalities(rows: pd.DataFrame) -> dict[str, float]:
    """Film against digital on the same women: paired AUC of each woman's mean score, McNemar of all recalls."""
    from fiducial.maths.difference import auc_difference_interval
    from fiducial.maths.paired import paired_rates

    both = rows.pivot_table(index=["subject", "truth"], columns="modality", values="score", aggfunc="mean").dropna()
    both = both.reset_index()
    area = auc_difference_interval(both["truth"], both["FFDM"], both["SFM"], subject=both["subject"])
    keys = ["subject", "truth", "readerID"]
    same = rows.pivot_table(index=keys, columns="modality", values="recalled", aggfunc="first").dropna().reset_index()
    right = [(same[name] == same["truth"]) for name in ("FFDM", "SFM")]
    rates = paired_rates(right[0], right[1], subject=same["subject"])
    return {
        "women": len(both),
        "auc_difference": area.value,
        "auc_low": area.low,
        "auc_high": area.high,
        "auc_p": area.p,
        "right_ffdm": rates.first,
        "right_sfm": rates.second,
        "right_p": rates.difference.p,
    }


def audited(table: pd.DataFrame, name: str, out: Path, n_replicates: int) -> list[dict[str, object]]:
    """Write the table, audit it and write the report; the rows of its evidence."""
    from fiducial.flows import AuditSettings, audit, report

    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "readers.csv", index=False)
    (folder / "study.toml").write_text(STUDY.format(name=name))
    settings = AuditSettings(n_replicates=n_replicates)
    audit(folder / "readers.csv", folder / "audit", study=folder / "study.toml", settings=settings)
    report(folder / "audit")
    rows: list[dict[str, object]] = json.loads((folder / "audit" / "evidence.json").read_text())["rows"]
    return rows


def show(name: str, rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Print the key figures and findings of one sub-study."""
    wanted = [
        row
        for row in rows
        if (row["check"], row["metric"], row["statistic"]) in SHOWN
        and row["group"] == "all"
        and row["value"] is not None
    ]
    for row in wanted:
        bounds = "" if row["low"] is None else f" ({row['low']:.3f} to {row['high']:.3f})"
        counts = f"{row['n_subjects']} women, {row['n_images']} images"
        print(f"{name:<16}{row['check']:<17}{row['metric']:<28}{row['value']:.3f}{bounds:<20} {counts}")
    for row in rows:
        if row["verdict"] == "finding":
            print(f"{name:<16}finding: {row['check']}: {row['reason']}")
    return wanted


def main() -> None:
    """Audit all sub-studies, print their figures and, if asked, keep the reports and JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/viper"))
    parser.add_argument("--replicates", type=int, default=2000)
    parser.add_argument("--out", type=Path, help="folder for tables and reports; a temporary one unless named")
    asked = parser.parse_args()
    everything = readings(asked.data)
    n_readers, n_women = everything["readerID"].nunique(), everything["subject"].nunique()
    print(f"{len(everything)} readings, {n_readers} readers, {n_women} women")
    with tempfile.TemporaryDirectory() as folder:
        out = asked.out or Path(folder)
        found: dict[str, object] = {}
        for name, rows in everything.groupby("subStudyLabel", sort=True):
            table = vendor_table(rows)
            n_raters = table.loc[table["rater"] != "", "rater"].nunique()
            events = int(table.loc[table["rater"] == ""].drop_duplicates("subject")["truth"].sum())
            n_women = table["subject"].nunique()
            print(f"{name}: {n_women} women, {events} with cancer, {n_raters} raters beside the panel")
            pair = modalities(rows)
            print(f"{name:<16}FFDM - SFM: " + ", ".join(f"{key} {value:.3f}" for key, value in pair.items()))
            found[str(name)] = {"figures": show(str(name), audited(table, str(name), out, asked.replicates)), **pair}
        if asked.out:
            (asked.out / "viper.json").write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
