"""No person is ever divided, whatever visits, sites, seeds, fractions and folds there are."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiducial.cohort import find_leaks, split_cohort
from fiducial.errors import InputRefused
from fiducial.records.split import Carve, SplitRule
from fiducial.records.tables import COHORT, table

FRACTIONS = (
    {"train": 0.6, "validation": 0.1, "calibration": 0.1, "test": 0.2},
    {"train": 0.5, "validation": 0.25, "calibration": 0, "test": 0.25},
    {"train": 0.9, "validation": 0.1, "calibration": 0, "test": 0},
)
RULES: tuple[dict[str, Any], ...] = (
    {},
    {"folds": 3},
    {"stratify": ("sex",)},
    {"stratify": ("sex",), "folds": 2},
)


@st.composite
def cohorts(draw: st.DrawFn, *, one_site: bool = False) -> pd.DataFrame:
    """People of one to four visits with one to three images each, some with a mask, at one of six sites."""
    n = draw(st.integers(12, 40))
    rows: list[dict[str, Any]] = []
    for person in range(n):
        site = draw(st.integers(0, 5)) if person >= 6 else person
        for visit in range(draw(st.integers(1, 4))):
            own = {"subject": f"p{person:02}", "visit": f"v{visit}", "sex": "FM"[person % 2], "sha256": ""}
            place = site if one_site else draw(st.integers(0, 5))
            for k in range(draw(st.integers(1, 3))):
                image = f"p{person:02}-{visit}-{k}"
                rows.append({**own, "image": image, "role": "image", "site": f"s{place}", "sha256": image})
            rows.append({**own, "image": f"{image}~m", "role": "mask", "of": image, "structure": "m"})
    return table(draw(st.permutations(rows)), COHORT)


def undivided(split: pd.DataFrame, unit: str = "subject") -> None:
    """Every unit is in one part and one fold, masks with it, and nothing is left without a part."""
    images = split[split["role"] == "image"]
    assert (images["split"] != "").all()
    assert (images.groupby(unit)["split"].nunique() == 1).all()
    assert (split.groupby("subject")["split"].nunique() == 1).all()
    if "fold" in split:
        assert (split.groupby("subject")["fold"].nunique() == 1).all()
        assert ((split["fold"] >= 0) == split["split"].isin(["train", "validation"])).all()
    assert [leak for leak in find_leaks(split) if leak.kind == "subject"] == []


@settings(max_examples=40, deadline=None)
@given(cohorts(), st.sampled_from(FRACTIONS), st.sampled_from(RULES), st.integers(0, 2**31))
def test_a_person_with_any_visits_at_any_sites_is_in_one_part_and_one_fold(
    cohort: pd.DataFrame, fractions: Any, rule: dict[str, Any], seed: int
) -> None:
    split = split_cohort(cohort, SplitRule(by="subject", fractions=fractions, seed=seed, **rule))
    undivided(split)
    wanted = {part for part, share in fractions.items() if share}
    assert set(split["split"]) == wanted


@settings(max_examples=25, deadline=None)
@given(cohorts(one_site=True), st.sampled_from(RULES[:2]), st.integers(0, 2**31))
def test_a_site_and_its_people_are_in_one_part_and_one_fold(
    cohort: pd.DataFrame, rule: dict[str, Any], seed: int
) -> None:
    fractions: Any = {"train": 0.6, "validation": 0.2, "calibration": 0, "test": 0.2}
    if rule:
        fractions = {"train": 0.8, "validation": 0, "calibration": 0, "test": 0.2}
    split = split_cohort(cohort, SplitRule(by="site", fractions=fractions, seed=seed, **rule))
    undivided(split, "site")


@settings(max_examples=25, deadline=None)
@given(cohorts(), st.integers(0, 2**31), st.floats(0.2, 0.8))
def test_carving_calibration_out_of_a_given_split_divides_nobody(
    cohort: pd.DataFrame, seed: int, fraction: float
) -> None:
    first = split_cohort(cohort, SplitRule(fractions={"train": 0.5, "validation": 0.3, "calibration": 0, "test": 0.2}))
    carve = Carve(source="train", fraction=fraction)
    undivided(split_cohort(first, SplitRule(by="given", seed=seed, carve_calibration=carve)))


@settings(max_examples=25, deadline=None)
@given(cohorts(one_site=True), st.integers(0, 11), st.integers(0, 5))
def test_a_person_of_two_sites_is_refused_by_name_in_a_split_by_site(
    cohort: pd.DataFrame, person: int, site: int
) -> None:
    subject = f"p{person:02}"
    own = cohort[(cohort["subject"] == subject) & (cohort["role"] == "image")]
    moved = {**own.iloc[0].to_dict(), "image": "moved", "visit": "v9", "site": f"s{site}"}
    both = table([*cohort.to_dict("records"), moved], COHORT)
    rule = SplitRule(by="site", fractions={"train": 0.5, "validation": 0, "calibration": 0, "test": 0.5})
    if own["site"].iloc[0] == f"s{site}":
        undivided(split_cohort(both, rule), "site")
    else:
        with pytest.raises(InputRefused, match=f"1 subjects have images of several sites, first {subject}: s"):
            split_cohort(both, rule)


@settings(max_examples=20, deadline=None)
@given(cohorts(), st.integers(0, 1000))
def test_another_visit_moves_nobody(cohort: pd.DataFrame, seed: int) -> None:
    rule = SplitRule(seed=seed)
    before = split_cohort(cohort, rule).groupby("subject")["split"].first()
    row = cohort[cohort["role"] == "image"].iloc[0].to_dict()
    more = table([*cohort.to_dict("records"), {**row, "image": "later", "visit": "v9", "sha256": "later"}], COHORT)
    after = split_cohort(more, rule)
    pd.testing.assert_series_equal(after.groupby("subject")["split"].first(), before)
    undivided(after)


def test_a_person_in_two_parts_of_a_given_split_is_named_by_the_leak_check() -> None:
    rows = [
        {"subject": "p", "visit": v, "image": v, "role": "image", "split": part, "sha256": v}
        for v, part in (("1", "train"), ("2", "test"))
    ]
    cohort = split_cohort(table(rows, COHORT), SplitRule(by="given"))
    (leak,) = find_leaks(cohort)
    assert (leak.kind, leak.subject_a, leak.split_a, leak.split_b) == ("subject", "p", "train", "test")


def test_the_refusal_of_a_person_of_two_sites_says_what_to_do() -> None:
    rows = [{"subject": "p", "image": s, "role": "image", "site": s, "sha256": s} for s in ("A", "B")]
    with pytest.raises(InputRefused, match=r"1 subjects have images of several sites, first p: A, B") as refused:
        split_cohort(table(rows, COHORT), SplitRule(by="site"))
    assert refused.value.action == "split by subject, or give each subject one site"
