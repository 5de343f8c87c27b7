"""Random changes of a training batch: mirror, rotate, scale, shift; brightness, contrast and noise."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fiducial.records.plan import Augmentation


def augment(
    x: Tensor, y: Tensor | None, how: Augmentation, generator: np.random.Generator
) -> tuple[Tensor, Tensor | None]:
    """Change a batch at random; the same generator state gives the same change.

    Args:
        x: images [batch, channel, x, y, z] (z = 1 for 2-D), float.
        y: label maps [batch, 1, x, y, z] that move with the image, or None.
        how: ranges of the changes.
        generator: source of every random number.

    Returns:
        Changed images and label maps; label maps by nearest neighbour, so that no new label appears.
    """
    for axis in how.mirror_axes:
        chosen = torch.from_numpy(generator.random(len(x)) < 0.5)
        if bool(chosen.any()):
            x[chosen] = x[chosen].flip(axis + 2)
            if y is not None:
                y[chosen] = y[chosen].flip(axis + 2)
    x, y = _move(x, y, how, generator)
    if how.intensity > 0:
        contrast = np.exp(generator.uniform(-how.intensity, how.intensity, len(x)))
        shift = generator.uniform(-how.intensity, how.intensity, len(x))
        x = x * _column(contrast, x) + _column(shift, x)
    if how.noise > 0:
        strength = generator.uniform(0, how.noise, len(x))
        noise = generator.standard_normal(tuple(x.shape), dtype=np.float32)
        x = x + torch.from_numpy(noise) * _column(strength, x)
    return x, y


def _column(values: np.ndarray, like: Tensor) -> Tensor:
    """One number per sample, shaped to multiply a batch."""
    return torch.from_numpy(values.astype(np.float32)).view(-1, *[1] * (like.ndim - 1))


def _move(
    x: Tensor, y: Tensor | None, how: Augmentation, generator: np.random.Generator
) -> tuple[Tensor, Tensor | None]:
    """Rotate, scale and shift those samples that chance selects, in one interpolation."""
    chosen = np.flatnonzero(generator.random(len(x)) < how.spatial_probability)
    flat = x.shape[-1] == 1
    matrices = np.stack([_matrix(x.shape[2:], how, generator, flat=flat) for _ in range(len(x))])
    still = how.rotate_degrees == 0 and how.scale == 0 and how.shift_voxels == 0
    if still or len(chosen) == 0:
        return x, y
    theta = torch.from_numpy(matrices[chosen].astype(np.float32))
    grid = functional.affine_grid(theta, [len(chosen), 1, *x.shape[2:]], align_corners=False)
    x = x.clone()
    x[chosen] = functional.grid_sample(x[chosen], grid, padding_mode="border", align_corners=False)
    if y is not None:
        y = y.clone()
        moved = functional.grid_sample(
            y[chosen].float(), grid, mode="nearest", padding_mode="border", align_corners=False
        )
        y[chosen] = moved.to(y.dtype)
    return x, y


def _matrix(shape: torch.Size, how: Augmentation, generator: np.random.Generator, *, flat: bool) -> np.ndarray:
    """A 3 x 4 sampling matrix in normalised coordinates (order z, y, x reversed to torch's x, y, z of the last axes).

    Rotation and scale act in voxels, so that an anisotropic patch is not sheared by the normalisation.
    """
    angles = np.radians(generator.uniform(-how.rotate_degrees, how.rotate_degrees, 3))
    factors = np.exp(generator.uniform(-1, 1, 3) * math.log1p(how.scale))
    shift = generator.uniform(-how.shift_voxels, how.shift_voxels, 3)
    if flat:
        angles[:2], factors[2], shift[2] = 0.0, 1.0, 0.0
    (ca, cb, cc), (sa, sb, sc) = np.cos(angles), np.sin(angles)
    rotation = (
        np.array([[1, 0, 0], [0, ca, -sa], [0, sa, ca]])
        @ np.array([[cb, 0, sb], [0, 1, 0], [-sb, 0, cb]])
        @ np.array([[cc, -sc, 0], [sc, cc, 0], [0, 0, 1]])
    )
    half = np.array(shape, dtype=float) / 2  # voxel = half * normalised
    linear = (rotation @ np.diag(factors)) * half[None, :] / half[:, None]
    matrix = np.concatenate([linear, (shift / half)[:, None]], axis=1)
    return matrix[::-1][:, [2, 1, 0, 3]]  # torch orders a grid's coordinates from the last axis to the first
