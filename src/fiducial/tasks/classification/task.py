"""Classification: which class an image, or a region of it, belongs to.

What it measures: discrimination (AUC), the rates at a stated operating point, and calibration.
Why it matters: triage, second reading and risk estimates act on the score.
What it cannot see: whether the score adds anything to what the reader already knows.
Example: ``[task] kind = "classification"``, ``targets = ["malignant"]``.
References: Van Calster et al., Calibration: the Achilles heel of predictive analytics, BMC Medicine 2019.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fiducial.errors import LabelError
from fiducial.tasks.labels import Labels

if TYPE_CHECKING:
    import pandas as pd

KIND = "score"
HEADLINE = "auc"


def labels(cohort: pd.DataFrame, targets: tuple[str, ...]) -> Labels:
    """The label type and the classes, from the values that the target columns hold.

    One target of 0 and 1 is ``binary``; several are ``multilabel``; one target of other values is ``multiclass``
    with its values in sorted order. Images without a label are legal (they are predicted, not trained on).

    Raises:
        LabelError: a target is not a column, holds no value or only one, or several targets are not all 0 and 1.
    """
    images = cohort[cohort["role"] == "image"]
    values = {target: _values(images, target) for target in targets}
    zero_one = {target for target, seen in values.items() if seen <= {0.0, 1.0}}
    if len(zero_one) == len(targets):
        return Labels("binary" if len(targets) == 1 else "multilabel", targets)
    if len(targets) == 1:
        return Labels("multiclass", tuple(sorted((class_name(v) for v in values[targets[0]]), key=_natural)))
    bad = [target for target in targets if target not in zero_one]
    raise LabelError(
        f"{', '.join(bad)} hold(s) more than 0 and 1, among several targets",
        where="study, task.targets",
        legal="several targets of 0 and 1, or one target of any values",
        action="make one study for each target of several classes",
    )


def class_name(value: Any) -> str:
    """The class that a label value means: whole numbers without decimals, text as it is, missing as empty."""
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        return str(int(value)) if value.is_integer() else str(value)
    return str(value)


def _values(images: pd.DataFrame, target: str) -> set[Any]:
    """The distinct values of one target, missing ones left out."""
    if target not in images.columns:
        raise LabelError(
            f"the cohort has no column {target!r}, so there are no labels to learn from",
            where="study, task.targets",
            legal="a label column of the cohort: " + ", ".join(sorted(set(images.columns) - {"subject", "image"})),
            action="ingest again with --labels FILE.csv holding that column",
        )
    seen = {v for v in images[target].dropna().tolist() if v != ""}
    if not seen:
        raise LabelError(f"column {target!r} holds no label", where="cohort", legal="0 and 1, or class names")
    if len(seen) == 1:
        raise LabelError(
            f"every label of {target!r} is {class_name(seen.pop())!r}: one class only",
            where="cohort",
            legal="at least two classes",
            action="add images of the other class, or check the labels file",
        )
    return seen


def _natural(name: str) -> tuple[int, float, str]:
    """Numbers in numeric order, before text."""
    try:
        return (0, float(name), name)
    except ValueError:
        return (1, 0.0, name)
