"""Visits in time: order, priors, and what cannot be true."""

from __future__ import annotations

import itertools
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiducial.cohort.visits import PAIR_COLUMNS, order_visits, pair_visits, visit_problems
from fiducial.records.tables import COHORT, table


def cohort(*rows: dict[str, Any]) -> pd.DataFrame:
    """Images numbered i0, i1 ... of one person p, MR, unless a row says otherwise."""
    given = {"subject": "p", "role": "image", "modality": "MR"}
    return table([{**given, "image": f"i{k}", **row} for k, row in enumerate(rows)], COHORT)


def kinds(frame: pd.DataFrame) -> list[str]:
    return [problem.kind for problem in visit_problems(frame)]


# Countable by hand


def test_three_dated_visits_make_three_pairs() -> None:
    frame = cohort(
        {"visit": "c", "acquired": "2020-03-01"},
        {"visit": "a", "acquired": "2020-01-01"},
        {"visit": "b", "acquired": "2020-01-31"},
    )
    order = order_visits(frame)
    assert order["visit"].tolist() == ["a", "b", "c"]
    assert order["place"].tolist() == [1, 2, 3]
    pairs = pair_visits(frame)
    told = pairs[["image", "prior", "rank", "n_prior", "interval_days"]].to_numpy().tolist()
    assert told == [["i0", "i2", 1, 2, 30.0], ["i0", "i1", 2, 2, 60.0], ["i2", "i1", 1, 1, 30.0]]
    assert set(pairs["by"]) == {"date"}
    assert visit_problems(frame) == []


def test_a_prior_is_of_the_same_modality_body_part_and_series() -> None:
    frame = cohort(
        {"visit": "1", "modality": "CT", "series_description": "lung"},
        {"visit": "1", "modality": "CT", "series_description": "soft"},
        {"visit": "1", "modality": "PT", "series_description": "pet"},
        {"visit": "2", "modality": "CT", "series_description": "lung"},
        {"visit": "2", "modality": "MR", "series_description": "lung"},
    )
    pairs = pair_visits(frame)
    assert pairs[["image", "prior"]].to_numpy().tolist() == [["i3", "i0"]]
    assert pairs["interval_days"].isna().all()
    assert pairs["by"].tolist() == ["name"]


def test_an_echo_is_paired_with_its_own_and_columns_that_nobody_filled_do_not_count() -> None:
    frame = cohort(
        {"visit": "1", "echo_time_ms": 10.0, "b_value": float("nan")},
        {"visit": "1", "echo_time_ms": 80.0, "b_value": float("nan")},
        {"visit": "2", "echo_time_ms": 80.0, "b_value": float("nan")},
        {"visit": "2", "echo_time_ms": float("nan"), "b_value": float("nan")},
    )
    assert pair_visits(frame)[["image", "prior"]].to_numpy().tolist() == [["i2", "i1"]]


def test_of_several_images_of_the_prior_visit_the_first_is_taken() -> None:
    frame = cohort({"visit": "1"}, {"visit": "1"}, {"visit": "2"}, {"visit": "2"})
    assert pair_visits(frame)[["image", "prior"]].to_numpy().tolist() == [["i2", "i0"], ["i3", "i0"]]


def test_months_are_counted_as_months() -> None:
    frame = cohort({"visit": "x", "acquired": "2020-11"}, {"visit": "y", "acquired": "2021-02-15"})
    assert pair_visits(frame)["interval_days"].tolist() == [pytest.approx(91.3)]


def test_images_without_a_visit_are_visits_by_their_date() -> None:
    frame = cohort({"acquired": "2020-02-01"}, {"acquired": "2020-01-01"}, {"acquired": "2020-01-01", "modality": "CT"})
    assert order_visits(frame)["visit"].tolist() == ["2020-01-01", "2020-02-01"]
    assert pair_visits(frame)[["image", "prior"]].to_numpy().tolist() == [["i0", "i1"]]


# Names


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["10", "2", "1"], ["1", "2", "10"]),
        (["V10", "V2", "baseline"], ["baseline", "V2", "V10"]),
        (["m12", "bl", "m06"], ["bl", "m06", "m12"]),
        (["visit 2", "visit 1", "screening"], ["screening", "visit 1", "visit 2"]),
    ],
)
def test_names_with_numbers_are_ordered(names: list[str], order: list[str]) -> None:
    assert order_visits(cohort(*({"visit": name} for name in names)))["visit"].tolist() == order


@pytest.mark.parametrize("names", [["left", "right"], ["V1", "W2"], ["vab3c", "vkz2q"], ["20200101", "20210101"]])
def test_names_that_say_no_order_pair_nobody_and_are_named(names: list[str]) -> None:
    frame = cohort(*({"visit": name} for name in names))
    assert pair_visits(frame).empty
    assert list(pair_visits(frame).columns) == list(PAIR_COLUMNS)
    assert order_visits(frame)["place"].tolist() == [0, 0]
    assert kinds(frame) == ["order-unknown"]


