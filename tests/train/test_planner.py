"""How many steps a budget holds, what they are timed on, and which random changes an image's scale allows."""

from __future__ import annotations

import time

import numpy as np
import pytest

from fiducial.train import planner
from fiducial.train.planner import Budget, Pace, measure_pace, time_plan


def budget(minutes):
    return Budget(time.monotonic(), minutes, 4, "cpu", 1)


def test_the_steps_fill_what_is_left_after_the_reserve_and_the_checks(plan):
    timed = time_plan(plan, Pace({"32-true": 0.5}, seconds_checking=18.0), budget(10), n_cases=1000)
    assert timed.n_steps == pytest.approx((600 * (1 - planner.RESERVE) - 18) / 0.5, abs=1)
    assert "18.0 s of validation" in timed.reasons["n_steps"]


def test_the_faster_precision_is_taken(plan):
    timed = time_plan(plan, Pace({"bf16-mixed": 0.2, "32-true": 0.1}), budget(1), n_cases=1000)
    assert timed.precision == "32-true"
    assert timed.seconds_per_step == 0.1


def test_never_more_passes_than_are_useful_and_never_fewer_steps_than_thirty(plan):
    few = time_plan(plan, Pace({"32-true": 1e-6}), budget(10), n_cases=4)
    assert few.n_steps == planner.MAX_EPOCHS["segmentation"] * 4 / plan.batch
    assert "passes over 4 cases are enough" in few.reasons["n_steps"]
    assert time_plan(plan, Pace({"32-true": 100.0}), budget(1), n_cases=4).n_steps == planner.MIN_STEPS


def test_steps_are_timed_on_the_cases_and_leave_them_as_they_are(plan, cases):
    before = [case.voxels.copy() for case in cases]
    pace = measure_pace(plan, cases, cases[:2])
    assert pace.seconds_checking > 0
    assert all(seconds > 0 for seconds in pace.seconds_per_step.values())
    for case, voxels in zip(cases, before, strict=True):
        np.testing.assert_array_equal(case.voxels, voxels)
    assert measure_pace(plan, cases, []).seconds_checking == 0


def test_a_classified_volume_keeps_its_size_and_absolute_units_their_brightness():
    def how(**said):
        return planner._augmentation("classification", **({"flat": False, "sided": False, "region": True} | said))

    ct, mr = how(absolute=True), how(absolute=False)
    assert ct.scale == mr.scale == 0
    assert ct.intensity < mr.intensity
    assert how(absolute=False, flat=True).scale > 0
    assert how(absolute=True, sided=True).mirror_axes == ()
    assert how(absolute=True).rotate_degrees > how(absolute=True, region=False).rotate_degrees
