"""What a signature is made with: defaults that were chosen before any outcome was looked at."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal

from fiducial.errors import InputRefused


@dataclass(frozen=True)
class Asked:
    """What the user said of the tables.

    ``target`` is a column of 0 and 1; or ``time`` and ``event`` are columns of a survival. ``clinical`` are further
    columns of the outcomes, ``structure`` the only one that counts (empty: any), ``value`` the feature
    (``family.feature``) that is the best-known single value (empty: the largest intensity, where there is one).
    """

    target: str = ""
    time: str = ""
    event: str = ""
    clinical: tuple[str, ...] = ()
    structure: str = ""
    value: str = ""

    def __post_init__(self) -> None:
        survival = bool(self.time) and bool(self.event)
        if bool(self.target) == survival or bool(self.time) != bool(self.event):
            said = [f"{name} {text!r}" for name, text in (("target", self.target), ("time", self.time)) if text]
            said += [f"event {self.event!r}"] if self.event else []
            raise InputRefused(
                f"{', '.join(said) or 'no outcome'} named", legal="a target, or a time and an event", action="name one"
            )


@dataclass(frozen=True)
class SignatureSettings:
    """Settings of a signature and of its cross-validation.

    ``regions``: which region of a patient counts, ``largest`` by volume, or the ``mean`` of all. ``most_missing`` is
    the share of training patients that may lack a feature, ``clip`` where standardised features are cut off,
    ``redundancy`` the |Spearman's correlation| from which features are one cluster, ``reproducible`` the lower bound
    of an intraclass correlation that a feature needs, where a table of these is given. ``selection_threshold``,
    ``expected_false`` and ``n_pairs`` are those of `stability_selection`. ``strengths`` are the inverse penalties C
    among which inner folds choose, ``l1_ratio`` the lasso's share of the elastic net. ``missing`` says what becomes of
    patients without a clinical value, ``combat`` whether a site's shift and spread are taken out of the features (not
    of volume and value alone), fitted on training patients. ``horizon``, for a survival, is the time by which risks are
    predicted, in the unit of the times; None takes the median time of the events.
    """

    seed: int = 0
    repeats: int = 20
    folds: int = 5
    inner_folds: int = 5
    regions: Literal["largest", "mean"] = "largest"
    most_missing: float = 0.1
    clip: float = 3.0
    redundancy: float = 0.9
    reproducible: float = 0.75
    selection_threshold: float = 0.75
    expected_false: float = 1.0
    n_pairs: int = 50
    strengths: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0, 3.0)
    l1_ratio: float = 0.5
    missing: Literal["refuse", "median", "drop"] = "refuse"
    combat: bool = False
    level: float = 0.95
    horizon: float | None = None

    def __post_init__(self) -> None:
        legal = {
            "seed": (self.seed >= 0, "0 or more"),
            "repeats": (self.repeats >= 1, "1 or more"),
            "folds": (self.folds >= 2, "2 or more"),
            "inner_folds": (self.inner_folds >= 2, "2 or more"),
            "regions": (self.regions in ("largest", "mean"), "largest or mean"),
            "most_missing": (0 <= self.most_missing < 1, "at least 0, under 1"),
            "clip": (self.clip > 0, "above 0"),
            "redundancy": (0 < self.redundancy <= 1, "above 0, at most 1"),
            "reproducible": (-1 <= self.reproducible <= 1, "from -1 to 1"),
            "selection_threshold": (0.5 < self.selection_threshold <= 1, "above 0.5, at most 1"),
            "expected_false": (self.expected_false > 0, "above 0"),
            "n_pairs": (self.n_pairs >= 1, "1 or more"),
            "strengths": (bool(self.strengths) and all(c > 0 for c in self.strengths), "numbers above 0"),
            "l1_ratio": (0 <= self.l1_ratio <= 1, "from 0 to 1"),
            "missing": (self.missing in ("refuse", "median", "drop"), "refuse, median or drop"),
            "combat": (isinstance(self.combat, bool), "true or false"),
            "level": (0 < self.level < 1, "between 0 and 1"),
            "horizon": (self.horizon is None or 0 < self.horizon < math.inf, "a number above 0"),
        }
        for field in fields(self):
            good, said = legal[field.name]
            if not good:
                raise InputRefused(f"{field.name} = {getattr(self, field.name)!r}", legal=said)
