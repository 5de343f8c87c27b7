"""Evidence and curves as an audit writes them, made by hand: what a report is tested with."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fiducial.records.picture import Picture
from fiducial.records.tables import CASES, CURVES, EVIDENCE, table
from fiducial.report import ReportInput
from fiducial.study import Study, parse_study

DELONG = "DeLong, clustered by patient"
WILSON = "Wilson on the effective n"

CLASSIFICATION_STUDY = """
[study]
name = "nodule-malignancy"
intended_use = "Second reader for radiologists: rank lung nodules on low-dose CT in adults aged 50 to 80"
not_for = ["children", "contrast CT", "autonomous decisions"]

[data]
cohort = "cohort"
inputs = ["CT"]
attributes = ["sex", "age_band", "site", "scanner"]
bands = {age = [50, 65, 80]}

[task]
kind = "classification"
targets = ["malignant"]

[operating_point]
rule = "sensitivity"
value = 0.90

[[accept]]
metric = "auc"
statistic = "low"
at_least = 0.85
"""

SEGMENTATION_STUDY = """
[study]
name = "hippocampus"
intended_use = "Outline the anterior and posterior hippocampus on T1-weighted MR for volumetry in research"
not_for = ["diagnosis of a single patient"]

[task]
kind = "segmentation"
targets = ["anterior", "posterior"]

