import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from fiducial.errors import InputRefused, LabelError
from fiducial.maths.classification import RATES, auc, choose_threshold, confusion, roc_curve

ROWS = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=40).filter(
    lambda rows: 0 < sum(t for t, _ in rows) < len(rows)
)
TRUTH = [1, 1, 1, 0, 0, 0, 0, 1]
SCORE = [0.9, 0.8, 0.4, 0.4, 0.3, 0.6, 0.1, 0.7]


def random_rows(seed=0, n=400, decimals=2):
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.35
    return truth, np.round(1 / (1 + np.exp(-(rng.normal(size=n) + truth))), decimals)


def test_auc_countable_by_hand():
    # 16 pairs; 0.4 loses to 0.6 and ties with 0.4
    assert auc(TRUTH, SCORE) == pytest.approx((16 - 1 - 0.5) / 16)


def test_confusion_countable_by_hand():
    found = confusion(TRUTH, SCORE, threshold=0.4)
    counts = (found.true_positive, found.false_positive, found.true_negative, found.false_negative)
    assert counts == (4, 2, 2, 0)
    assert found.sensitivity == 1
    assert found.specificity == 0.5
    assert found.ppv == pytest.approx(4 / 6)
    assert found.npv == 1
    assert found.accuracy == 0.75
    assert found.balanced_accuracy == 0.75


def test_weights_are_copies():
    truth, score = np.array(TRUTH), np.array(SCORE)
    weight = np.array([1, 2, 3, 1, 0, 2, 1, 1])
    rows = np.repeat(np.arange(8), weight)
    assert auc(truth, score, weight=weight) == pytest.approx(auc(truth[rows], score[rows]))
    assert confusion(truth, score, threshold=0.5, weight=weight) == confusion(truth[rows], score[rows], threshold=0.5)


@pytest.mark.parametrize(
    ("rule", "value", "threshold", "sensitivity", "specificity"),
    [
        ("sensitivity", 0.75, 0.7, 0.75, 1.0),
        ("sensitivity", 0.76, 0.4, 1.0, 0.5),
        ("sensitivity", 1.0, 0.4, 1.0, 0.5),
        ("specificity", 0.75, 0.6, 0.75, 0.75),
        ("specificity", 0.5, 0.4, 1.0, 0.5),
        ("specificity", 1.0, 0.7, 0.75, 1.0),
        ("youden", float("nan"), 0.7, 0.75, 1.0),
        ("threshold", 0.5, 0.5, 0.75, 0.75),
    ],
)
def test_rules(rule, value, threshold, sensitivity, specificity):
    found = choose_threshold(TRUTH, SCORE, rule=rule, value=value)
    assert (found.threshold, found.sensitivity, found.specificity) == (threshold, sensitivity, specificity)


def test_a_specificity_beyond_every_score_calls_nobody():
    found = choose_threshold([0, 1, 0], [0.9, 0.9, 0.9], rule="specificity", value=0.5)
    assert found.specificity == 1
    assert found.sensitivity == 0
    assert found.threshold > 0.9


def test_a_tenth_of_ten_is_one_despite_rounding():
    truth, score = np.ones(11), np.linspace(0, 1, 11)
    truth[0] = 0
    assert choose_threshold(truth, score, rule="sensitivity", value=0.9).sensitivity == pytest.approx(0.9)


@pytest.mark.parametrize("seed", range(3))
def test_against_scikit_learn(seed):
    truth, score = random_rows(seed)
    assert auc(truth, score) == pytest.approx(sklearn_metrics.roc_auc_score(truth, score), rel=1e-12)
    ours = roc_curve(truth, score)
    fpr, tpr, thresholds = sklearn_metrics.roc_curve(truth, score, drop_intermediate=False)
    assert ours.sensitivity == pytest.approx(tpr)
    assert ours.false_positive_rate == pytest.approx(fpr)
    assert ours.threshold == pytest.approx(thresholds)
    found, called = confusion(truth, score, threshold=0.55), score >= 0.55
    peers = {
        "sensitivity": sklearn_metrics.recall_score(truth, called),
        "specificity": sklearn_metrics.recall_score(~truth, ~called),
        "ppv": sklearn_metrics.precision_score(truth, called),
        "npv": sklearn_metrics.precision_score(~truth, ~called),
        "accuracy": sklearn_metrics.accuracy_score(truth, called),
        "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(truth, called),
    }
    assert {name: getattr(found, name) for name in RATES} == pytest.approx(peers)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.randoms(use_true_random=False))
def test_laws(rows, random):
    truth, score = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    area = auc(truth, score)
    assert 0 <= area <= 1
    assert auc(truth, np.exp(score) + 3) == pytest.approx(area)  # monotone maps change nothing
    assert auc(truth, -score) == pytest.approx(1 - area)
    assert auc(1 - truth, score) == pytest.approx(1 - area)
    order = random.sample(range(len(rows)), len(rows))
    assert auc(truth[order], score[order]) == pytest.approx(area)
    curve = roc_curve(truth, score)
    assert (np.diff(curve.sensitivity) >= 0).all()
    assert (np.diff(curve.false_positive_rate) >= 0).all()
    assert (np.diff(curve.threshold) < 0).all()
    point = choose_threshold(truth, score, rule="sensitivity", value=0.8)
    assert point.sensitivity >= 0.8


def test_one_class_has_no_area_but_a_confusion():
    assert np.isnan(auc([1, 1], [0.1, 0.2]))
    assert np.isnan(confusion([1, 1], [0.1, 0.2], threshold=0.15).specificity)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: auc([0, 2], [0.1, 0.2]), LabelError, r"truth 2.0 in row 2\n  legal: 0 or 1"),
        (lambda: auc([0, float("nan")], [0.1, 0.2]), LabelError, "truth nan in row 2"),
        (lambda: auc([0, 1], [0.1, float("inf")]), InputRefused, "score inf in row 2"),
        (lambda: auc([0, 1, 1], [0.1, 0.2]), InputRefused, "3 rows of truth and 2 of score"),
        (lambda: auc([0, 1], [0.1, 0.2], weight=[1, -1]), InputRefused, "weights"),
        (lambda: roc_curve([1, 1], [0.1, 0.2]), LabelError, "2 positive and 0 negative cases"),
        (lambda: choose_threshold(TRUTH, SCORE, rule="best"), InputRefused, "rule 'best'"),
        (lambda: choose_threshold(TRUTH, SCORE, rule="sensitivity", value=90), InputRefused, "sensitivity 90"),
        (lambda: choose_threshold(TRUTH, SCORE, rule="threshold"), InputRefused, "without a value"),
    ],
)
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
