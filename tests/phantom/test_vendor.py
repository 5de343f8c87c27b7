"""The vendor's table agrees with its stated truth, and its planted defect is there where one was planted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm, rankdata

from fiducial.errors import InputRefused
from fiducial.phantom.vendor import CLEAN, NO_DEFECT, Defect, Vendor, vendor_table
from fiducial.records.tables import PREDICTIONS, validated

N = 4000


@pytest.fixture(scope="module")
def drawn():
    return vendor_table(N, seed=4)


@pytest.fixture(scope="module")
def clean():
    return vendor_table(N, seed=4, vendor=CLEAN)


def auc(frame):
    one = frame.truth == 1
    ranks = rankdata(frame.value)[one].sum()
    return (ranks - one.sum() * (one.sum() + 1) / 2) / (one.sum() * (~one).sum())


def auc_error(true_auc, n_one, n_none):
    """Hanley and McNeil's standard error; a few per cent of two-image patients widen it a little."""
    q1, q2 = true_auc / (2 - true_auc), 2 * true_auc**2 / (1 + true_auc)
    square = true_auc * (1 - true_auc) + (n_one - 1) * (q1 - true_auc**2) + (n_none - 1) * (q2 - true_auc**2)
    return 1.1 * np.sqrt(square / (n_one * n_none))


def rate_error(rate, n):
    return 1.1 * np.sqrt(rate * (1 - rate) / n)


def test_truth_of_a_clean_vendor_by_hand():
    """AUC 0.921 is mu = 2 exactly enough; at odds 1 : 1 and threshold 0.5 the cut lies at mu / 2."""
    vendor = Vendor(auc=float(norm.cdf(np.sqrt(2))), prevalence=0.5, threshold=0.5, stretch_logit=1, defect=NO_DEFECT)
    _, truth = vendor_table(0, vendor=vendor)
    assert truth.sensitivity == pytest.approx(norm.cdf(1))
    assert truth.specificity == pytest.approx(norm.cdf(1))
    assert (truth.calibration_slope, truth.calibration_intercept) == pytest.approx((1, 0), abs=1e-9)
    assert truth.ece == pytest.approx(0, abs=1e-9)
    assert (truth.defect, truth.defect_share) == ("", 0)


def test_stretch_and_shift_are_inverted_by_the_calibration_line():
    _, truth = vendor_table(0, vendor=replace(CLEAN, stretch_logit=2.0, shift_logit=0.6))
    assert truth.calibration_slope == pytest.approx(0.5)
    assert truth.calibration_intercept == pytest.approx(-0.3)
    assert truth.ece > 0.02


def test_defect_lowers_what_it_should():
    _, truth = vendor_table(0, vendor=Vendor(defect=Defect((("scanner", "Draco 8"),), 1.0)))
    mu = np.sqrt(2) * norm.ppf(0.96)
    assert truth.auc_defect == pytest.approx(norm.cdf((mu - 1) / np.sqrt(2)))
    assert truth.defect_share == pytest.approx(1 / 3)
    assert truth.auc == pytest.approx(2 / 3 * 0.96 + truth.auc_defect / 3)
    assert norm.ppf(truth.sensitivity_others) - norm.ppf(truth.sensitivity_defect) == pytest.approx(1)


def test_share_of_women_over_65():
    _, truth = vendor_table(0, vendor=Vendor(defect=Defect((("sex", "F"),), 1.0, from_age=65)))
    assert truth.defect_share == pytest.approx(0.5 * 16 / 31)
    assert truth.defect == "sex=F"


def test_the_table_has_the_columns_of_a_vendors_csv(drawn):
    frame, _ = drawn
    assert list(frame.columns) == [
        "subject",
        "image",
        "target",
        "value",
        "truth",
        "sex",
        "age",
        "smoking",
        "site",
        "scanner",
    ]
    assert len(validated(frame, PREDICTIONS)) == len(frame)
    assert frame.value.between(0, 1).all()
    assert (frame.groupby("subject")[["truth", "sex", "age", "site", "scanner"]].nunique() == 1).all().all()
    twice = (frame.groupby("subject").size() == 2).mean()
    assert abs(twice - 0.1) < 4 * rate_error(0.1, N)