[[accept]]
metric = "dice"
statistic = "low"
target = "anterior"
at_least = 0.85
"""


def row(check: str, metric: str, value: float = math.nan, **more: Any) -> dict[str, Any]:
    return {"check": check, "metric": metric, "value": value, **more}


def _criteria() -> list[dict[str, Any]]:
    base = {"split": "test", "n_subjects": 1200, "n_images": 1384, "target": "malignant"}
    small = base | {"n_subjects": 7, "n_images": 7}
    return [
        row(
            "acceptance",
            "auc",
            0.8912,
            low=0.8713,
            high=0.9088,
            statistic="low",
            threshold=0.85,
            direction="at_least",
            verdict="pass",
            method=DELONG,
            **base,
        ),
        row(
            "acceptance",
            "sensitivity",
            0.8431,
            low=0.8011,
            high=0.8777,
            threshold=0.9,
            direction="at_least",
            verdict="fail",
            method=WILSON,
            n_events=343,
            **base,
        ),
        row(
            "acceptance",
            "sensitivity",
            0.0832,
            low=0.0214,
            high=0.1451,
            statistic="gap",
            group="sex",
            threshold=0.05,
            direction="at_most",
            verdict="inconclusive",
            method="bootstrap clustered by patient",
            **base,
        ),
        row(
            "acceptance",
            "specificity",
            statistic="value",
            group="site=D",
            threshold=0.7,
            direction="at_least",
            verdict="not_assessed",
            reason="7 patients in site D; at least 10 are needed",
            **small,
        ),
    ]


def _operating() -> list[dict[str, Any]]:
    values = {
        "threshold": ((0.312, math.nan, math.nan), (0.312, math.nan, math.nan)),
        "sensitivity": ((0.904, 0.861, 0.935), (0.843, 0.801, 0.878)),
        "specificity": ((0.774, 0.741, 0.804), (0.802, 0.780, 0.822)),
        "ppv": ((0.531, 0.486, 0.576), (0.558, 0.523, 0.592)),
        "npv": ((0.966, 0.949, 0.977), (0.944, 0.928, 0.957)),
    }
    rows = []
    for metric, (calibration, test) in values.items():
        for split, (value, low, high), n in (("calibration", calibration, 602), ("test", test, 1384)):
            rows.append(
                row(
                    "operating_point",
                    metric,
                    value,
                    low=low,
                    high=high,
                    split=split,
                    target="malignant",
                    n_subjects=n - 60,
                    n_images=n,
                    method=WILSON,
                )
            )
    return rows


def _calibration() -> list[dict[str, Any]]:
    values = {
        "calibration_slope": ((1.02, 0.91, 1.14), (0.74, 0.66, 0.83)),
        "calibration_intercept": ((-0.01, -0.12, 0.10), (-0.38, -0.51, -0.25)),
        "ece": ((0.021, 0.014, 0.034), (0.061, 0.048, 0.075)),
        "brier": ((0.118, 0.106, 0.131), (0.129, 0.121, 0.138)),
    }
    return [
        row(
            "calibration",
            metric,
            value,
            low=low,
            high=high,
            split=split,
            target="malignant",
            n_subjects=n - 60,
            n_images=n,
            method="bootstrap clustered by patient",
        )
        for metric, pair in values.items()
        for split, (value, low, high), n in (("calibration", pair[0], 602), ("test", pair[1], 1384))
    ]


def _groups(metrics: dict[str, float]) -> list[dict[str, Any]]:
    sizes = {
        "sex=F": 611,
        "sex=M": 589,
        "age_band=<50": 48,
        "age_band=50-<65": 604,
        "age_band=65-<80": 512,
        "age_band=>=80": 36,
        "site=A": 520,
        "site=B": 431,
        "site=C": 242,
        "site=D": 7,
        "scanner=Alpha": 640,
        "scanner=Beta": 553,
        "scanner=(missing)": 7,
    }
    rows = []
    for place, (metric, centre) in enumerate(metrics.items()):
        for k, (group, n) in enumerate(sizes.items()):
            shift = 0.03 * math.sin(1.7 * k + place)
            half = 0.9 / math.sqrt(n)
            small = n < 10
            value = math.nan if small else min(0.995, centre + shift)
            rows.append(
                row(
                    "subgroups",
                    metric,
                    value,
                    low=math.nan if small else max(0, value - half),
                    high=math.nan if small else min(1, value + half),
                    group=group,
                    split="test",
                    target="malignant",
                    n_subjects=n,
                    n_images=round(n * 1.15),
                    method=WILSON,
                    reason=f"{n} patients; at least 10 are needed" if small else "",
                )
            )
        rows += [
            row(
                "subgroups",
                metric,
                0.04 + 0.01 * place,
                low=0.01,
                high=0.09,
                statistic="gap",
                group=attribute,
                split="test",
                target="malignant",
                n_subjects=1200,
                n_images=1384,
                p=0.012,
                p_adjusted=0.048,
                method="bootstrap clustered by patient",
            )
            for attribute in ("sex", "age_band", "site", "scanner")
        ]
    return rows


def _checks() -> list[dict[str, Any]]:
    return [
        row(
            "calibration",
            "shift",
            0.061,
            split="test",
            verdict="finding",
            n_subjects=1200,
            n_images=1384,
            reason="Scores are too extreme on the test part: slope 0.74 against 1.02 on the calibration part",
        ),
        row(
            "leakage",
            "pairs",
            0.0,
            verdict="clear",
            n_subjects=2000,
            n_images=2290,
            reason="No patient and no image stands in two parts",
        ),
        row(
            "missingness",
            "share_missing",
            0.0058,
            target="scanner",
            verdict="finding",
            n_subjects=1200,
            n_images=1384,
            reason="Scanner is missing for 7 patients, all from site D",
        ),
        row("reader_agreement", "kappa", verdict="not_possible", reason="One reference only: no second reader"),
    ]


def score_curves(target: str = "malignant") -> list[dict[str, Any]]:
    rows = []
    for series, power, n in (("test", 0.17, 1384), ("calibration", 0.14, 602)):
        for x in np.linspace(0, 1, 41):
            y = float(x**power)
            band = {"low": max(0.0, y - 0.03), "high": min(1.0, y + 0.025)} if series == "test" else {}
            rows.append(
                {
                    "check": "accuracy",
                    "metric": "roc",
                    "target": target,
                    "series": series,
                    "x": float(x),
                    "y": y,
                    "n": n,
                    **band,
                }
            )
        for k in range(10):
            p, size = (k + 0.5) / 10, int(n * 0.35 * math.exp(-0.35 * k)) + 4
            y = p if series == "calibration" else 1 / (1 + math.exp(-0.74 * math.log(p / (1 - p)) + 0.38))
            rows.append(
                {
                    "check": "calibration",
                    "metric": "reliability",
                    "target": target,
                    "series": series,
                    "x": p,
                    "y": y,
                    "low": max(0, y - 0.06),
                    "high": min(1, y + 0.06),
                    "n": size,
                }
            )
    return rows


def png(size: int = 64) -> bytes:
    import io

    from PIL import Image

    grid = np.add.outer(np.arange(size), np.arange(size)) * 255 // (2 * size)
    buffer = io.BytesIO()
    Image.fromarray(grid.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def _pictures() -> list[Picture]:
    kinds = ("worst", "worst", "worst", "typical", "best", "best", "best")
    return [
        Picture(f"P{k:04d}", f"Score 0.{k + 1}2, reference {'positive' if k % 2 else 'negative'}.", png(), kind)
        for k, kind in enumerate(kinds)
    ]


def _history() -> pd.DataFrame:
    steps = np.arange(0, 600, 20)
    return pd.DataFrame(
        {
            "step": steps,
            "minutes": steps / 120,
            "train_loss": 0.9 * np.exp(-steps / 180) + 0.12,
            "validation_auc": np.where(steps % 100 == 0, 0.9 - 0.4 * np.exp(-steps / 150), np.nan),
        }
    )


DESCRIPTION: dict[str, Any] = {
    "parts": [
        {"split": "train", "n_subjects": 1200, "n_images": 1381, "malignant": 0.248},
        {"split": "validation", "n_subjects": 200, "n_images": 231, "malignant": 0.251},
        {"split": "calibration", "n_subjects": 542, "n_images": 602, "malignant": 0.249},
        {"split": "test", "n_subjects": 1200, "n_images": 1384, "malignant": 0.248},
    ],
    "attributes": [
        {
            "attribute": "sex",
            "value": "F",
            "train": 611,
            "validation": 99,
            "calibration": 270,
            "test": 611,
            "missing": 0,
        },
        {
            "attribute": "sex",
            "value": "M",
            "train": 589,
            "validation": 101,
            "calibration": 272,
            "test": 589,
            "missing": 0,
        },
        {
            "attribute": "age",
            "value": "median 63",
            "train": 63.1,
            "validation": 62.8,
            "calibration": math.nan,
            "test": 63.4,
        },
    ],
    "images": {"modality": "CT", "voxels": "128 x 128 x 64", "spacing_mm": (0.7, 0.7, 2.5), "median_hu": -742.0},
}
RUN: dict[str, Any] = {
    "model": "DenseNet-121 3-D",
    "seed": 7,
    "task": "classification",
    "fingerprint": "ab" * 32,
    "cohort_digest": "cd" * 32,
    "model_sha256": "ef" * 32,
    "created": "2026-11-23",
    "source": "run folder nodule",
    "parameters": 1_412_033,
    "versions": {"fiducial": "0.1.0", "python": "3.11.2", "torch": "2.13.0", "monai": "1.6.1"},
    "plan": {"spacing_mm": [1.0, 1.0, 1.0], "patch": [64, 64, 64], "batch": 4, "steps": 580, "precision": "bf16"},
    "contract": {"modality": "CT", "spacing_mm": "0.5 to 1.5", "intensity": "-1024 to 3071 HU", "channels": 1},
    "files": {"model.safetensors": "ef" * 32, "cohort.parquet": "cd" * 32, "study.toml": "12" * 32},
}


def study(text: str) -> Study:
    return parse_study(text)


def classification(**changes: Any) -> ReportInput:
    auc = row(
        "accuracy",
        "auc",
        0.8912,
        low=0.8713,
        high=0.9088,
        split="test",
        target="malignant",
        n_subjects=1200,
        n_images=1384,
        n_events=343,
        method=DELONG,
        reference="Obuchowski 1997",
        seed=7,
        source="predictions sha256:12ab",
    )
    rows = [
        *_criteria(),
        auc,
        *_operating(),
        *_calibration(),
        *_groups({"auc": 0.89, "sensitivity": 0.84, "specificity": 0.80}),
        *_checks(),
    ]
    given: dict[str, Any] = {
        "title": "Is the nodule malignant?",
        "evidence": table(rows, EVIDENCE),
        "curves": table(score_curves(), CURVES),
        "study": study(CLASSIFICATION_STUDY),
        "run": RUN,
        "history": _history(),
        "description": DESCRIPTION,
        "pictures": _pictures(),
        "leaks": [],
        "openings": 2,
        "data_name": "Phantom hospital, 2,000 patients, seed 7",
        "phantom": True,
        "ingest": [
            {"series": "S001", "modality": "CT", "n_files": 64, "status": "accepted", "reason": "", "action": ""},
            {
                "series": "S002",
                "modality": "CT",
                "n_files": 61,
                "status": "rejected",
                "reason": "missing-slices: 3 gaps",
                "action": "ask the archive for the missing instances",
            },
        ],
    }
    return ReportInput(**(given | changes))


def segmentation(**changes: Any) -> ReportInput:
    rng = np.random.default_rng(3)
    rows, cases = [], []
    for target, centre in (("anterior", 0.884), ("posterior", 0.871)):
        base = {
            "split": "test",
            "target": target,
            "n_subjects": 59,
            "n_images": 59,
            "method": "bootstrap; by image; persons unknown: intervals may be too narrow",
        }
        for metric, middle, spread in (
            ("dice", centre, 0.03),
            ("nsd", 0.95, 0.03),
            ("hd95", 1.42, 0.5),
            ("masd", 0.4, 0.1),
        ):
            values = middle + spread * rng.standard_normal(59)
            values = values.clip(0, 0.99) if metric in ("dice", "nsd") else values.clip(0.2)
            half = 2 * spread / math.sqrt(59)
            rows += [
                row(
                    "accuracy",
                    metric,
                    middle,
                    low=middle - half,
                    high=middle + half,
                    statistic=statistic,
                    unit="mm" if metric in ("hd95", "masd") else "",
                    **base,
                )
                for statistic in ("mean", "median")
            ]
            cases += [
                {
                    "subject": f"hippocampus_{k:03d}",
                    "image": f"hippocampus_{k:03d}",
                    "target": target,
                    "metric": metric,
                    "value": float(v),
                    "split": "test",
                }
                for k, v in enumerate(values)
            ]
    rows.insert(
        0,
        row(
            "acceptance",
            "dice",
            0.884,
            low=0.8762,
            high=0.8918,
            statistic="low",
            threshold=0.85,
            direction="at_least",
            verdict="pass",
            target="anterior",
            split="test",
            n_subjects=59,
            n_images=59,
        ),
    )
    given: dict[str, Any] = {
        "title": "Hippocampus segmentation",
        "evidence": table(rows, EVIDENCE),
        "curves": table([], CURVES),
        "study": study(SEGMENTATION_STUDY),
        "run": {"model": "residual U-Net 3-D", "seed": 0, "plan": RUN["plan"]},
        "cases": table(cases, CASES),
        "pictures": _pictures(),
        "openings": 1,
        "leaks": [],
        "data_name": "Medical Segmentation Decathlon Task04 (CC BY-SA 4.0)",
    }
    return ReportInput(**(given | changes))


def two_folders(**changes: Any) -> ReportInput:
    given = segmentation()
    evidence = given.evidence[given.evidence["check"] != "acceptance"].assign(split="")
    bare: dict[str, Any] = {
        "title": "Two folders of masks",
        "evidence": evidence,
        "curves": given.curves,
        "cases": given.cases.assign(split="") if given.cases is not None else None,
    }
    return ReportInput(**(bare | changes))


@pytest.fixture(scope="session")
def make_classification() -> Callable[..., ReportInput]:
    return classification


@pytest.fixture(scope="session")
def make_segmentation() -> Callable[..., ReportInput]:
    return segmentation


@pytest.fixture(scope="session")
def make_two_folders() -> Callable[..., ReportInput]:
    return two_folders


@pytest.fixture(scope="session")
def make_row() -> Callable[..., dict[str, Any]]:
    return row
