"""Our figures and the peers' on the same phantom table; where a peer is wrong or silent, the case is shown.

Masks are held against MONAI in test_against_monai.py, conformal sets against MAPIE in test_conformal_sets.py, and the
published variances of AUC in test_delong.py.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata
from sklearn import metrics as sklearn_metrics
from sklearn.calibration import calibration_curve
from sklearn.exceptions import UndefinedMetricWarning

from fiducial.audit import CHECKS, AuditSettings, vendor_input
from fiducial.audit.tables import prepared
from fiducial.maths.agreement import cohen_kappa_of, value_of
from fiducial.maths.bootstrap import clustered_bootstrap, rate_of
from fiducial.maths.calibration import brier, ece, log_loss
from fiducial.maths.classification import auc
from fiducial.maths.delong import delong
from fiducial.phantom.tables import draw_table

fairlearn = pytest.importorskip("fairlearn.metrics")
EXACT = 1e-12


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """600 patients, one image each, risks too high by half a logit."""
    return draw_table(600, seed=5, defect="shifted_scores", size=0.4)


@pytest.fixture(scope="module")
def called(frame: pd.DataFrame) -> np.ndarray:
    return (frame["value"] >= 0.5).to_numpy()


def sun_and_xu(truth: np.ndarray, score: np.ndarray) -> tuple[float, float]:
    """AUC and DeLong's variance by midranks (Sun and Xu, IEEE Signal Processing Letters 2014), for this test."""
    positive, negative = score[truth], score[~truth]
    m, n = len(positive), len(negative)
    together = rankdata(np.concatenate([positive, negative]))
    first = (together[:m] - rankdata(positive)) / n
    second = 1 - (together[m:] - rankdata(negative)) / m
    return float(first.mean()), float(first.var(ddof=1) / m + second.var(ddof=1) / n)


def test_auc_and_its_variance(frame: pd.DataFrame) -> None:
    truth, score = frame["truth"].to_numpy() == 1, frame["value"].to_numpy()
    area, variance = sun_and_xu(truth, score)
    found = delong(truth, score)
    assert found.auc == pytest.approx(sklearn_metrics.roc_auc_score(truth, score), abs=EXACT)
    assert (found.auc, found.variance) == pytest.approx((area, variance), abs=EXACT)


def test_auc_and_its_variance_with_ties(frame: pd.DataFrame) -> None:
    truth, score = frame["truth"].to_numpy() == 1, frame["value"].round(1).to_numpy()
    area, variance = sun_and_xu(truth, score)
    found = delong(truth, score)
    assert found.auc == pytest.approx(sklearn_metrics.roc_auc_score(truth, score), abs=EXACT)
    assert (found.auc, found.variance) == pytest.approx((area, variance), abs=EXACT)


def test_one_class_is_no_number_for_both() -> None:
    """scikit-learn warns and gives NaN; ours gives NaN, and the audit says why."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        assert np.isnan(sklearn_metrics.roc_auc_score([1, 1], [0.2, 0.3]))
    assert np.isnan(delong([1, 1], [0.2, 0.3]).auc)


def test_ece_over_bins_of_equal_width(frame: pd.DataFrame) -> None:
    """scikit-learn gives the points of the diagram; weighted by their number they are the ECE."""
    truth, score = frame["truth"].to_numpy(), frame["value"].to_numpy()
    for n_bins in (5, 10, 15):
        rate, mean = calibration_curve(truth, score, n_bins=n_bins)
        which = np.searchsorted(np.linspace(0, 1, n_bins + 1)[1:-1], score)
        n = np.bincount(which, minlength=n_bins)
        theirs = float((n[n > 0] / n.sum() * np.abs(rate - mean)).sum())
        assert ece(truth, score, n_bins=n_bins) == pytest.approx(theirs, abs=EXACT)


def test_ece_over_bins_of_equal_number(frame: pd.DataFrame) -> None:
    """scikit-learn interpolates between scores for its edges, ours are scores: alike where no score lies between."""
    truth, score = frame["truth"].to_numpy(), frame["value"].to_numpy()
    rate, mean = calibration_curve(truth, score, n_bins=10, strategy="quantile")
    edges = np.percentile(score, np.linspace(0, 100, 11))
    n = np.bincount(np.searchsorted(edges[1:-1], score), minlength=10)
    theirs = float((n / n.sum() * np.abs(rate - mean)).sum())
    assert ece(truth, score, binning="adaptive") == pytest.approx(theirs, abs=2e-3)


def test_brier_and_log_loss(frame: pd.DataFrame) -> None:
    truth, score = frame["truth"], frame["value"]
    assert brier(truth, score) == pytest.approx(sklearn_metrics.brier_score_loss(truth, score), abs=EXACT)
    assert log_loss(truth, score) == pytest.approx(sklearn_metrics.log_loss(truth, score), abs=1e-9)


def test_kappa_of_two_readers() -> None:
    """Plain, and weighted by squares over four grades."""
    rng = np.random.default_rng(2)
    first = rng.integers(0, 4, 300)
    second = np.clip(first + rng.integers(-1, 2, 300), 0, 3)
    for ours, theirs in (("none", None), ("quadratic", "quadratic")):
        found = value_of(cohen_kappa_of(first, second, n_categories=4, weighting=ours))  # type: ignore[arg-type]
        assert found == pytest.approx(sklearn_metrics.cohen_kappa_score(first, second, weights=theirs), abs=EXACT)


def test_rates_by_group(frame: pd.DataFrame, called: np.ndarray) -> None:
    """Sensitivity and specificity of every group and the gap between them, against Fairlearn's MetricFrame."""
    own = {"sensitivity": fairlearn.true_positive_rate, "specificity": fairlearn.true_negative_rate}
    truth = frame["truth"] == 1
    for attribute in ("sex", "site", "scanner"):
        theirs = fairlearn.MetricFrame(metrics=own, y_true=truth, y_pred=called, sensitive_features=frame[attribute])
        masks = {str(name): (frame[attribute] == name).to_numpy() for name in theirs.by_group.index}
        for metric, right in (("sensitivity", truth), ("specificity", ~truth)):
            statistic = rate_of(called == truth, among=right)
            ours = clustered_bootstrap({metric: statistic}, None, groups=masks, n_replicates=1)
            for name in masks:
                assert ours.value(metric, name) == pytest.approx(theirs.by_group.loc[name, metric], abs=EXACT)
            gap = float(np.ptp(ours.values[0]))
            assert gap == pytest.approx(theirs.difference()[metric], abs=EXACT)


