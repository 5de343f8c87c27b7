"""One training set to all models: what is dropped, scaled, clustered, selected and fitted sees its patients alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fiducial.features.signature.outcome import SINGLE_STRENGTH, Line, Outcome, dealt, fit, lack_of_fit
from fiducial.features.signature.settings import SignatureSettings
from fiducial.maths.combat import CombatFit, apply_combat, fit_combat
from fiducial.maths.inputs import Bools, Floats, Integers
from fiducial.maths.redundancy import correlation_clusters
from fiducial.maths.stability_selection import stability_selection

_CONSTANT = 1e-10
SINGLE = ("volume", "value")
"""Models of one number, which is taken as it is."""
Texts = NDArray[np.str_]


@dataclass(frozen=True)
class Numbers:
    """What patients are described by.

    ``features`` [n, p], NaN where a patient has none; ``volume`` and ``value`` are places in it (value -1: none);
    ``usable`` [p]: what reproducibility lets pass. ``clinical`` [n, c] is numbers and 0/1, with ``indicator`` [c] where
    0/1; ``site`` [n] names are for `ComBat`, where that is asked for.
    """

    features: Floats
    volume: int
    value: int
    usable: Bools
    clinical: Floats
    indicator: Bools
    site: Texts

    def of(self, rows: Integers) -> Numbers:
        """The numbers of some patients."""
        return replace(self, features=self.features[rows], clinical=self.clinical[rows], site=self.site[rows])


@dataclass(frozen=True)
class Scale:
    """Fills, centres and scales of columns; ``places`` in the table, ``clip`` in standard deviations (0: none)."""

    places: Integers
    fill: Floats
    centre: Floats
    spread: Floats
    clip: float = 0.0

    def of(self, table: Floats) -> Floats:
        """Columns [n, k] of a table, filled and standardised."""
        own = table[:, self.places]
        scaled = (np.where(np.isnan(own), self.fill, own) - self.centre) / self.spread
        return np.clip(scaled, -self.clip, self.clip) if self.clip else scaled


@dataclass(frozen=True)
class Kept:
    """Features of a training set.

    ``reason`` [p] says why one is not used (empty: it is), ``scale`` is of those that stand for a cluster, and
    ``stands_for`` [p] the place of the feature that stands for each (-1: dropped).
    """

    reason: list[str]
    scale: Scale
    stands_for: Integers


@dataclass(frozen=True)
class Learned:
    """Models fitted to one training set: a line each, on its own columns."""

    lines: dict[str, Line]
    scales: dict[str, tuple[Scale, ...]]
    strengths: dict[str, float]
    kept: Kept
    share: Floats
    selected: Integers
    n_chosen: int = 0
    bound: float = 0.0
    combat: CombatFit | None = None


def learn(numbers: Numbers, outcome: Outcome, settings: SignatureSettings, *, seed: list[int]) -> Learned:
    """Fit every model to these patients, the penalty of those with several columns chosen by inner folds.

    Inner folds repeat all of it, the choice of features too, on their own training part.
    """
    combat, even = _evened(numbers, settings)
    kept, share, selected, bound, n_chosen = _selected(even, outcome, settings, seed)
    scales = _scales(numbers, kept, selected, settings)
    searched = [name for name in scales if name not in SINGLE]
    best = _strengths(numbers, outcome, settings, seed, searched)
    lines, strengths = {}, {}
    for name, own in scales.items():
        strengths[name] = best.get(name, SINGLE_STRENGTH)
        columns = _columns(numbers if name in SINGLE else even, name, own)
        lines[name] = fit(columns, outcome, strength=strengths[name], l1_ratio=_l1_ratio(name, settings))
    return Learned(lines, scales, strengths, kept, share, selected, n_chosen, bound, combat)


def predicted(learned: Learned, numbers: Numbers) -> dict[str, Floats]:
    """Linear predictors [n] of each model."""
    even = _applied(learned.combat, numbers)
    return {
        name: line.of(_columns(numbers if name in SINGLE else even, name, learned.scales[name]))
        for name, line in learned.lines.items()
    }


def _evened(numbers: Numbers, settings: SignatureSettings) -> tuple[CombatFit | None, Numbers]:
    """ComBat's fit to these patients, where it is asked for, and their numbers without what it takes for the site's."""
    if not settings.combat:
        return None, numbers
    found = fit_combat(numbers.features, numbers.site)
    return found, _applied(found, numbers)


def _applied(combat: CombatFit | None, numbers: Numbers) -> Numbers:
    """The numbers without a site's shift and spread; of a site that the fit has not seen they stay as they are."""
    if combat is None:
        return numbers
    return replace(numbers, features=apply_combat(combat, numbers.features, numbers.site, unknown="keep").values)


def keep(numbers: Numbers, settings: SignatureSettings) -> Kept:
    """Drop what is missing, constant, unreproducible or says the same as another feature; no outcome is looked at."""
    x = numbers.features
    absent = np.isnan(x).mean(axis=0)
    fill = np.zeros(x.shape[1])
    present = absent < 1
    fill[present] = np.nanmedian(x[:, present], axis=0)
    filled = np.where(np.isnan(x), fill, x)
    centre, spread = filled.mean(axis=0), filled.std(axis=0)
    constant = spread <= _CONSTANT * np.maximum(np.abs(centre), 1e-30)
    why = np.select(
        [~numbers.usable, absent > settings.most_missing, constant], ["not_reproducible", "missing", "constant"], ""
    )
    usable = np.flatnonzero(why == "")
    reason = [str(text) for text in why]
    stands_for = np.full(x.shape[1], -1, dtype=np.int64)
    chosen = usable
    if len(usable):
        place = {int(feature): k for k, feature in enumerate(usable)}
        preferred = [place[known] for known in (numbers.volume, numbers.value) if known in place]
        found = correlation_clusters(filled[:, usable], threshold=settings.redundancy, preferred=preferred)
        chosen = np.sort(usable[found.representative])
        stands_for[usable] = usable[found.representative][found.cluster]
        for feature in set(map(int, usable)) - set(map(int, chosen)):
            reason[feature] = "redundant"
    scale = Scale(chosen, fill[chosen], centre[chosen], spread[chosen], settings.clip)
    return Kept(reason, scale, stands_for)


