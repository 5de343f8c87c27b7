"""Shortcuts, levelling down, thresholds per group and the bias register."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fiducial.audit import AuditInput, AuditSettings, audit, vendor_input
from fiducial.audit.bias_register import SOURCES, STAGES, bias_register, register_records
from fiducial.audit.group_thresholds import CAVEAT, check_group_thresholds, group_thresholds
from fiducial.audit.levelling_down import check_levelling_down, levelling_down
from fiducial.audit.scores import audited_columns
from fiducial.audit.shortcut import check_shortcut
from fiducial.audit.tables import prepared
from fiducial.errors import RunMismatch, TableError
from fiducial.phantom.tables import draw_cases, draw_pair, draw_table
from fiducial.records.tables import EVIDENCE, table

Make = Callable[..., AuditInput]


def given_of(frame: pd.DataFrame, *attributes: str, replicates: int = 200) -> AuditInput:
    return prepared(vendor_input(frame, settings=AuditSettings(n_replicates=replicates, attributes=attributes)))


def rows_of(result: Any) -> pd.DataFrame:
    return table(result.evidence, EVIDENCE)


def verdicts(rows: pd.DataFrame) -> dict[str, str]:
    said = rows[rows["verdict"] != ""]
    return dict(zip(said["group"], said["verdict"], strict=True))


def test_a_marker_that_is_seen_and_followed() -> None:
    rows = rows_of(check_shortcut(given_of(draw_table(1000, seed=1, defect="marker_shortcut", size=1.0), "sex")))
    assert verdicts(rows) == {"sex": "clear", "marker": "finding"}  # a column marker is looked into unasked
    shift = rows[(rows["metric"] == "score_shift") & (rows["group"] == "marker=yes")].iloc[0]
    assert shift["low"] < 1.0 < shift["high"]


def test_a_marker_that_the_embeddings_show_without_any_error_is_a_finding_too() -> None:
    """The worst case has no variance: a coordinate is the marker itself."""
    frame = draw_table(1000, seed=1, defect="marker_shortcut", size=1.0)
    first = (frame["kind"] == "embedding") & (frame["item"] == frame.loc[frame["kind"] == "embedding", "item"].min())
    frame.loc[first, "value"] = (frame.loc[first, "marker"] == "yes") * 1000.0
    rows = rows_of(check_shortcut(given_of(frame, "marker")))
    seen = rows[(rows["metric"] == "decodability") & (rows["group"] == "marker=yes")].iloc[0]
    assert seen["value"] == 1.0
    assert 0.9 < seen["low"] < 1.0
    assert verdicts(rows) == {"marker": "finding"}


def test_a_shift_that_is_there_but_small_is_said_and_is_no_finding() -> None:
    rows = rows_of(check_shortcut(given_of(draw_table(5000, seed=1, defect="marker_shortcut", size=0.25), "marker")))
    assert verdicts(rows) == {"marker": "clear"}
    shift = rows[(rows["metric"] == "score_shift") & (rows["group"] == "marker=yes")].iloc[0]
    assert shift["low"] > 0
    assert "not shown to be beyond the 0.36 that matter" in rows[rows["verdict"] == "clear"]["reason"].iloc[0]


def test_what_is_seen_but_not_followed_is_clear() -> None:
    rows = rows_of(
        check_shortcut(given_of(draw_table(1000, seed=1, extra=("embeddings", "marker")), "scanner", "marker"))
    )
    assert verdicts(rows) == {"scanner": "clear", "marker": "clear"}
    assert rows[rows["metric"] == "decodability"]["value"].max() > 0.8
    assert "can be read from the embeddings" in rows[rows["verdict"] == "clear"]["reason"].iloc[0]


def test_without_embeddings_a_shift_is_no_finding() -> None:
    frame = draw_table(1000, seed=1, defect="marker_shortcut", size=1.0)
    plain = frame[frame["kind"] == "score"].drop(columns=["kind", "item"])
    rows = rows_of(check_shortcut(given_of(plain, "sex", "marker")))
    assert verdicts(rows) == {"sex": "clear", "marker": "not_possible"}
    assert "without embeddings" in rows[rows["group"] == "marker"]["reason"].iloc[0]
    assert "decodability" not in set(rows["metric"])


def test_embeddings_of_some_images_are_used_for_those(make_input: Make) -> None:
    frame = draw_table(600, seed=1, extra=("embeddings",))
    lost = frame["kind"].eq("embedding") & frame["image"].str.endswith("7-1")
    given = given_of(frame[~lost], "sex")
    rows = rows_of(check_shortcut(given))
    assert (
        rows[rows["metric"] == "decodability"]["n_images"].iloc[0]
        < rows[rows["metric"] == "score_shift"]["n_images"].iloc[0]
    )


def test_a_gap_that_closes_from_above() -> None:
    rows = rows_of(check_levelling_down(given_of(draw_table(1500, seed=2, defect="levelling_down", size=0.8), "sex")))
    assert verdicts(rows) == {"sex": "finding"}
    better = rows[(rows["metric"] == "auc") & (rows["statistic"] == "better_change")].iloc[0]
    assert (better["group"], better["high"] < 0) == ("sex=M", True)


def test_a_gap_that_closes_because_the_worse_group_gains_is_clear() -> None:
    before, after = draw_pair(1500, seed=2, raised=0.8)
    rows = rows_of(levelling_down(given_of(before, "sex"), given_of(after, "sex")))
    assert verdicts(rows) == {"sex": "clear"}
    worse = rows[(rows["metric"] == "auc") & (rows["statistic"] == "worse_change")].iloc[0]
    assert worse["low"] > 0


def test_changes_are_after_minus_before_of_the_same_patients() -> None:
    before, after = (given_of(frame, "sex") for frame in draw_pair(800, seed=3, size=0.6))
    rows = rows_of(levelling_down(before, after))
    test = before.predictions[before.predictions["split"] == "test"]
    men = set(before.attributes.loc[before.attributes["sex"] == "M", "image"])
    events = test[(test["truth"] == 1) & test["image"].isin(men)]["image"]
    called = [given.predictions.set_index("image").loc[events, "value"].ge(0.5).mean() for given in (before, after)]
    change = rows[(rows["metric"] == "sensitivity") & (rows["group"] == "sex=M")].iloc[0]
    assert change["value"] == pytest.approx(called[1] - called[0])


def test_masks_level_down_too() -> None:
    cases, _, attributes = draw_cases(600, seed=4, defect="weak_group_masks", size=0.1)
    good = cases["image"].map(attributes.set_index("image")["site"] != "C")
    lowered = cases.assign(condition="mitigated", value=cases["value"] - 0.1 * good)
    both = pd.concat([cases.assign(condition="clean"), lowered], ignore_index=True)
    empty = vendor_input(draw_table(10, seed=0)).predictions.iloc[:0]
    given = AuditInput(empty, both, attributes, settings=AuditSettings(n_replicates=200, attributes=("site",)))
    rows = rows_of(check_levelling_down(prepared(given)))
    assert verdicts(rows) == {"site": "finding"}
    assert "dice" in rows[rows["verdict"] == "finding"]["reason"].iloc[0]


def test_without_a_second_model_there_is_nothing_to_say(clean: AuditInput) -> None:
    assert check_levelling_down(prepared(clean)).evidence == []


def test_a_second_model_is_checked_like_the_first() -> None:
    frame = draw_table(100, seed=0, defect="levelling_down", size=0.2)
    frame.loc[frame["condition"] == "mitigated", "value"] *= 3
    with pytest.raises(TableError, match="probability"):
        given_of(frame, "sex")


def test_two_truths_are_refused() -> None:
    before, after = draw_pair(100, seed=0)
    after.loc[after.index[after["split"] == "test"][0], "truth"] = (
        1 - after["truth"].iloc[int(np.flatnonzero(after["split"] == "test")[0])]
    )
    with pytest.raises(RunMismatch, match="has two truths"):
        levelling_down(given_of(before, "sex"), given_of(after, "sex"))


def test_models_without_a_common_image_are_not_compared() -> None:
    before, after = draw_pair(100, seed=0)
    other = after.assign(image="x" + after["image"])
    rows = rows_of(levelling_down(given_of(before, "sex"), given_of(other, "sex")))
    assert rows["reason"].tolist() == ["the two models share no target and image"]


def test_thresholds_per_group_are_fitted_on_the_operating_half_and_judged_on_the_test_part() -> None:
    given = given_of(draw_table(3000, seed=5, defect="missed_group", size=0.3), "sex", "site")
    rows = rows_of(check_group_thresholds(given))
    own = rows[(rows["metric"] == "threshold") & (rows["condition"] == "group_thresholds")].set_index("group")
    assert own.loc["sex=F", "value"] < 0.5 < own.loc["sex=M", "value"]
    assert set(own["split"]) == {"calibration"}
    test = given.predictions[given.predictions["split"] == "test"].merge(given.attributes, on="image")
    women = test[(test["sex"] == "F") & (test["truth"] == 1)]
    now = rows[(rows["metric"] == "sensitivity") & (rows["statistic"] == "value") & (rows["group"] == "sex=F")].iloc[0]
    assert now["value"] == pytest.approx((women["value"] >= own.loc["sex=F", "value"]).mean())
    change = rows[
        (rows["metric"] == "sensitivity") & (rows["statistic"] == "change") & (rows["group"] == "sex=F")
    ].iloc[0]
    assert change["value"] == pytest.approx(now["value"] - (women["value"] >= 0.5).mean())


def test_thresholds_per_group_do_not_look_at_the_test_part() -> None:
    given = given_of(draw_table(3000, seed=5, defect="missed_group", size=0.3), "sex")
    column = audited_columns(given)[0]
    frame = given.predictions
    moved = frame.assign(value=frame["value"].where(frame["split"] != "test", frame["value"] ** 2))
    other = replace(given, predictions=moved)
    found = [rows_of(group_thresholds(g, c, "sex")) for g, c in ((given, column), (other, audited_columns(other)[0]))]
    first, second = (rows[rows["condition"] == "group_thresholds"].query("metric == 'threshold'") for rows in found)
    assert first["value"].tolist() == second["value"].tolist()


def test_they_are_never_applied_and_say_that_people_must_answer() -> None:
    given = given_of(draw_table(3000, seed=5, defect="missed_group", size=0.3), "sex")
    before = given.predictions.copy()
    rows = rows_of(check_group_thresholds(given))
    pd.testing.assert_frame_equal(before, given.predictions)
    last = rows.iloc[-1]
    assert (last["verdict"], last["reason"]) == ("not_possible", CAVEAT)
    assert not rows[rows["condition"] == "clean"]["value"].notna().any()


def test_where_no_attribute_differs_nothing_is_to_be_mitigated(clean: AuditInput) -> None:
    assert verdicts(rows_of(check_group_thresholds(prepared(clean)))) == {"all": "clear"}


def test_without_a_calibration_part_there_is_no_threshold_per_group() -> None:
    frame = draw_table(3000, seed=5, defect="missed_group", size=0.3)
    given = given_of(frame[frame["split"] == "test"], "sex")
    rows = rows_of(check_group_thresholds(given))
    assert rows["verdict"].tolist() == ["not_possible"]
    assert "need a calibration part" in rows["reason"].iloc[0]


def test_a_small_group_keeps_the_common_threshold() -> None:
    frame = draw_table(3000, seed=5, defect="missed_group", size=0.3)
    rare = frame["sex"].eq("M") & frame["split"].eq("calibration") & frame["truth"].eq(1)
    few = frame.drop(index=frame.index[rare][4:])
    rows = rows_of(check_group_thresholds(given_of(few, "sex")))
    kept = rows[(rows["metric"] == "threshold") & (rows["group"] == "sex=M")].iloc[0]
    assert np.isnan(kept["value"])
    assert kept["reason"].startswith("keeps the common threshold: sex=M (n = ")


def test_the_register_names_the_rows_that_it_rests_on(clean: AuditInput) -> None:
    evidence = audit(clean).evidence
    entries = bias_register(evidence)
    assert [entry.stage for entry in entries] == sorted((s.stage for s in SOURCES), key=STAGES.index)
    for entry in entries:
        rows = evidence.iloc[[place - 1 for place in entry.evidence]]
        assert set(rows["check"]) <= set(entry.checks)
        assert (entry.status == "person") == (not entry.evidence)
        assert rows["verdict"].eq(entry.status).all()
    assert not [entry for entry in entries if entry.status == "finding"]


def test_what_no_check_speaks_of_is_left_to_a_person() -> None:
    entries = bias_register(table([], EVIDENCE))
    assert {entry.status for entry in entries} == {"person"}
    assert {entry.answer for entry in entries} == {"a person must answer"}
    assert all(entry.question.endswith("?") for entry in entries)


def test_a_finding_outweighs_what_is_clear_and_a_criterion_says_nothing() -> None:
    rows = [
        {"check": "leakage", "metric": "n_leaks", "verdict": "clear", "reason": "none"},
        {"check": "duplicates", "metric": "n", "verdict": "finding", "reason": "three images twice"},
        {"check": "acceptance", "metric": "auc", "verdict": "pass"},
    ]
    leak = next(entry for entry in bias_register(table(rows, EVIDENCE)) if entry.bias == "Leakage")
    assert (leak.status, leak.answer, leak.evidence) == ("finding", "three images twice", (2,))
    assert register_records(table(rows, EVIDENCE))[0]["stage"] == "data"


def test_every_check_that_the_register_names_exists() -> None:
    from fiducial.audit import CHECKS

    assert {name for source in SOURCES for name in source.checks} <= set(CHECKS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("defect", "check"), [("marker_shortcut", check_shortcut), ("levelling_down", check_levelling_down)]
)
@pytest.mark.parametrize("n", [200, 1000])
def test_tables_without_the_defect_give_few_findings(defect: str, check: Callable[..., Any], n: int) -> None:
    fired = 0
    for seed in range(200):
        frame = draw_table(n, seed=seed, defect=defect, size=0.0)
        given = given_of(frame, "sex", "site", "scanner", replicates=100)
        fired += any(row["verdict"] == "finding" for row in check(given).evidence)
    assert fired <= 21
