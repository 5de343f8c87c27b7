"""Two audits side by side: the differences, their tests, and what cannot be compared."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fiducial.audit import AuditInput, AuditSettings
from fiducial.audit.comparison import Comparison, Side, compare_audits
from fiducial.audit.evidence import evidence_row
from fiducial.audit.tables import prepared
from fiducial.errors import LabelError, RunMismatch
from fiducial.maths.difference import auc_difference_interval, paired_difference_interval
from fiducial.records.tables import EVIDENCE, table

Make = Callable[..., AuditInput]
SMALL = AuditSettings(minimum_n=2, n_replicates=100)


def side(label: str, given: AuditInput | None, rows: list[dict[str, Any]] = ()) -> Side:  # type: ignore[assignment]
    own = [{"check": "accuracy", "metric": "auc", "target": "malignant"}, *rows]
    return Side(label, table(own, EVIDENCE), None if given is None else prepared(given))


def scores(truth: Any, value: Any, *, first: int = 0, **more: Any) -> list[dict[str, Any]]:
    return [
        {"image": f"i{k + first:04d}", "truth": float(t), "value": float(v), **{n: c[k] for n, c in more.items()}}
        for k, (t, v) in enumerate(zip(truth, value, strict=True))
    ]


def found(result: Comparison, metric: str, group: str = "all") -> dict[str, Any]:
    (row,) = [row for row in result.tests if row["metric"] == metric and row["group"] == group]
    return row


@pytest.fixture
def hundred() -> tuple[Any, Any]:
    """Truth of 200 images and a fair score."""
    rng = np.random.default_rng(0)
    truth = np.arange(200) % 2
    return truth, np.clip(0.35 + 0.3 * truth + rng.normal(0, 0.15, 200), 0.001, 0.999)


# countable by hand


def test_sensitivity_by_hand(make_input: Make) -> None:
    """Ten diseased: the first finds eight of them, the second three of those and none besides."""
    truth = [1] * 10 + [0] * 10
    before = make_input(scores(truth, [0.9] * 8 + [0.1] * 12), settings=SMALL)
    after = make_input(scores(truth, [0.9] * 3 + [0.1] * 17), settings=SMALL)
    row = found(compare_audits(side("a", before), side("b", after)), "sensitivity")
    assert (row["before"], row["after"], row["n_images"]) == (0.8, 0.3, 10)
    assert row["value"] == pytest.approx(-0.5)
    # Five discordant, all one way: mid-p = 2 * 0.5 ** 5 - 0.5 ** 5.
    assert row["p"] == pytest.approx(0.5**5)


def test_a_verdict_needs_the_adjusted_p(make_input: Make) -> None:
    truth = [1] * 10 + [0] * 10
    before = make_input(scores(truth, [0.9] * 8 + [0.1] * 12), settings=SMALL)
    after = make_input(scores(truth, [0.9] * 3 + [0.1] * 17), settings=SMALL)
    result = compare_audits(side("a", before), side("b", after))
    row = found(result, "sensitivity")
    others = sum(not math.isnan(r["p"]) for r in result.tests)
    assert others >= 2
    assert row["p"] < 0.05 < row["p_adjusted"]
    assert row["verdict"] == "no_difference"


# reference: the maths


def test_auc_and_brier_are_those_of_the_maths(make_input: Make, hundred: tuple[Any, Any]) -> None:
    truth, score = hundred
    other = np.clip(score + np.random.default_rng(1).normal(0, 0.2, 200), 0, 1)
    subject = [f"p{k // 2}" for k in range(200)]
    before = make_input(scores(truth, score, subject=subject), settings=SMALL)
    after = make_input(scores(truth, other, subject=subject)[::-1], settings=SMALL)
    result = compare_audits(side("a", before), side("b", after))
    want = auc_difference_interval(truth, other, score, subject=subject)
    row = found(result, "auc")
    assert (row["value"], row["low"], row["p"]) == pytest.approx((want.value, want.low, want.p))
    assert row["n_subjects"] == 100
    want = paired_difference_interval((other - truth) ** 2, (score - truth) ** 2, subject=subject)
    assert found(result, "brier")["value"] == pytest.approx(want.value)


def test_dice_is_paired_by_image(make_input: Make) -> None:
    rng = np.random.default_rng(2)
    values = rng.uniform(0.7, 0.9, 40)
    cases = [[{"image": f"i{k}", "metric": "dice", "value": v} for k, v in enumerate(values + d)] for d in (0, -0.02)]
    for k, row in enumerate(cases[1]):
        row["value"] += 0.001 * (k % 5)
    cases[1] = cases[1][:30]
    sides = [side(name, make_input(cases=rows, settings=SMALL)) for name, rows in zip("ab", cases, strict=True)]
    row = found(compare_audits(*sides), "dice")
    assert (row["verdict"], row["n_images"]) == ("worse", 30)
    assert row["value"] == pytest.approx(-0.018)


# laws


def test_an_audit_against_itself_has_no_difference(make_input: Make, hundred: tuple[Any, Any]) -> None:
    given = make_input(scores(*hundred), settings=SMALL)
    result = compare_audits(side("a", given), side("b", given))
    assert {row["verdict"] for row in result.tests} == {"no_difference"}
    assert {row["change"] for row in result.rows} == {"same"}


def test_exchanging_the_two_exchanges_the_signs(make_input: Make, hundred: tuple[Any, Any]) -> None:
    truth, score = hundred
    sides = [side("a", make_input(scores(truth, score), settings=SMALL))]
    sides.append(side("b", make_input(scores(truth, np.where(truth == 1, score * 0.6, score)), settings=SMALL)))
    there, back = compare_audits(*sides), compare_audits(*reversed(sides))
    for row in there.tests:
        other = found(back, row["metric"], row["group"])
        assert other["value"] == pytest.approx(-row["value"])
        assert other["p"] == pytest.approx(row["p"], nan_ok=True)
        opposite = {"worse": "better", "better": "worse"}
        assert other["verdict"] == opposite.get(row["verdict"], row["verdict"])
    assert there.tests[0]["verdict"] == "worse"


def test_a_lower_brier_score_is_better(make_input: Make, hundred: tuple[Any, Any]) -> None:
    truth, score = hundred
    sharper = np.where(truth == 1, score**0.3, score**3)
    sides = [side(n, make_input(scores(truth, v), settings=SMALL)) for n, v in (("a", score), ("b", sharper))]
    row = found(compare_audits(*sides), "brier")
    assert row["value"] < 0
    assert row["verdict"] == "better"


def test_a_group_that_is_served_worse_is_found_though_the_average_is_not(
    make_input: Make, hundred: tuple[Any, Any]
) -> None:
    truth, score = hundred
    sex = np.array(["F", "M", "M", "M", "M"])[np.arange(200) % 5]
    other = np.where((sex == "F") & (truth == 1), 0.1, score)
    attributes = [{"image": f"i{k:04d}", "sex": s} for k, s in enumerate(sex)]
    settings = AuditSettings(minimum_n=5, n_replicates=100, attributes=("sex",))
    sides = [
        side(n, make_input(scores(truth, v), attributes=attributes, settings=settings))
        for n, v in (("a", score), ("b", other))
    ]
    result = compare_audits(*sides)
    assert found(result, "sensitivity", "sex=F")["verdict"] == "worse"
    assert found(result, "sensitivity", "sex=M")["verdict"] == "no_difference"


@pytest.mark.slow
def test_false_alarms_stay_below_the_level(make_input: Make) -> None:
    """Two equally good models, 300 draws: any verdict at all in at most the 99.9 % bound of 5 %."""
    fired = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        truth = rng.integers(0, 2, 150)
        shared = rng.normal(truth * 1.5, 1)
        both = [1 / (1 + np.exp(-(shared + rng.normal(0, 0.7, 150)))) for _ in range(2)]
        sides = [side(n, make_input(scores(truth, v), settings=SMALL)) for n, v in zip("ab", both, strict=True)]
        fired += any(row["verdict"] in ("worse", "better") for row in compare_audits(*sides).tests)
    assert fired <= 29


# evidence rows


def evidence(given: AuditInput, check: str, metric: str, **said: Any) -> dict[str, Any]:
    return evidence_row(given, check, metric, target="malignant", **said)


def test_verdicts_that_changed_are_named_and_stand_first(make_input: Make, hundred: tuple[Any, Any]) -> None:
    given = make_input(scores(*hundred), settings=SMALL)
    said = {"direction": "at_least", "threshold": 0.8}
    first = [
        evidence(given, "leakage", "pairs", verdict="clear"),
        evidence(given, "acceptance", "auc", verdict="pass", **said),
        evidence(given, "missingness", "share", verdict="finding"),
        evidence(given, "subgroups", "auc", statistic="gap_test", group="sex", verdict="clear"),
        evidence(given, "only", "here"),
    ]
    second = [
        evidence(given, "leakage", "pairs", verdict="clear"),
        evidence(given, "missingness", "share", verdict="clear"),
        evidence(given, "acceptance", "auc", verdict="inconclusive", **said),
        # The metric of a test over several metrics is the one that differs most.
        evidence(given, "subgroups", "sensitivity", statistic="gap_test", group="sex", verdict="finding"),
        evidence(given, "only", "there"),
    ]
    result = compare_audits(side("a", given, first), side("b", given, second))
    told = [(row["check"], row["change"]) for row in result.rows]
    assert told == [
        ("acceptance", "worse"),
        ("subgroups", "worse"),
        ("missingness", "better"),
        ("accuracy", "same"),
        ("leakage", "same"),
        ("only", "only_before"),
        ("only", "only_after"),
    ]
    assert (result.rows[0]["before"]["row"], result.rows[0]["after"]["row"]) == (3, 4)


def test_rows_with_one_key_are_joined_in_their_order(make_input: Make) -> None:
    given = make_input(scores([0, 1], [0.2, 0.8]), settings=SMALL)
    rows = [evidence(given, "openings", "n", value=float(k)) for k in range(3)]
    result = compare_audits(side("a", None, rows), side("b", None, rows[:2]))
    pairs = [
        (r["before"]["value"], r["after"] and r["after"]["value"]) for r in result.rows if r["check"] == "openings"
    ]
    assert pairs == [(0.0, 0.0), (1.0, 1.0), (2.0, None)]


# edges


def test_too_few_is_not_possible_and_names_n(make_input: Make) -> None:
    truth, score = [1, 1, 1, 0, 0, 0], [0.9, 0.8, 0.7, 0.1, 0.2, 0.3]
    given = make_input(scores(truth, score), settings=AuditSettings(minimum_n=5))
    row = found(compare_audits(side("a", given), side("b", given)), "sensitivity")
    assert (row["verdict"], row["reason"]) == ("not_possible", "n = 3 < 5: too few to tell")


def test_one_class_is_not_possible_for_auc(make_input: Make) -> None:
    given = [make_input(scores([1] * 12, np.linspace(0.1, 0.9, 12) ** k), settings=SMALL) for k in (1, 2)]
    assert found(compare_audits(side("a", given[0]), side("b", given[1])), "auc")["verdict"] == "not_possible"


def test_images_of_one_side_and_missing_answers_are_told(make_input: Make, hundred: tuple[Any, Any]) -> None:
    truth, score = hundred
    rows = scores(truth, score)
    other = [dict(row) for row in rows[20:]]
    for row in other[:7]:
        row["value"] = math.nan
    result = compare_audits(side("a", make_input(rows, settings=SMALL)), side("b", make_input(other, settings=SMALL)))
    assert result.n_images == 173
    assert "after has no answer for 7 images of malignant that the other answered: left out" in result.notes
    assert "27 images of malignant stand in before only: left out" in result.notes


def test_without_tables_only_evidence_is_laid_side_by_side(make_input: Make, hundred: tuple[Any, Any]) -> None:
    result = compare_audits(side("a", make_input(scores(*hundred), settings=SMALL)), side("old", None))
    assert result.tests == ()
    assert "old kept no table of what was audited" in result.notes[0]
    assert len(result.rows) == 1


# what cannot be compared


def test_other_targets_are_refused(make_input: Make) -> None:
    other = Side("b", pd.DataFrame(table([{"check": "a", "metric": "auc", "target": "oedema"}], EVIDENCE)))
    with pytest.raises(RunMismatch, match="no target in common: malignant against oedema"):
        compare_audits(side("a", None), other)


def test_no_common_image_is_refused(make_input: Make, hundred: tuple[Any, Any]) -> None:
    given = [make_input(scores(*hundred, first=k), settings=SMALL) for k in (0, 1000)]
    with pytest.raises(RunMismatch, match="no image in common"):
        compare_audits(side("a", given[0]), side("b", given[1]))


def test_two_truths_of_one_image_are_refused_and_named(make_input: Make, hundred: tuple[Any, Any]) -> None:
    truth, score = hundred
    flipped = truth.copy()
    flipped[[3, 9]] = 1 - flipped[[3, 9]]
    given = [make_input(scores(t, score), settings=SMALL) for t in (truth, flipped)]
    with pytest.raises(LabelError, match="2 images have two truths: i0003, i0009"):
        compare_audits(side("a", given[0]), side("b", given[1]))


def test_two_true_volumes_of_one_image_are_refused(make_input: Make) -> None:
    def cases(true: float) -> list[dict[str, Any]]:
        rows = [{"image": f"i{k}", "metric": "dice", "value": 0.8 + k / 100} for k in range(12)]
        return rows + [{"image": f"i{k}", "metric": "volume_ml_true", "value": true + k} for k in range(12)]

    given = [make_input(cases=cases(true), settings=SMALL) for true in (3.0, 3.1)]
    with pytest.raises(LabelError, match="12 images have two truths"):
        compare_audits(side("a", given[0]), side("b", given[1]))
