"""From a table of features and outcomes to a signature: everything that is learned is learned inside training folds."""

from __future__ import annotations

from fiducial.features.signature.nested import CrossValidated, cross_validate
from fiducial.features.signature.outcome import Outcome
from fiducial.features.signature.patients import Asked, Patients, patients_of
from fiducial.features.signature.settings import SignatureSettings

__all__ = ["Asked", "CrossValidated", "Outcome", "Patients", "SignatureSettings", "cross_validate", "patients_of"]
