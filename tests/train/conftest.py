"""A plan and cases small enough to train in a second."""

from __future__ import annotations

import numpy as np
import pytest

from fiducial.records.plan import Augmentation, Normalisation, Plan
from fiducial.train.cache import Cached


@pytest.fixture
def plan():
    return Plan(
        task="segmentation",
        dimensions=3,
        inputs=("CT",),
        n_channels=1,
        targets=("ball",),
        label_type="structures",
        classes=("background", "ball"),
        spacing_mm=(1, 1, 1),
        normalisation=(Normalisation(kind="zscore"),),
        patch=(16, 16, 16),
        model="resunet",
        widths=(4, 8, 8),
        strides=((2, 2, 2), (2, 2, 2), (1, 1, 1)),
        kernels=((3, 3, 3),) * 3,
        batch=2,
        n_steps=12,
        learning_rate=5e-3,
        weight_decay=1e-2,
        warmup_steps=2,
        average_decay=0.9,
        foreground_fraction=0.5,
        augmentation=Augmentation(mirror_axes=(0,), rotate_degrees=10, scale=0.1, intensity=0.1, noise=0.05),
        precision="32-true",
        device="cpu",
        n_threads=1,
        seed=3,
        minutes=1,
        memory_gb=1,
    )


@pytest.fixture
def cases():
    made = []
    for k in range(5):
        rng = np.random.default_rng(k)
        x, y, z = np.meshgrid(*[np.arange(n) for n in (20, 18, 14)], indexing="ij")
        centre = rng.uniform(5, 9, 3)
        ball = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2) < 16
        voxels = (ball * 3 + rng.normal(0, 0.5, ball.shape)).astype(np.float32)[None]
        made.append(Cached(f"i{k}", f"s{k}", voxels, ball.astype(np.uint8), None, (np.argwhere(ball),)))
    return made