def test_a_group_without_events_is_a_zero_for_fairlearn_and_nothing_for_us() -> None:
    """Nobody in group b has the finding: Fairlearn takes its sensitivity to be 0 and calls the gap complete."""
    truth, called = np.array([1, 1, 0, 0, 0]), np.array([1, 1, 0, 0, 1])
    group = np.array(["a", "a", "a", "b", "b"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = fairlearn.true_positive_rate_difference(truth, called, sensitive_features=group)
    assert theirs == 1.0
    masks = {name: group == name for name in "ab"}
    ours = clustered_bootstrap({"it": rate_of(called == 1, among=truth == 1)}, None, groups=masks, n_replicates=1)
    assert ours.value("it", "a") == 1.0
    assert np.isnan(ours.value("it", "b"))


def test_the_audit_gives_the_same_numbers(frame: pd.DataFrame, called: np.ndarray) -> None:
    """From a vendor's table to the evidence: the figures that a report prints, on the test part."""
    given = prepared(vendor_input(frame, settings=AuditSettings(n_replicates=50, attributes=("sex",))))
    rows = [row for name in ("accuracy", "calibration", "subgroups") for row in CHECKS[name](given).evidence]
    test = (frame["split"] == "test").to_numpy()
    truth, score = frame["truth"][test], frame["value"][test]

    def said(check: str, metric: str, group: str = "all") -> float:
        found = [r for r in rows if (r["check"], r["metric"], r["group"], r["split"]) == (check, metric, group, "test")]
        return float(next(r["value"] for r in found if r["statistic"] == "value"))

    assert said("accuracy", "auc") == pytest.approx(sklearn_metrics.roc_auc_score(truth, score), abs=EXACT)
    assert said("calibration", "brier") == pytest.approx(sklearn_metrics.brier_score_loss(truth, score), abs=EXACT)
    for sex in "FM":
        use = test & (frame["sex"] == sex).to_numpy()
        recall = sklearn_metrics.recall_score(frame["truth"][use], called[use])
        assert said("subgroups", "sensitivity", f"sex={sex}") == pytest.approx(recall, abs=EXACT)
        assert said("subgroups", "auc", f"sex={sex}") == pytest.approx(
            auc(frame["truth"][use], frame["value"][use]), abs=EXACT
        )


def test_equalised_odds_of_the_audit() -> None:
    """Where one sex's events are missed: Fairlearn's difference and ours, from table to evidence."""
    frame = draw_table(900, seed=0, defect="missed_group", size=0.3)
    given = prepared(vendor_input(frame, settings=AuditSettings(n_replicates=50, attributes=("sex", "scanner"))))
    rows = CHECKS["fairness"](given).evidence
    test = frame[frame["split"] == "test"]
    for attribute in ("sex", "scanner"):
        asked = (test["truth"] == 1, test["value"] >= 0.5)
        theirs = {
            "equalised_odds": fairlearn.equalized_odds_difference(*asked, sensitive_features=test[attribute]),
            "equal_opportunity": fairlearn.true_positive_rate_difference(*asked, sensitive_features=test[attribute]),
        }
        for metric, value in theirs.items():
            own = [r for r in rows if (r["metric"], r["group"], r["statistic"]) == (metric, attribute, "gap")]
            assert [row["value"] for row in own] == pytest.approx([value], abs=EXACT)
