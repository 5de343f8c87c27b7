"""Tables that the audit's tests share: clean ones, and small ones that can be counted by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fiducial.audit import AuditInput, AuditSettings
from fiducial.phantom.vendor import CLEAN, vendor_table
from fiducial.records.tables import CASES, PREDICTIONS, table
from fiducial.study import Study, parse_study

Rows = list[dict[str, Any]]
FAST = AuditSettings(n_replicates=200)


def study_text(kind: str, targets: str, accept: str, data: str, point: str) -> str:
    return f"""
[study]
name = "tested"
intended_use = "tests"
[data]
{data}
[task]
kind = "{kind}"
targets = [{targets}]
{point}
{accept}
"""


@pytest.fixture
def make_study() -> Callable[..., Study]:
    """``make_study(accept, kind=, targets=, data=, point=)``; TOML text for each part."""

    def make(
        accept: str = "",
        *,
        kind: str = "classification",
        targets: str = '"malignant"',
        data: str = 'attributes = ["sex", "site"]',
        point: str = "",
    ) -> Study:
        return parse_study(study_text(kind, targets, accept, data, point), source=Path("study.toml"))

    return make


@pytest.fixture
def make_input() -> Callable[..., AuditInput]:
    """``make_input(predictions, cases, attributes)`` from rows; subject defaults to the image."""

    def make(predictions: Rows = (), cases: Rows = (), attributes: Rows = (), **said: Any) -> AuditInput:  # type: ignore[assignment]
        complete = [{"subject": row["image"], "target": "malignant", **row} for row in predictions]
        measured = [{"subject": row["image"], "target": "liver", **row} for row in cases]
        said.setdefault("settings", FAST)
        return AuditInput(
            predictions=table(complete, PREDICTIONS),
            cases=table(measured, CASES),
            attributes=pd.DataFrame(list(attributes)),
            **said,
        )

    return make


@pytest.fixture(scope="session")
def clean() -> AuditInput:
    """A calibrated score of 1,200 phantom patients in two parts, every attribute known, nothing planted."""
    frame, _ = vendor_table(1200, seed=4, vendor=CLEAN)
    number = frame["subject"].str[1:].astype(int)
    frame["split"] = ["calibration" if n % 3 == 0 else "test" for n in number]
    columns = ["image", "subject", "split", "sex", "smoking", "site", "scanner"]
    study = parse_study(
        study_text(
            "classification",
            '"malignant"',
            '[[accept]]\nmetric = "auc"\nat_least = 0.9\n'
            '[[accept]]\nmetric = "sensitivity"\ngroup = "sex=F"\nat_least = 0.99\n'
            '[[accept]]\nmetric = "specificity"\nstatistic = "gap"\ngroup = "site"\nat_most = 0.05',
            'attributes = ["sex", "site", "smoking", "scanner"]',
            '[operating_point]\nrule = "sensitivity"\nvalue = 0.9',
        )
    )
    return AuditInput(
        predictions=table(
            frame[["image", "subject", "target", "value", "truth", "split"]].to_dict("records"), PREDICTIONS
        ),
        cases=table([], CASES),
        attributes=frame[columns],
        study=study,
        settings=FAST,
        leaks=[],
        openings=1,
        source="phantom",
    )


@pytest.fixture(scope="session")
def clean_masks() -> AuditInput:
    """Dice and HD95 of two structures in 60 patients, two images each, alike in both sexes."""
    import numpy as np

    rng = np.random.default_rng(5)
    cases, attributes = [], []
    for subject in range(60):
        for side in "lr":
            image = f"p{subject:02d}{side}"
            attributes.append({"image": image, "subject": f"p{subject:02d}", "split": "test", "sex": "FM"[subject % 2]})
            for target in ("anterior", "posterior"):
                dice = float(np.clip(rng.normal(0.88, 0.03), 0, 1))
                own = {"image": image, "subject": f"p{subject:02d}", "target": target, "split": "test"}
                cases.append({**own, "metric": "dice", "value": dice})
                cases.append({**own, "metric": "hd95", "value": float(rng.gamma(4, 0.4)), "unit": "mm"})
                cases.append({**own, "metric": "volume_ml_predicted", "value": dice * 3, "unit": "ml"})
                cases.append({**own, "metric": "volume_ml_true", "value": 3.0 * 0.88, "unit": "ml"})
    text = study_text(
        "segmentation",
        '"anterior", "posterior"',
        '[[accept]]\nmetric = "dice"\nat_least = 0.85\n'
        '[[accept]]\nmetric = "hd95"\nstatistic = "median"\nat_most = 1.0',
        'attributes = ["sex"]',
        "",
    )
    return AuditInput(
        predictions=table([], PREDICTIONS),
        cases=table(cases, CASES),
        attributes=pd.DataFrame(attributes),
        study=parse_study(text),
        settings=FAST,
        leaks=[],
        openings=1,
        source="phantom masks",
    )
