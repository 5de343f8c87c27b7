"""The calibration part in two halves: one for operating points and recalibration, the other for conformal quantiles.

A threshold and a guarantee that rest on the same patients would each know the other's answers. The halves are of
patients, never of images, and a patient's half depends on the patient's id and on nothing else that is drawn: the same
table gives the same halves whatever the order of its rows.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fiducial.audit.scores import ScoreColumn

LEAST_HALVED = 40
"""Patients; a smaller calibration part serves operating points as a whole and is too small for conformal quantiles."""


def operating_half(calibration: ScoreColumn) -> ScoreColumn:
    """The half on which thresholds and recalibration maps are fitted; the whole part where it is too small to halve."""
    if calibration.n_subjects < LEAST_HALVED:
        return calibration
    return calibration.rows(~second_half(calibration.subject, calibration.truth))


def conformal_half(calibration: ScoreColumn) -> ScoreColumn | None:
    """The half that conformal quantiles come from; None where the part is too small to halve."""
    if calibration.n_subjects < LEAST_HALVED:
        return None
    return calibration.rows(second_half(calibration.subject, calibration.truth))


def second_half(subject: NDArray[np.object_], truth: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which rows [n] belong to the second half: `folds_of` in two."""
    return np.asarray(folds_of(subject, truth, 2) == 1)


def folds_of(subject: NDArray[np.object_], truth: NDArray[np.bool_], n_folds: int) -> NDArray[np.int64]:
    """The fold, 0 ... n_folds - 1, of each row [n]; all rows of a patient are in one.

    Patients with and without an event are dealt out each by themselves, in the order of the SHA-256 of their ids, so
    every fold holds events where there are as many patients with one.
    """
    with_event = set(map(str, subject[truth]))
    fold: dict[str, int] = {}
    for has_event in (False, True):
        names = {name for name in map(str, subject) if (name in with_event) is has_event}
        ordered = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
        fold |= {name: place % n_folds for place, name in enumerate(ordered)}
    return np.array([fold[str(name)] for name in subject], dtype=np.int64)
