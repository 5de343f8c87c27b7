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
    """Which rows [n] belong to the second half.

    Patients with and without an event are halved each by themselves, in the order of the SHA-256 of their ids, every
    other one going to the second half; so both halves hold events where there are two patients with one.
    """
    with_event = set(map(str, subject[truth]))
    second: set[str] = set()
    for has_event in (False, True):
        names = {name for name in map(str, subject) if (name in with_event) is has_event}
        second |= set(sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())[1::2])
    return np.array([str(name) in second for name in subject], dtype=bool)
