"""Images unlike those beside them, ranked, each with the figure that sets it apart.

Every figure of an image is compared with the median of its modality at its site (of the whole modality where a site
has fewer than `FEWEST` images) in robust standard deviations, on a logarithmic scale where it is a scale. An image is
an outlier where one lies as far away as `threshold_of` says, or further. What this cannot see: a site that is odd as a
whole (compare the sites), and oddness of which no figure speaks.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fiducial.cohort.features import feature_table, on_scale
from fiducial.cohort.quality import Measure, remarks
from fiducial.cohort.table import images_of
from fiducial.maths.outliers import robust_z

if TYPE_CHECKING:
    import pandas as pd

FEWEST = 20
"""Images that it takes to say what is usual."""
THRESHOLD = 6.0
"""Robust standard deviations, for many images; see `threshold_of`."""


def threshold_of(n: int) -> float:
    """Robust standard deviations from which on an image stands out among n: 6 (1 + 6 / n).

    The median absolute deviation of few values varies much. Of normal images with 25 independent figures each, one
    passes this by chance in about 2 % of cohorts of 20, and in fewer than 1 % from 30 on (measured in the tests).
    """
    return THRESHOLD * (1 + 6 / n)


@dataclass(frozen=True)
class Reason:
    """One figure that sets an image apart: how far (in robust standard deviations) and from what."""

    feature: str
    z: float
    text: str


@dataclass(frozen=True)
class Outlier:
    """An image that stands out. ``score`` ranks: the largest distance, or infinity for a blank image and the like."""

    image: str
    subject: str
    site: str
    modality: str
    score: float
    reasons: tuple[Reason, ...]


def find_outliers(cohort: pd.DataFrame) -> list[Outlier]:
    """Outliers, worst first: images that are wrong by themselves, then those unlike their neighbours."""
    given = feature_table(cohort)
    frame = given.frame
    reasons: dict[str, list[Reason]] = {}
    for image, text in zip(images_of(cohort)["image"], images_of(cohort)["fingerprint"], strict=True):
        if text:
            for remark in remarks(json.loads(text)):
                reasons.setdefault(str(image), []).append(Reason(remark.code, float("inf"), remark.text))
    for where, rows in _groups(frame):
        for feature in given.features:
            _compare(rows, feature, where, reasons)
    known = frame.set_index("image")
    found = [
        Outlier(
            image=image,
            subject=str(known.loc[image, "subject"]),
            site=str(known.loc[image, "site"]),
            modality=str(known.loc[image, "modality"]),
            score=max(abs(reason.z) for reason in own),
            reasons=tuple(sorted(own, key=lambda reason: -abs(reason.z))),
        )
        for image, own in reasons.items()
    ]
    return sorted(found, key=lambda one: (-one.score, one.image))


def not_compared(cohort: pd.DataFrame) -> dict[str, int]:
    """Modalities with too few images to say what is usual, and how many they have."""
    counts = feature_table(cohort).frame["modality"].value_counts()
    return {str(name) or "(not stated)": int(n) for name, n in counts.items() if n < FEWEST}


def _groups(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """What is compared with what, in words, and the images: sites that are large enough, and all the others together.

    An image of a small site is compared with the whole modality, but says nothing of itself: ``judged`` marks it.
    """
    found = []
    for _, kind in frame.groupby("modality", sort=True):
        if len(kind) < FEWEST:
            continue
        sizes = kind.groupby("site")["image"].transform("size")
        large = (sizes >= FEWEST) & (kind["site"] != "")
        for site, own in kind[large].groupby("site", sort=True):
            found.append((f"the median of site {site}", own.assign(judged=True)))
        if (~large).any():
            modality = str(kind["modality"].iloc[0])
            found.append((f"the median of all {modality or 'images'}", kind.assign(judged=~large)))
    return found


def _compare(rows: pd.DataFrame, feature: Measure, where: str, reasons: dict[str, list[Reason]]) -> None:
    """Add a reason for every judged image whose figure lies far from the group's median."""
    values = rows[feature.key].to_numpy(dtype=np.float64)
    n = int(np.isfinite(values).sum())
    if n < FEWEST:
        return
    z = robust_z(on_scale(rows, feature), least_spread=feature.least_spread)
    middle = float(np.nanmedian(values))
    for k in np.flatnonzero((np.abs(z) >= threshold_of(n)) & rows["judged"].to_numpy(dtype=bool)):
        unit = str(rows["unit"].iloc[k]) if feature.unit == "image" else feature.unit
        side = "above" if z[k] > 0 else "below"
        far = f"{abs(z[k]):.1f}" if abs(z[k]) < 100 else "more than 100"
        said = f"{feature.label[:1].lower()}{feature.label[1:]} {far} robust SD"
        text = f"{said} {side} {where}: {_number(values[k])} against {_number(middle)} {unit}".rstrip()
        reasons.setdefault(str(rows["image"].iloc[k]), []).append(Reason(feature.key, float(z[k]), text))


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1e3 else f"{value:.3g}"
