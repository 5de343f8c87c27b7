"""Can the hospital or the scanner be told from the pictures? A shortcut probe before anything is trained.

What it measures: how well a linear probe tells each site, scanner or marker (AUC, cross-fitted, one image of each
person) from the 16 x 16 thumbnail that ingest keeps, and from intensities and quality figures, with an exact
permutation test of the whole attribute.
Why it matters: what can be told can be learned. Where sites differ in how often the disease is found, a model may learn
the site instead of the disease; it then fails at another one.
What it cannot see: fine texture and small markers, which a thumbnail does not hold; and it cannot tell whether a
model *will* use what is there (see the check `shortcut` of the audit).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.cohort.features import INTENSITIES, FeatureTable, feature_table, on_scale, words_of
from fiducial.cohort.quality import MEASURES
from fiducial.cohort.table import images_of

if TYPE_CHECKING:
    import pandas as pd

ASKED = (
    *("site", "scanner", "manufacturer", "model", "station", "kernel", "protocol", "sequence"),
    *("kvp", "field_t", "slice_thickness_mm", "lossy", "marker", "burned_in", "view"),
)
"""Columns that say how an image was made, asked where the cohort has them; see also `acquisition_columns`."""
MOST_GROUPS = 30
MOST_PEOPLE = 1000
MINIMUM_N = 10
N_PERMUTATIONS = 999
LEVEL = 0.95
THUMBNAIL, FIGURES = "thumbnail", "figures"


@dataclass(frozen=True)
class Told:
    """How well one group is told from the others: AUC and interval, and the number of people in it."""

    group: str
    auc: float
    low: float
    high: float
    n_subjects: int


@dataclass(frozen=True)
class Probe:
    """One attribute of one modality, asked of the thumbnails or of the figures.

    ``mean_auc`` is over the groups, ``p`` from permutations of whole people, ``p_adjusted`` Holm's over all probes of
    the cohort. ``verdict``: ``finding``, ``clear`` or ``not_possible``; ``text`` says it in a sentence. ``alike`` are
    attributes that divide the people in the same way, which are not asked again.
    """

    attribute: str
    modality: str
    seen_in: str
    groups: tuple[Told, ...]
    mean_auc: float
    p: float
    p_adjusted: float
    n_subjects: int
    verdict: str
    text: str
    alike: tuple[str, ...] = ()


def acquisition_columns(cohort: pd.DataFrame) -> list[str]:
    """Columns of `ASKED` that this cohort has and that are not empty."""
    images = images_of(cohort)
    return [name for name in ASKED if name in images.columns and (words_of(images[name]) != "").any()]


def probe_shortcuts(cohort: pd.DataFrame, *, n_permutations: int = N_PERMUTATIONS, seed: int = 0) -> list[Probe]:
    """Probe every acquisition attribute of every modality; an attribute of one value is passed over.

    Of each person the first image (by id) of a modality is taken; of more than 1,000 people, those whose ids' SHA-256
    come first.
    """
    from fiducial.maths.multiplicity import holm

    table = feature_table(cohort)
    images = images_of(cohort)
    found: list[Probe] = []
    for modality, kind in images[images["fingerprint"] != ""].groupby("modality", sort=True):
        people = _one_each(kind)
        views = {THUMBNAIL: _thumbnails(people), FIGURES: _figures(people, table)}
        for attribute, (words, alike) in _asked(people, acquisition_columns(cohort)).items():
            for view, points in views.items():
                probe = _probe(attribute, str(modality), view, points, words, n_permutations=n_permutations, seed=seed)
                found.append(replace(probe, alike=alike))
    adjusted = holm([probe.p for probe in found])
    return [_judged(replace(probe, p_adjusted=float(p))) for probe, p in zip(found, adjusted, strict=True)]


def _asked(people: pd.DataFrame, columns: Sequence[str]) -> dict[str, tuple[pd.Series[Any], tuple[str, ...]]]:
    """Attributes of several values with their words, and the later ones that divide the people in the same way."""
    found: dict[str, tuple[pd.Series[Any], tuple[str, ...]]] = {}
    seen: dict[tuple[int, ...], str] = {}
    for name in columns:
        words = words_of(people[name])
        if words[words != ""].nunique() < 2:
            continue
        first = {word: place for place, word in reversed(list(enumerate(words)))}
        division = tuple(first[word] if word else -1 for word in words)
        if division in seen:
            before, alike = found[seen[division]]
            found[seen[division]] = (before, (*alike, name))
        else:
            seen[division] = name
            found[name] = (words, ())
    return found


def _one_each(images: pd.DataFrame) -> pd.DataFrame:
    first = images.sort_values("image").drop_duplicates("subject")
    if len(first) <= MOST_PEOPLE:
        return first
    place = first["subject"].map(lambda name: hashlib.sha256(str(name).encode()).hexdigest())
    return first.loc[place.sort_values().index[:MOST_PEOPLE]].sort_values("image")


def _thumbnails(people: pd.DataFrame) -> NDArray[np.float64]:
    """Grey values [n, 256] of the thumbnails, in [0, 1]; brightness and contrast are no part of them."""
    rows = [np.frombuffer(bytes.fromhex(text), np.uint8) if text else np.zeros(256) for text in people["signature"]]
    return np.asarray(np.stack(rows), dtype=np.float64) / 255


def _figures(people: pd.DataFrame, table: FeatureTable) -> NDArray[np.float64]:
    """Intensities and quality figures [n, k] on their scales; what is missing takes the median."""
    rows = table.frame.set_index("image").loc[people["image"]]
    columns = []
    for feature in table.features:
        if feature not in INTENSITIES and feature not in MEASURES:
            continue
        values = on_scale(rows, feature)
        if np.isfinite(values).any() and np.nanstd(values) > 0:
            columns.append(np.where(np.isfinite(values), values, np.nanmedian(values)))
    return np.stack(columns, axis=1) if columns else np.zeros((len(people), 0))


def _probe(
    attribute: str,
    modality: str,
    view: str,
    points: NDArray[np.float64],
    words: pd.Series[Any],
    *,
    n_permutations: int,
    seed: int,
) -> Probe:
    from fiducial.maths.group_probe import group_probe

    names = words.to_numpy(dtype=str)
    n_groups = len(set(names) - {""})
    empty = Probe(attribute, modality, view, (), np.nan, np.nan, np.nan, int((names != "").sum()), "not_possible", "")
    if n_groups > MOST_GROUPS:
        return replace(empty, text=f"{attribute} has {n_groups} values, more than {MOST_GROUPS}: not asked")
    found = group_probe(points, names, minimum_n=MINIMUM_N, n_permutations=n_permutations, level=LEVEL, seed=seed)
    if not found.areas:
        return replace(empty, text=f"{attribute} has no two groups of at least {MINIMUM_N} people: not asked")
    groups = tuple(
        Told(name, area.value, area.low, area.high, int((names == name).sum())) for name, area in found.areas.items()
    )
    return replace(empty, groups=groups, mean_auc=found.mean_area, p=found.p)


def _judged(probe: Probe) -> Probe:
    """The verdict and its sentence."""
    if not probe.groups:
        return probe
    best = max(probe.groups, key=lambda told: told.auc)
    seen = "a thumbnail of 16 x 16 grey values" if probe.seen_in == THUMBNAIL else "intensities and quality figures"
    area = f"{probe.attribute} {best.group}: AUC {best.auc:.2f} [{best.low:.2f}, {best.high:.2f}]"
    if probe.p_adjusted < 1 - LEVEL:
        return replace(probe, verdict="finding", text=f"can be told from {seen} ({area})")
    return replace(probe, verdict="clear", text=f"not told from {seen} beyond chance ({area})")


def tellable(probes: Sequence[Probe]) -> list[str]:
    """Attributes that can be told, in order."""
    return list(dict.fromkeys(probe.attribute for probe in probes if probe.verdict == "finding"))
