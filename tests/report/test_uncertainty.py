"""The section on uncertainty: verdicts first, the promise in words, figures only where there is something to draw."""

from __future__ import annotations

import html
import re
from typing import Any

import pandas as pd

from fiducial.records.tables import CURVES, EVIDENCE, table
from fiducial.report import ReportInput, render

Row = dict[str, Any]
BASE: Row = {"check": "conformal", "target": "nodule", "split": "test", "n_subjects": 200, "n_images": 240}
PROMISED: Row = {"threshold": 0.9, "direction": "at_least", "method": "LAC sets"}


def coverage(value: float, item: str = "lac", group: str = "all", **more: Any) -> Row:
    ends = {"low": value - 0.04, "high": value + 0.03}
    return {**BASE, **PROMISED, "metric": "coverage", "item": item, "group": group, "value": value, **ends, **more}


def size(statistic: str, value: float) -> Row:
    return {**BASE, "metric": "set_size", "item": "lac", "statistic": statistic, "value": value, "method": "LAC sets"}


def selective(metric: str, value: float, **more: Any) -> Row:
    return {**BASE, "check": "selective", "metric": metric, "value": value, "method": "threshold 0.5", **more}


CONFORMAL = [
    coverage(0.871),
    coverage(0.95, group="truth=0"),
    coverage(0.642, group="truth=1"),
    coverage(0.906, "lac_by_class", "truth=1"),
    coverage(0.88, group="sex=F"),
    coverage(0.86, group="sex=M"),
    coverage(0.91, "lac_by_group", "sex=F"),
    size("mean", 1.05),
    size("share_single", 0.9),
    size("share_several", 0.08),
    size("share_empty", 0.02),
    coverage(0.871, statistic="test", verdict="clear", reason="nothing speaks against the promised coverage of 90 %"),
    coverage(0.86, group="sex", statistic="test", verdict="clear", reason="nothing against it", p_adjusted=0.7),
    coverage(0.87, group="site", statistic="test", verdict="clear", reason="nothing against it", p_adjusted=0.4),
]
SELECTIVE = [
    selective("aurc", 0.0123),
    selective("error_auroc", 0.83),
    selective("deferral_rate", 0.21, reason="answers of confidence 0.861 or more are kept"),
    selective("kept_error", 0.031, high=0.048, threshold=0.05, direction="at_most"),
    selective("error_auroc", 0.83, statistic="test", verdict="clear", reason="wrong answers are less confident"),
]
CURVE = [
    {
        "check": "selective",
        "metric": "risk_coverage",
        "target": "nodule",
        "series": series,
        "x": x,
        "y": y * x,
        "n": 240,
    }
    for series, y in (("test", 0.1), ("ideal", 0.05))
    for x in (0.25, 0.5, 1.0)
]


def page(rows: list[Row], curves: list[Row] = CURVE, title: str = "Report") -> str:
    given = ReportInput(title=title, evidence=table(rows, EVIDENCE), curves=table(curves, CURVES))
    return html.unescape(render(given))


def section(text: str) -> str:
    found = re.search(r'<section id="uncertainty".*?</section>', text, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", found.group(0)).split()) if found else ""


def test_the_promise_is_told_in_words() -> None:
    text = section(page(CONFORMAL))
    assert "Sets that should hold the truth for 90 % of patients hold it for 87.1 % (200 patients, 240 images)." in text
    assert "90.0 % of images get one answer, 8.0 % several, and 2.0 % none" in text
    assert (
        "Of patients with the finding, they hold it for 64.2 %; sets with a quantile of that class for 90.6 %." in text
    )


def test_verdicts_stand_first_and_alike_ones_share_a_line() -> None:
    text = section(page(CONFORMAL + SELECTIVE))
    assert text.index("Clear") < text.index("Sets that should hold")
    assert "nodule, groups of sex, site Label sets (LAC) Nothing against it 0.400" in text


def test_the_rule_is_told_in_words() -> None:
    text = section(page(SELECTIVE))
    assert "answers of confidence 0.861 or more are kept." in text
    assert "hands 21.0 % of cases to a person, and 3.1 % (up to 4.8 %) of the others are wrong" in text
    assert "where at most 5 % were wanted" in text


def test_promises_about_cases_say_what_they_assume() -> None:
    risk = {"metric": "false_negative_rate", "statistic": "mean", "threshold": 0.1, "direction": "at_most"}
    rows = [
        {**BASE, **risk, "target": "liver", "item": "mask_risk", "value": 0.062},
        coverage(0.93, "interval"),
        {**BASE, "metric": "interval_width", "item": "interval", "value": 3.6, "unit": "ml"},
        coverage(0.92, "survival", target="death", method="censoring depends on nothing"),
    ]
    text = section(page(rows, []))
    assert "6.2 % of a structure is missed on average, where at most 10 % were promised" in text
    assert "Intervals 3.60 ml wide that should hold the true volume for 90 % hold it for 93.0 %." in text
    assert "are outlived by 92.0 %. How they were made, and what they assume: censoring depends on nothing." in text


def test_figures_have_words_that_stand_for_them() -> None:
    text = page(CONFORMAL + SELECTIVE)
    for title in ("Coverage, nodule", "Error of the kept cases, nodule"):
        assert f">{title}</title>" in text
    assert "without the finding (n = 200)" in text
    assert "deferral rule" in text


def test_classes_that_are_no_finding_keep_their_names() -> None:
    text = section(page([coverage(0.9), coverage(0.8, group="truth=oedema"), coverage(0.9, group="truth=normal")]))
    assert "Where the truth is oedema, they hold it for 80.0 %." in text


def test_no_section_where_nothing_was_measured() -> None:
    nothing = {**BASE, "target": "", "metric": "coverage", "statistic": "test", "verdict": "not_possible"}
    assert section(page([nothing | {"reason": "no scores", "method": "none"}], [])) == ""


def test_what_was_not_possible_says_why() -> None:
    why = {"statistic": "test", "verdict": "not_possible", "reason": "the table has no calibration part"}
    rows = [coverage(0.9) | why | {"value": float("nan")}]
    rows.append(selective("deferral_rate", float("nan"), verdict="not_possible", reason="no part to choose a rule on"))
    text = section(page(rows))
    assert "The table has no calibration part" in text
    assert "No deferral rule: no part to choose a rule on." in text
    small = [coverage(0.9), coverage(float("nan"), group="sex=F", verdict="not_possible", reason="n = 3 < 10")]
    assert "not enough cases" in section(page(small, []))


def test_groups_of_sets_are_not_drawn_a_second_time_among_the_subgroups() -> None:
    text = page(CONFORMAL)
    assert "Coverage, nodule, lac" not in text
    assert isinstance(table(CONFORMAL, EVIDENCE), pd.DataFrame)


def test_names_from_tables_are_text() -> None:
    hostile = "<b>&\"'"
    given = ReportInput(
        title="t",
        evidence=table([row | {"target": hostile} for row in CONFORMAL + SELECTIVE], EVIDENCE),
        curves=table([row | {"target": hostile} for row in CURVE], CURVES),
    )
    assert "<b>&" not in render(given)
