"""Sampling: a pure function of seed and step; foreground is found; padding is zero."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import torch

from fiducial.records.plan import Mitigation
from fiducial.train.sampling import batch_at, crop


def test_crop_by_hand():
    array = np.arange(1, 5)[None, :, None, None]
    assert crop(array, (-1, 0, 0), (3, 1, 1)).ravel().tolist() == [0, 1, 2]
    assert crop(array, (2, 0, 0), (3, 1, 1)).ravel().tolist() == [3, 4, 0]
    assert crop(array, (1, 0, 0), (2, 1, 1)).ravel().tolist() == [2, 3]


def test_each_epoch_shows_every_case_once(plan, cases):
    one = plan.model_copy(update={"batch": 1, "foreground_fraction": 0.0, "patch": (20, 18, 14)})
    for epoch in range(3):
        seen = [batch_at(step, cases, one).x.sum().item() for step in range(epoch * 5, epoch * 5 + 5)]
        np.testing.assert_allclose(sorted(seen), sorted(float(c.voxels.sum()) for c in cases), rtol=1e-4)


def test_a_step_is_the_same_whatever_came_before(plan, cases):
    first = batch_at(7, cases, plan)
    for step in range(3):
        batch_at(step, cases, plan)
    again = batch_at(7, cases, plan)
    assert torch.equal(first.x, again.x)
    assert torch.equal(first.y, again.y)
    other = batch_at(7, cases, plan.model_copy(update={"seed": 4}))
    assert not torch.equal(first.x, other.x)


def test_foreground_patches_hold_foreground(plan, cases):
    small = plan.model_copy(update={"patch": (8, 8, 8), "foreground_fraction": 1.0})
    shares = [float(batch_at(step, cases, small).y.float().mean()) for step in range(20)]
    anywhere = small.model_copy(update={"foreground_fraction": 0.0})
    plain = [float(batch_at(step, cases, anywhere).y.float().mean()) for step in range(20)]
    assert min(shares) > 0
    assert np.mean(shares) > 1.5 * np.mean(plain)


def test_balanced_groups_are_drawn_equally_often_and_no_case_is_forgotten(plan, cases):
    grouped = [replace(case, group=int(k == 0)) for k, case in enumerate(cases)]  # four cases against one
    how = Mitigation(method="balanced", attribute="site", groups=("site=A", "site=B"))
    one = plan.model_copy(update={"batch": 1, "mitigation": how})
    drawn = [int(batch_at(step, grouped, one).group) for step in range(40)]
    assert abs(Counter(drawn)[0] - 20) <= 4  # an epoch of five draws splits 3 to 2
    whole = plan.model_copy(update={"batch": 1, "mitigation": how, "patch": (20, 18, 14), "foreground_fraction": 0.0})
    seen = {round(float(batch_at(step, grouped, whole).x.sum()), 1) for step in range(40)}
    assert len(seen) == len(cases)
    unbalanced = one.model_copy(update={"mitigation": None})
    assert sum(int(batch_at(step, grouped, unbalanced).group) for step in range(40)) == 8  # one in five
