"""Views of an image for test-time augmentation: mirrored where training mirrored, or shifted by a voxel."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from fiducial.records.plan import Plan, Triple


@dataclass(frozen=True)
class View:
    """One way of looking at an image: mirrored along some axes, then shifted by whole voxels (edges repeated)."""

    flips: tuple[int, ...] = ()
    shift: Triple = (0, 0, 0)

    def there(self, x: Tensor) -> Tensor:
        """The view of [batch, channel, x, y, z]."""
        return _shifted(x.flip([axis + 2 for axis in self.flips]) if self.flips else x, self.shift)

    def back(self, x: Tensor) -> Tensor:
        """Move what was said of the view back onto the image."""
        x = _shifted(x, (-self.shift[0], -self.shift[1], -self.shift[2]))
        return x.flip([axis + 2 for axis in self.flips]) if self.flips else x


def views_of(plan: Plan) -> list[View]:
    """The views that are averaged: the plan's own mirrored ones, or as many as it asks for where there are so many.

    First the image as it is, then every combination of the axes that training mirrored, then one voxel along each axis
    and back. A mirrored view is never taken where a target names a side.
    """
    if not plan.views:
        return [View(), *(View((axis,)) for axis in plan.test_mirror_axes)]
    axes = plan.augmentation.mirror_axes
    mirrored = [View(flips) for n in range(len(axes) + 1) for flips in combinations(axes, n)]
    n_axes = 2 if plan.dimensions == 2 else 3
    shifts = [tuple(step * (axis == a) for a in range(3)) for axis in range(n_axes) for step in (1, -1)]
    return [*mirrored, *(View((), (a, b, c)) for a, b, c in shifts)][: plan.views]


def _shifted(x: Tensor, shift: Triple) -> Tensor:
    """Shift [batch, channel, x, y, z] by whole voxels; the edge is repeated."""
    for axis, step in enumerate(shift):
        if step:
            n = x.shape[axis + 2]
            index = (torch.arange(n, device=x.device) - step).clamp(0, n - 1)
            x = x.index_select(axis + 2, index)
    return x
