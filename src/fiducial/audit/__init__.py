"""The audit: tables in, evidence out. One file per check; never imports torch.

`CHECKS` names every check; `audit` runs them all. Each is a pure function of `AuditInput`.
"""

from __future__ import annotations

from collections.abc import Callable

from fiducial.audit.acceptance import check_acceptance
from fiducial.audit.accuracy import check_accuracy
from fiducial.audit.agreement import check_agreement
from fiducial.audit.calibration import check_calibration
from fiducial.audit.conformal import check_conformal
from fiducial.audit.decisions import check_decisions
from fiducial.audit.duplicates import check_duplicates
from fiducial.audit.evidence import read_evidence, write_evidence
from fiducial.audit.fairness import check_fairness
from fiducial.audit.given import AuditInput, AuditResult, AuditSettings, CheckResult
from fiducial.audit.group_thresholds import check_group_thresholds
from fiducial.audit.label_noise import check_label_noise
from fiducial.audit.leakage import check_leakage
from fiducial.audit.levelling_down import check_levelling_down
from fiducial.audit.missingness import check_missingness
from fiducial.audit.openings import check_openings
from fiducial.audit.operating_points import check_operating_points
from fiducial.audit.out_of_distribution import check_out_of_distribution
from fiducial.audit.predicted_quality import check_predicted_quality
from fiducial.audit.recalibration import check_recalibration
from fiducial.audit.sample_size import check_sample_size
from fiducial.audit.score_distribution import check_score_distribution
from fiducial.audit.selective import check_selective
from fiducial.audit.shortcut import check_shortcut
from fiducial.audit.sites import check_sites
from fiducial.audit.subgroups import check_subgroups
from fiducial.audit.tables import audited_table, prepared
from fiducial.audit.temporal import check_temporal
from fiducial.audit.vendor import vendor_input
from fiducial.records.progress import Progress, silent
from fiducial.records.tables import CURVES, EVIDENCE, table

CHECKS: dict[str, Callable[[AuditInput], CheckResult]] = {
    "acceptance": check_acceptance,
    "accuracy": check_accuracy,
    "operating_point": check_operating_points,
    "calibration": check_calibration,
    "recalibration": check_recalibration,
    "decisions": check_decisions,
    "subgroups": check_subgroups,
    "fairness": check_fairness,
    "group_thresholds": check_group_thresholds,
    "levelling_down": check_levelling_down,
    "shortcut": check_shortcut,
    "sites": check_sites,
    "temporal": check_temporal,
    "conformal": check_conformal,
    "selective": check_selective,
    "out_of_distribution": check_out_of_distribution,
    "predicted_quality": check_predicted_quality,
    "leakage": check_leakage,
    "duplicates": check_duplicates,
    "label_noise": check_label_noise,
    "agreement": check_agreement,
    "missingness": check_missingness,
    "score_distribution": check_score_distribution,
    "openings": check_openings,
    "sample_size": check_sample_size,
}


def audit(given: AuditInput, progress: Progress = silent) -> AuditResult:
    """Run every check on one model's tables.

    Args:
        given: predictions, cases and attributes, with the study and the settings.
        progress: told after each check.

    Returns:
        Evidence and curves; the order of the rows given makes no difference, and the same seed gives the same rows.

    Raises:
        TableError: a table breaks its schema or contradicts itself.
        LabelError: there is nothing to audit, or a target of the study was not predicted.
        StudyError: a criterion names a group that nobody belongs to.
    """
    given = prepared(given)
    result = CheckResult()
    for done, check in enumerate(CHECKS.values()):
        progress("audit", done, len(CHECKS))
        result += check(given)
    progress("audit", len(CHECKS), len(CHECKS))
    model = str(audited_table(given)["model"].iloc[0])
    rows = [{"model": model, **row} for row in result.evidence]
    return AuditResult(table(rows, EVIDENCE), table(result.curves, CURVES))


__all__ = [
    "CHECKS",
    "AuditInput",
    "AuditResult",
    "AuditSettings",
    "CheckResult",
    "audit",
    "read_evidence",
    "vendor_input",
    "write_evidence",
]
