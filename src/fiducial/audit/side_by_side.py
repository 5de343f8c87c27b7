"""Evidence rows of two audits beside each other, and which verdicts changed."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from fiducial.audit.given import Row

if TYPE_CHECKING:
    import pandas as pd

KEY = ("check", "metric", "statistic", "target", "item", "group", "condition", "split", "direction", "threshold")
RANK = {"pass": 0, "clear": 0, "inconclusive": 1, "not_assessed": 1, "not_possible": 1, "fail": 2, "finding": 2}
CHANGES = ("worse", "better", "same", "only_before", "only_after")


def side_by_side(before: pd.DataFrame, after: pd.DataFrame) -> list[Row]:
    """Rows joined on their key; a key that stands several times is joined in its order.

    A test over several metrics names the one that differs most, which need not be the same one twice: verdicts that are
    left over are joined whatever their metric.
    """
    first, second = _keyed(before), _keyed(after)
    joined = {key: (first.pop(key), second.pop(key)) for key in list(first) if key in second}
    rows = [_joined(key, *sides) for key, sides in joined.items()]
    loose: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for key, row in second.items():
        if row["verdict"] in ("finding", "clear", "not_possible"):
            loose.setdefault(_without_metric(key), []).append(key)
    for key, row in first.items():
        likes = loose.get(_without_metric(key), []) if row["verdict"] in ("finding", "clear", "not_possible") else []
        like = likes.pop(0) if likes else None
        rows.append(_joined(like or key, row, second.pop(like) if like else None))
    return rows + [_joined(key, None, row) for key, row in second.items()]


def _joined(key: tuple[Any, ...], before: Row | None, after: Row | None) -> Row:
    return dict(zip(KEY, key, strict=False)) | {"before": before, "after": after, "change": _change(before, after)}


def _without_metric(key: tuple[Any, ...]) -> tuple[Any, ...]:
    place = KEY.index("metric")
    return (*key[:place], *key[place + 1 : len(KEY)])


def _keyed(evidence: pd.DataFrame) -> dict[tuple[Any, ...], Row]:
    found: dict[tuple[Any, ...], Row] = {}
    seen: Counter[tuple[Any, ...]] = Counter()
    shown = ("value", "low", "high", "level", "n_subjects", "n_images", "verdict", "reason", "unit", "method")
    for number, line in enumerate(evidence.to_dict("records"), start=1):
        # The bound tells two criteria apart; NaN is not equal to itself, so no bound is written as None.
        bound = line["threshold"]
        key = (*(line[name] for name in KEY[:-1]), None if math.isnan(bound) else float(bound))
        found[*key, seen[key]] = {"row": number, **{name: line[name] for name in shown}}
        seen[key] += 1
    return found


def _change(before: Row | None, after: Row | None) -> str:
    if before is None or after is None:
        return "only_after" if before is None else "only_before"
    first, second = RANK.get(before["verdict"]), RANK.get(after["verdict"])
    if first is None or second is None or first == second:
        return "same"
    return "worse" if second > first else "better"