def _selected(
    numbers: Numbers, outcome: Outcome, settings: SignatureSettings, seed: list[int]
) -> tuple[Kept, Floats, Integers, float, int]:
    """Features that are left, each one's share of halves, places of those selected, error bound and q."""
    kept = keep(numbers, settings)
    share = np.zeros(numbers.features.shape[1])
    if not len(kept.scale.places):
        return kept, share, np.zeros(0, dtype=np.int64), 0.0, 0
    found = stability_selection(
        kept.scale.of(numbers.features),
        outcome.residuals(),
        strata=outcome.event,
        expected_false=settings.expected_false,
        threshold=settings.selection_threshold,
        n_pairs=settings.n_pairs,
        seed=int(np.random.default_rng([*seed, 1]).integers(2**31)),
    )
    share[kept.scale.places] = found.share
    return kept, share, kept.scale.places[found.selected], found.bound, found.n_chosen


def _scales(
    numbers: Numbers, kept: Kept, selected: Integers, settings: SignatureSettings
) -> dict[str, tuple[Scale, ...]]:
    """For each model the scales of its columns: one of features, or of clinical variables, or both."""
    x = numbers.features
    own = np.isin(kept.scale.places, selected)
    chosen = Scale(
        kept.scale.places[own], kept.scale.fill[own], kept.scale.centre[own], kept.scale.spread[own], settings.clip
    )
    scales: dict[str, tuple[Scale, ...]] = {"volume": (_single(_log(x), numbers.volume),)}
    if numbers.value >= 0:
        scales["value"] = (_single(x, numbers.value),)
    scales |= {"radiomics": (chosen,), "radiomics_all": (kept.scale,)}
    if numbers.clinical.shape[1]:
        clinical = _clinical(numbers)
        scales |= {"clinical": (clinical,), "clinical_radiomics": (clinical, chosen)}
    return scales


def _single(table: Floats, place: int) -> Scale:
    """The scale of one feature, whatever it is like."""
    own = table[:, place]
    own = np.where(np.isnan(own), np.nanmedian(own), own)
    return Scale(np.array([place]), np.array([np.median(own)]), np.array([own.mean()]), np.array([own.std() or 1.0]))


def _clinical(numbers: Numbers) -> Scale:
    """Medians for what is missing (the commoner of 0 and 1 for 0/1), and every column to variance 1."""
    x = numbers.clinical
    fill = np.nanmedian(x, axis=0)
    fill = np.where(numbers.indicator, np.round(fill), fill)
    filled = np.where(np.isnan(x), fill, x)
    spread = filled.std(axis=0)
    return Scale(np.arange(x.shape[1]), fill, filled.mean(axis=0), np.where(spread > 0, spread, 1.0))


def _columns(numbers: Numbers, name: str, scales: tuple[Scale, ...]) -> Floats:
    tables = {
        "volume": (_log(numbers.features),),
        "value": (numbers.features,),
        "clinical": (numbers.clinical,),
        "radiomics": (numbers.features,),
        "radiomics_all": (numbers.features,),
        "clinical_radiomics": (numbers.clinical, numbers.features),
    }[name]
    return np.concatenate([scale.of(table) for scale, table in zip(scales, tables, strict=True)], axis=1)


def _log(features: Floats) -> Floats:
    """Logarithms where a number has one: volumes are spread over powers of ten."""
    return np.log(np.where(features > 0, features, np.nan))


def _l1_ratio(name: str, settings: SignatureSettings) -> float:
    """The elastic net is for radiomics; models of known variables keep them all."""
    return settings.l1_ratio if "radiomics" in name else 0.0


def _strengths(
    numbers: Numbers, outcome: Outcome, settings: SignatureSettings, seed: list[int], names: Sequence[str]
) -> dict[str, float]:
    """The inverse penalty with the least lack of fit over inner folds, the smaller of equals; one needs no search."""
    if len(settings.strengths) == 1:
        return dict.fromkeys(names, settings.strengths[0])
    n_folds = min(settings.inner_folds, int(outcome.event.sum()), int((~outcome.event).sum()) or len(outcome))
    folds = dealt(outcome.event, max(2, n_folds), [*seed, 2])
    strengths = sorted(settings.strengths)
    lack = {name: np.zeros(len(strengths)) for name in names}
    for k in range(int(folds.max()) + 1):
        train, test = np.flatnonzero(folds != k), np.flatnonzero(folds == k)
        own, own_outcome = numbers.of(train), outcome.of(train)
        combat, even = _evened(own, settings)
        kept, _, selected, _, _ = _selected(even, own_outcome, settings, [*seed, 3 + k])
        scales, all_even = _scales(own, kept, selected, settings), _applied(combat, numbers)
        for name in names:
            columns = _columns(all_even, name, scales[name])
            for i, strength in enumerate(strengths):
                line = fit(columns[train], own_outcome, strength=strength, l1_ratio=_l1_ratio(name, settings))
                lack[name][i] += lack_of_fit(line, columns, outcome, train=train, test=test)
    return {name: strengths[int(np.flatnonzero(bad <= bad.min() + 1e-9)[0])] for name, bad in lack.items()}
