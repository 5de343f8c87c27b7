"""The Python interface: one function per command, wiring only.

>>> from fiducial.flows import audit
>>> callable(audit)
True

Each function takes paths, returns a frozen record of JSON-able values and prints nothing; ``progress`` is a callable.
"""

from __future__ import annotations

from fiducial.archive import PacsAccess
from fiducial.archive.deidentify import Options as DeidentifyOptions
from fiducial.audit.given import AuditSettings
from fiducial.features.signature.settings import Asked, SignatureSettings
from fiducial.flows.audit import Audited, audit
from fiducial.flows.check import Checked, check
from fiducial.flows.compare import Compared, compare
from fiducial.flows.deidentify import Deidentification, deidentify
from fiducial.flows.demo import Demo, demo
from fiducial.flows.describe import Described, describe
from fiducial.flows.export import Export, ExportSettings, export
from fiducial.flows.feature_maps import MadeMaps, feature_maps
from fiducial.flows.features import Features, features
from fiducial.flows.features_report import FeaturesReport, features_report
from fiducial.flows.ingest import Ingest, count_archive, ingest
from fiducial.flows.predict import Prediction, predict
from fiducial.flows.report import Report, report
from fiducial.flows.resample import Resampled, resample
from fiducial.flows.run import Run, run
from fiducial.flows.sign import Keys, Signed, keys, sign
from fiducial.flows.signature import Figure, Signature, signature
from fiducial.flows.signature import Tables as SignatureTables
from fiducial.flows.signature_settings import load_signature_settings
from fiducial.flows.stability import Stability, stability
from fiducial.flows.train import Training, train
from fiducial.flows.verify import Verified, verify

__all__ = [
    "Asked",
    "AuditSettings",
    "Audited",
    "Checked",
    "Compared",
    "Deidentification",
    "DeidentifyOptions",
    "Demo",
    "Described",
    "Export",
    "ExportSettings",
    "Features",
    "FeaturesReport",
    "Figure",
    "Ingest",
    "Keys",
    "MadeMaps",
    "PacsAccess",
    "Prediction",
    "Report",
    "Resampled",
    "Run",
    "Signature",
    "SignatureSettings",
    "SignatureTables",
    "Signed",
    "Stability",
    "Training",
    "Verified",
    "audit",
    "check",
    "compare",
    "count_archive",
    "deidentify",
    "demo",
    "describe",
    "export",
    "feature_maps",
    "features",
    "features_report",
    "ingest",
    "keys",
    "load_signature_settings",
    "predict",
    "report",
    "resample",
    "run",
    "sign",
    "signature",
    "stability",
    "train",
    "verify",
]
