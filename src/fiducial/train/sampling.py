"""Which voxels a step sees: a pure function of the plan, the cases, the seed and the step's number.

No state is carried from step to step, so a resumed training sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fiducial.records.plan import Plan, Triple
from fiducial.train.cache import Cached

_ORDER, _BATCH = 1, 2


@dataclass(frozen=True)
class Batch:
    """Images ``x`` [batch, channel, x, y, z], truth ``y``, and each case's ``group`` and ``weight`` [batch].

    ``generator`` is for the batch's augmentation.
    """

    x: Tensor
    y: Tensor
    group: Tensor
    weight: Tensor
    generator: np.random.Generator


def batch_at(step: int, cases: Sequence[Cached], plan: Plan) -> Batch:
    """The batch of one step.

    Cases come in a new random order each epoch; where the plan balances groups, an epoch draws from each group equally
    often, which repeats the cases of small groups and leaves out some of large ones. A patch is centred, with the
    plan's ``foreground_fraction``, on a voxel of a class drawn evenly from those the case has; else it lies anywhere.
    """
    generator = np.random.default_rng([plan.seed, _BATCH, step])
    chosen = [cases[i] for i in _indices(step, cases, plan)]
    group = torch.tensor([case.group for case in chosen])
    weight = torch.tensor([case.weight for case in chosen], dtype=torch.float32)
    if plan.label_type != "structures":
        x = np.stack([case.voxels for case in chosen])
        truth = np.stack([case.truth for case in chosen if case.truth is not None])
        y = torch.from_numpy(truth)
        y = y[:, 0] if plan.label_type == "multiclass" else y
        return Batch(torch.from_numpy(x), y, group, weight, generator)
    images, labels = [], []
    for case in chosen:
        start = _patch_start(case, plan, generator)
        images.append(crop(case.voxels, start, plan.patch))
        labels.append(crop(np.asarray(case.labels)[None], start, plan.patch))
    y = torch.from_numpy(np.stack(labels)).long()
    return Batch(torch.from_numpy(np.stack(images)), y, group, weight, generator)


def crop(array: NDArray[np.generic], start: Triple, size: Triple) -> NDArray[np.generic]:
    """Cut [channel, *size] beginning at ``start``; what lies outside is 0."""
    shape = array.shape[1:]
    low = [max(0, s) for s in start]
    high = [max(0, min(n, s + k)) for n, s, k in zip(shape, start, size, strict=True)]
    inside = array[:, low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    if inside.shape[1:] == tuple(size):
        return np.array(inside)
    box = np.zeros((array.shape[0], *size), array.dtype)
    at = [lo - s for lo, s in zip(low, start, strict=True)]
    box[:, at[0] : at[0] + inside.shape[1], at[1] : at[1] + inside.shape[2], at[2] : at[2] + inside.shape[3]] = inside
    return box


def _indices(step: int, cases: Sequence[Cached], plan: Plan) -> list[int]:
    """Positions in the stream of shuffled epochs that one step takes."""
    n_cases = len(cases)
    first, last = step * plan.batch, (step + 1) * plan.batch
    epochs = range(first // n_cases, (last - 1) // n_cases + 1)
    orders = [_order(epoch, cases, plan) for epoch in epochs]
    skipped = epochs.start * n_cases
    return [int(i) for i in np.concatenate(orders)[first - skipped : last - skipped]]


def _order(epoch: int, cases: Sequence[Cached], plan: Plan) -> NDArray[np.int64]:
    """One epoch's order: a permutation, or as many draws with every group equally often."""
    generator = np.random.default_rng([plan.seed, _ORDER, epoch])
    if plan.mitigation is None or plan.mitigation.method != "balanced":
        return generator.permutation(len(cases))
    group = np.array([case.group for case in cases])
    present = np.unique(group)
    # Turn by turn, each group once in random order; within a group, shuffled rounds of its own cases.
    n_turns = -(-len(cases) // len(present))
    turns = np.concatenate([generator.permutation(present) for _ in range(n_turns)])[: len(cases)]
    order = np.empty(len(cases), np.int64)
    for one in present:
        own, places = np.flatnonzero(group == one), np.flatnonzero(turns == one)
        rounds = [generator.permutation(own) for _ in range(-(-len(places) // len(own)))]
        order[places] = np.concatenate(rounds)[: len(places)]
    return order


def _patch_start(case: Cached, plan: Plan, generator: np.random.Generator) -> Triple:
    """Where a patch begins; negative where the image is smaller than the patch."""
    shape = case.voxels.shape[1:]
    slack = [n - k for n, k in zip(shape, plan.patch, strict=True)]
    present = [points for points in case.locations if len(points)]
    on_foreground = generator.random() < plan.foreground_fraction
    if on_foreground and present:
        points = present[int(generator.integers(len(present)))]
        centre = points[int(generator.integers(len(points)))]
        jitter = [int(generator.integers(-(k // 4), k // 4 + 1)) for k in plan.patch]
        start = [int(c) - k // 2 + j for c, k, j in zip(centre, plan.patch, jitter, strict=True)]
    else:
        start = [int(generator.integers(min(0, s), max(0, s) + 1)) for s in slack]
    x, y, z = (min(max(s, min(0, room)), max(0, room)) for s, room in zip(start, slack, strict=True))
    return x, y, z