# What cannot be true


def test_impossible_visits_are_named() -> None:
    frame = cohort(
        {"subject": "a", "visit": "1", "acquired": "2021-01-01"},
        {"subject": "a", "visit": "2", "acquired": "2020-01-01"},
        {"subject": "b", "visit": "1", "acquired": "2021-05-05"},
        {"subject": "b", "visit": "2", "acquired": "2021-05-05"},
        {"subject": "c", "visit": "1", "acquired": "2021-01-01", "age": 60},
        {"subject": "c", "visit": "2", "acquired": "2022-01-01", "age": 59},
        {"subject": "d", "visit": "1", "acquired": "2021-01-01"},
        {"subject": "d", "visit": "1", "acquired": "2021-01-03"},
        {"subject": "e", "visit": "1", "acquired": "01.02.2021"},
        {"subject": "f", "visit": "1", "acquired": "2021-02-30"},
    )
    told = {problem.subject: (problem.kind, problem.text) for problem in visit_problems(frame)}
    assert {subject: kind for subject, (kind, _) in told.items()} == {
        "a": "order-against-dates",
        "b": "two-visits-one-day",
        "c": "age-decreases",
        "d": "visit-of-several-dates",
        "e": "unreadable-date",
        "f": "unreadable-date",
    }
    assert "visits 2 and 1" in told["a"][1]
    assert "from 60 at visit 1 to 59 at the later visit 2" in told["c"][1]


def test_two_visits_of_one_month_are_possible_and_ordered_by_name() -> None:
    frame = cohort({"visit": "1", "acquired": "2021-05"}, {"visit": "2", "acquired": "2021-05"})
    assert visit_problems(frame) == []
    assert pair_visits(frame)[["image", "prior", "by"]].to_numpy().tolist() == [["i1", "i0", "name"]]


def test_two_studies_of_one_day_share_a_place_and_both_come_after_an_earlier_one() -> None:
    frame = cohort(
        {"visit": "vq", "acquired": "2021-05-05"},
        {"visit": "vk", "acquired": "2021-05-05"},
        {"visit": "vz", "acquired": "2020-05-05"},
    )
    assert kinds(frame) == ["two-visits-one-day"]
    assert order_visits(frame)[["visit", "place"]].to_numpy().tolist() == [["vz", 1], ["vk", 2], ["vq", 2]]
    assert pair_visits(frame)[["image", "prior", "n_prior"]].to_numpy().tolist() == [["i0", "i2", 1], ["i1", "i2", 1]]


def test_numbers_tell_visits_of_one_day_apart() -> None:
    frame = cohort(
        {"visit": "1", "acquired": "2021-05-05"},
        {"visit": "2", "acquired": "2021-05-05"},
        {"visit": "3", "acquired": "2021-06-05"},
    )
    assert order_visits(frame)["place"].tolist() == [1, 2, 3]
    assert kinds(frame) == ["two-visits-one-day"]


# Laws


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 4), st.sampled_from(["CT", "MR"])), min_size=1, max_size=25
    ),
    st.booleans(),
)
def test_every_pair_is_of_one_person_one_modality_and_earlier(rows: list[tuple[str, int, str]], dated: bool) -> None:
    frame = cohort(
        *(
            {"subject": s, "visit": f"v{n}", "modality": m, "acquired": f"20{10 + n}-01-01" if dated else ""}
            for s, n, m in rows
        )
    )
    pairs = pair_visits(frame)
    known = frame.set_index("image")
    for row in pairs.to_dict("records"):
        now, before = known.loc[row["image"]], known.loc[row["prior"]]
        assert now["subject"] == before["subject"] == row["subject"]
        assert now["modality"] == before["modality"]
        assert before["visit"] < now["visit"]
        assert row["rank"] <= row["n_prior"]
        assert not dated or row["interval_days"] > 0
    wanted = {
        (s, m, later)
        for (s, a, m), (t, b, o) in itertools.product(rows, repeat=2)
        if s == t and m == o and a < b
        for later in [b]
    }
    found = {(r["subject"], r["modality"], int(r["visit"][1:])) for r in pairs.to_dict("records")}
    assert found == wanted


def test_the_order_of_rows_and_masks_do_not_count() -> None:
    frame = cohort({"visit": "1"}, {"visit": "2"}, {"visit": "3"})
    mask = cohort({"visit": "9", "image": "m", "role": "mask", "of": "i0"})
    both = pd.concat([frame, mask])
    pd.testing.assert_frame_equal(pair_visits(both.iloc[::-1]), pair_visits(frame))
    assert order_visits(both)["visit"].tolist() == ["1", "2", "3"]


def test_people_without_a_visit_have_one_and_no_pair() -> None:
    frame = cohort({}, {"subject": "q"})
    assert order_visits(frame)["place"].tolist() == [1, 1]
    assert pair_visits(frame).empty
    assert visit_problems(frame) == []
