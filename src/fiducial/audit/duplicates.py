"""Duplicates: is one image counted as several?

What it measures: images whose scores, embeddings or mask figures are the same to the last digit under different ids,
beyond what the digits that the table keeps let chance do.
Why it matters: a copy counts one patient twice: intervals are too narrow, and a copy in another part is a leak.
What it cannot see: copies that were changed before they were predicted (see leakage, which compares images), and copies
whose score was rounded until it says little.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.audit.evidence import evidence_row
from fiducial.audit.given import AuditInput, CheckResult, Row
from fiducial.audit.lacking import lacking
from fiducial.audit.scores import score_rows

if TYPE_CHECKING:
    import pandas as pd

CHECK = "duplicates"
MOST_COPIES = 5
"""A value that more images share is a default or a class, not a copy (see score_distribution)."""
INFORMATIVE = 0.5
"""Attributes tell people apart if fewer pairs of similar score than this agree in all of them."""
IDENTIFYING = 0.02
"""The same share, below which attributes nearly name the patient: then even coarse scores can show a copy."""
FEW_EXPECTED = 0.5
COARSE = 0.2
"""Where more images than this share their score with another one, equality is a habit of the score, unless fine."""
FINE_STEP, FINE_VALUES, FEW_ALIKE = 1e-6, 100, 2.5
"""Scores are fine, and equal ones copies however many there are, with six digits or more, more than 100 values, and
hardly more than two images to a shared value: leaves of a tree or steps of a map hold many."""
_NAMED = 3
_DIGITS = 6


@dataclass(frozen=True)
class _Repeats:
    """Pairs of images with equal values, how many chance would make, and what was left out."""

    pairs: list[tuple[str, str]]
    expected: float
    left_out: str = ""


def check_duplicates(given: AuditInput) -> CheckResult:
    """One verdict for scores, one for embeddings, one for mask figures, whichever there are."""
    rows: list[Row] = []
    scores = score_rows(given)
    if len(scores):
        rows.append(_of_scores(given, _wide(scores)))
    if given.embeddings is not None and len(given.embeddings):
        rows.append(_of_embeddings(given, _wide(given.embeddings)))
    if len(given.cases):
        rows.append(_of_cases(given))
    if not rows:
        return lacking(given, CHECK, "n_repeated", "the table has neither scores nor embeddings nor mask figures")
    return CheckResult(rows)


def _of_scores(given: AuditInput, values: pd.DataFrame) -> Row:
    """Equal scores of different images, judged by the digits that the scores keep and by who the patients are."""
    from scipy.special import bdtrc, pdtrc

    from fiducial.maths.ties import expected_ties, neighbours

    table = values.to_numpy(dtype=np.float64)
    expected = [expected_ties(column[np.isfinite(column)]) for column in table.T]
    finest = int(np.argmin(expected))
    found = _repeats(values, trivial=(0.0, 1.0), expected=expected[finest])
    profile = _profiles(given, values.index.to_numpy())
    place = {str(image): k for k, image in enumerate(values.index)}
    same = [pair for pair in found.pairs if profile[place[pair[0]]] == profile[place[pair[1]]]]
    near = neighbours(np.nan_to_num(table[:, finest], nan=-1.0))
    alike = float((profile[near[:, 0]] == profile[near[:, 1]]).mean()) if len(near) else 1.0
    n_tied, n_same = len(found.pairs), len(same)
    by_digits = float(pdtrc(n_tied - 1, found.expected)) if n_tied and found.expected > 0 else float(not n_tied)
    by_person = float(bdtrc(n_same - 1, n_tied, alike)) if n_same else 1.0
    tells = alike < INFORMATIVE
    n_sharing = len({name for pair in found.pairs for name in pair})
    habit = n_sharing > COARSE * len(values) and not _is_fine(values, n_sharing)
    coarse = found.expected > FEW_EXPECTED or habit
    why_not = ""
    if coarse and alike > IDENTIFYING:
        p, why_not = math.nan, f"scores take {values.drop_duplicates().shape[0]} values only: equal ones say little"
    elif coarse:
        p = by_person
    elif tells:
        p = max(by_digits, by_person)
    else:
        same, p = found.pairs, by_digits
    said = {"n_subjects": _n_persons(given, values), "n_images": len(values), "p": p}
    method = f"equal in every score{' and attribute' if tells else ''}; {found.expected:.2g} equal pairs expected"
    method += f", {alike:.1%} of similar pairs agree in all attributes" if tells else ""
    return _row(given, "n_repeated_scores", _Repeats(same, found.expected, found.left_out), method, why_not, **said)


def _is_fine(values: pd.DataFrame, n_sharing: int) -> bool:
    """Whether the scores keep so many digits and values that equal ones are no habit of theirs."""
    from fiducial.maths.ties import resolution

    n_distinct = len(values.drop_duplicates())
    n_shared = n_distinct - (len(values) - n_sharing)
    digits = min(resolution(column[np.isfinite(column)]) for column in values.to_numpy(dtype=np.float64).T)
    return n_distinct > FINE_VALUES and digits <= FINE_STEP and n_sharing < FEW_ALIKE * n_shared


def _of_embeddings(given: AuditInput, values: pd.DataFrame) -> Row:
    """Equal embeddings of different images: with several coordinates chance makes none."""
    spread = np.ptp(values.to_numpy(dtype=np.float64), axis=0) if len(values) else np.zeros(0)
    why_not = "" if (spread > 0).any() else "every image has the same embedding"
    found = _repeats(values.round(_DIGITS), trivial=(), expected=0.0)
    said = {"n_subjects": _n_persons(given, values), "n_images": len(values)}
    method = f"equal in all {values.shape[1]} coordinates, to {_DIGITS} decimals"
    return _row(given, "n_repeated_embeddings", found, method, why_not, p=float(not found.pairs), **said)


def _of_cases(given: AuditInput) -> Row:
    """Equal mask figures: three or more that are neither 0, 1 nor missing agree only in copies."""
    keys = ["target", "item", "metric"]
    cases = given.cases.assign(key=given.cases[keys].agg("|".join, axis=1))
    values = cases.pivot_table(index="image", columns="key", values="value", aggfunc="first").sort_index()
    telling = (values.notna() & ~values.isin([0.0, 1.0])).sum(axis=1)
    most = int(telling.max()) if len(telling) else 0
    why_not = "" if most >= 3 else "fewer than three figures per image: equal ones say little"
    found = _repeats(values[telling >= 3], trivial=(), expected=0.0)
    said = {"n_subjects": _n_persons(given, values), "n_images": len(values)}
    return _row(given, "n_repeated_cases", found, "equal in every figure", why_not, p=float(not found.pairs), **said)


def _row(given: AuditInput, metric: str, found: _Repeats, method: str, why_not: str, **said: Any) -> Row:
    """The verdict: a finding where pairs are equal beyond chance."""
    finding = bool(found.pairs) and not why_not and said["p"] < 1 - given.settings.level
    n = len({name for pair in found.pairs for name in pair[1:]})
    reason = why_not or _named(given, found) or "no two images have equal values"
    if found.pairs and not finding and not why_not:
        reason = f"{len(found.pairs)} equal pairs, no more than chance makes"
    verdict = "not_possible" if why_not else "finding" if finding else "clear"
    reason += f"; {found.left_out}" if found.left_out else ""
    said |= {"value": float(n), "verdict": verdict, "reason": reason, "method": method}
    return evidence_row(given, CHECK, metric, **said)


def _named(given: AuditInput, found: _Repeats) -> str:
    """The first pairs, how many more, and how many stand in two parts."""
    if not found.pairs:
        return ""
    split = given.attributes.set_index("image")["split"]
    apart = sum(split.get(a, "") != split.get(b, "") for a, b in found.pairs)
    text = ", ".join(f"{a} and {b}" for a, b in found.pairs[:_NAMED])
    more = f" and {len(found.pairs) - _NAMED} more pairs" if len(found.pairs) > _NAMED else ""
    return f"equal to the last digit: {text}{more}" + (f"; {apart} of them in two parts" if apart else "")


def _repeats(values: pd.DataFrame, *, trivial: tuple[float, ...], expected: float) -> _Repeats:
    """Pairs of rows that are equal; groups of more than `MOST_COPIES` are left out and named."""
    pairs: list[tuple[str, str]] = []
    common = []
    for _, rows in values.groupby(list(values.columns), sort=True, dropna=False):
        shared = rows.iloc[0].tolist()
        if len(rows) < 2 or set(shared) <= {*trivial}:
            continue
        if len(rows) > MOST_COPIES and trivial:
            common.append(f"{shared[0]:g}")
            continue
        pairs += [(str(a), str(b)) for a, b in combinations(sorted(map(str, rows.index)), 2)]
    text = f"values that more than {MOST_COPIES} images share are left out ({', '.join(common[:3])})" if common else ""
    return _Repeats(sorted(pairs), expected, text)


def _wide(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per image, one column per target and item; images without any value are left out."""
    keys = rows["target"] + "|" + rows["item"]
    wide = rows.assign(key=keys).pivot_table(index="image", columns="key", values="value", aggfunc="first")
    return wide.dropna(how="all").sort_index()


def _profiles(given: AuditInput, images: NDArray[Any]) -> NDArray[np.int64]:
    """A code for everything that the table says about an image beside its ids and its part."""
    from fiducial.study.groups import attribute_text

    frame = given.attributes.set_index("image").drop(columns=["subject", "split"]).reindex(images)
    frame = frame[[name for name in frame.columns if not _is_id(frame[name])]].apply(attribute_text)
    truth = score_rows(given).groupby("image")["truth"].first().reindex(images)
    text = truth.astype(str)
    for name in frame.columns:
        text = text + "|" + frame[name]
    return np.unique(text.to_numpy(dtype=str), return_inverse=True)[1].reshape(-1).astype(np.int64)


def _is_id(values: pd.Series[Any]) -> bool:
    """A column with another value in almost every row would keep a copy from being recognised."""
    return bool(values.nunique() > 0.9 * max(1, values.notna().sum()))


def _n_persons(given: AuditInput, values: pd.DataFrame) -> int:
    if not given.settings.person_known:
        return len(values)
    return int(given.attributes.set_index("image")["subject"].reindex(values.index).nunique())