@pytest.mark.parametrize("which", ["drawn", "clean"])
def test_the_draws_agree_with_the_truth(which, request):
    frame, truth = request.getfixturevalue(which)
    one = frame.truth == 1
    said = frame.value >= truth.threshold
    assert abs(one.mean() - truth.prevalence) < 4 * rate_error(truth.prevalence, N)
    assert abs(auc(frame) - truth.auc) < 4 * auc_error(truth.auc, one.sum(), (~one).sum())
    assert abs(said[one].mean() - truth.sensitivity) < 4 * rate_error(truth.sensitivity, one.sum())
    assert abs((~said[~one]).mean() - truth.specificity) < 4 * rate_error(truth.specificity, (~one).sum())


def test_the_calibration_line_fits_the_draws(drawn):
    """At the true line, the score equations of the logistic regression are zero within their error."""
    frame, truth = drawn
    x = np.log(frame.value / (1 - frame.value))
    p = 1 / (1 + np.exp(-(truth.calibration_intercept + truth.calibration_slope * x)))
    for weight in (np.ones(len(x)), x):
        assert abs(((frame.truth - p) * weight).sum()) < 4 * 1.15 * np.sqrt((p * (1 - p) * weight**2).sum())


def test_the_planted_defect_is_visible_and_the_clean_table_has_none(drawn, clean):
    for (frame, truth), planted in ((drawn, True), (clean, False)):
        one = frame[frame.truth == 1]
        weak = one.scanner == "Draco 8"
        gap = (one[~weak].value >= truth.threshold).mean() - (one[weak].value >= truth.threshold).mean()
        error = np.hypot(
            rate_error(truth.sensitivity_defect, weak.sum()), rate_error(truth.sensitivity_others, (~weak).sum())
        )
        assert abs(gap - (truth.sensitivity_others - truth.sensitivity_defect)) < 4 * error
        assert (gap > 4 * error) == planted


def test_two_images_of_a_patient_correlate(clean):
    _, truth = clean
    frame, _ = vendor_table(1500, seed=9, vendor=replace(CLEAN, two_images=1.0))
    odds = np.log(frame.value / (1 - frame.value))[frame.truth == 0].to_numpy().reshape(-1, 2)
    correlation = np.corrcoef(odds.T)[0, 1]
    assert correlation == pytest.approx(0.6, abs=4 * (1 - 0.36) / np.sqrt(len(odds)))
    assert truth.auc == 0.96


def test_missing_values_on_request():
    frame, _ = vendor_table(2000, vendor=replace(CLEAN, missing=0.05))
    assert abs(frame.value.isna().mean() - 0.05) < 4 * rate_error(0.05, len(frame))


def test_subject_k_does_not_depend_on_how_many_there_are(drawn):
    frame, _ = drawn
    few, _ = vendor_table(50, seed=4)
    assert few.equals(frame.iloc[: len(few)])
    other, _ = vendor_table(50, seed=5)
    assert not few.equals(other)


def test_no_subjects_is_an_empty_table():
    frame, _ = vendor_table(0)
    assert len(frame) == 0
    assert "truth" in frame.columns


@pytest.mark.parametrize(
    ("vendor", "message"),
    [
        (Vendor(auc=1.0), r"auc in \(0.5, 1\)"),
        (Vendor(two_images=1.2), "fractions in"),
        (Vendor(stretch_logit=0), "a stretch above 0"),
        (Vendor(defect=Defect((("scanner", "Zeus"),), 1.0)), "no subject of 3 sites is in 'scanner=Zeus'"),
    ],
)
def test_illegal_vendors_are_refused(vendor, message):
    with pytest.raises(InputRefused, match=message):
        vendor_table(10, vendor=vendor)


def test_a_negative_number_of_subjects_is_refused():
    with pytest.raises(InputRefused, match="n_subjects=-1"):
        vendor_table(-1)
