"""Real readers and real hospitals through the audit: what is known of these data sets is found in them."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fiducial.audit import AuditSettings, audit, vendor_input

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytestmark = pytest.mark.real_data


def script(name: str) -> dict[str, Any]:
    """The functions of a benchmark."""
    return runpy.run_path(str(BENCHMARKS / name))


def found(table: pd.DataFrame, **said: Any) -> pd.DataFrame:
    return audit(vendor_input(table, settings=AuditSettings(n_replicates=50), **said)).evidence


def test_viper_readers(data: Path) -> None:
    viper = script("10_viper.py")
    rows = viper["readings"](data / "viper")
    assert (len(rows), rows["readerID"].nunique(), rows["subject"].nunique()) == (20382, 43, 715)
    # A score above 100 was a recall, but for a handful of readings: the scale was kept.
    assert ((rows["score"] * 201 > 100) == (rows["recalled"] == 1)).mean() > 0.99
    part = rows[rows["subStudyLabel"] == "screeningHighP"]
    table = viper["vendor_table"](part)
    assert table.loc[table["rater"] != "", "rater"].nunique() == 12
    evidence = found(table)
    kappa = evidence[(evidence["check"] == "agreement") & (evidence["metric"] == "fleiss_kappa")].iloc[0]
    assert 0 < kappa["low"] < kappa["value"] < kappa["high"] < 0.6
    assert kappa["n_subjects"] == 239
    copies = evidence[evidence["check"] == "duplicates"].iloc[0]
    assert copies["verdict"] == "not_possible"  # integer scores: equal ones are no copies
    groups = evidence[(evidence["check"] == "subgroups") & (evidence["metric"] == "auc")]["group"]
    assert {"modality=FFDM", "modality=SFM"} <= set(groups)


def test_viper_modalities_on_the_same_women(data: Path) -> None:
    viper = script("10_viper.py")
    rows = viper["readings"](data / "viper")
    pair = viper["modalities"](rows[rows["subStudyLabel"] == "screeningLowP"])
    assert pair["women"] == 418
    assert pair["auc_low"] < pair["auc_difference"] < pair["auc_high"]
    assert 0 < pair["right_p"] <= 1


def test_heart_disease_at_other_hospitals(data: Path) -> None:
    heart = script("11_heart_disease.py")
    everybody = heart["patients"](data / "heart_disease")
    assert everybody.groupby("site").size().to_dict() == {
        "Budapest": 294,
        "Cleveland": 303,
        "Long Beach": 200,
        "Zurich": 123,
    }
    evidence = found(heart["vendor_table"](everybody))
    test = evidence[evidence["split"].isin(["test", ""])]
    # The same two pairs of patients are known as repeated rows of this data set.
    copies = test[test["check"] == "duplicates"].iloc[0]
    assert copies["verdict"] == "finding"
    assert copies["reason"] == "equal to the last digit: hungarian-102 and hungarian-103, va-140 and va-188"
    sites = test[(test["check"] == "sites") & (test["metric"] == "auc")].set_index(["statistic", "group"])
    assert sites.loc[("heterogeneity", "site"), "verdict"] == "finding"
    assert "n = 8 < 10 in the rarer class" in sites.loc[("at_site", "site=Zurich"), "reason"]
    missing = test[(test["metric"] == "missing_attribute") & (test["verdict"] == "finding")]
    assert {"sugar_above_120", "st_slope", "thallium"} <= set(missing["item"])
    assert len(everybody[everybody.duplicated(list(everybody.columns.drop("subject")), keep=False)]) == 4
