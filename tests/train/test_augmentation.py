"""Augmentation: geometry moves images and labels together; intensities change images only."""

from __future__ import annotations

import numpy as np
import torch

from fiducial.records.plan import Augmentation
from fiducial.train.augmentation import augment


def ball(shape=(24, 20, 16), centre=(8, 12, 9)):
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"))
    inside = ((grid - np.array(centre).reshape(3, 1, 1, 1)) ** 2).sum(0) < 20
    return torch.from_numpy(inside.astype(np.float32))[None, None]


def test_nothing_asked_nothing_changed():
    x = ball()
    out, labels = augment(x.clone(), x.long(), Augmentation(), np.random.default_rng(0))
    assert torch.equal(out, x)
    assert torch.equal(labels, x.long())


def test_mirror_by_hand():
    x = torch.arange(3.0).reshape(1, 1, 3, 1, 1)
    results = {
        tuple(augment(x.clone(), None, Augmentation(mirror_axes=(0,)), np.random.default_rng(s))[0].ravel().tolist())
        for s in range(20)
    }
    assert results == {(0.0, 1.0, 2.0), (2.0, 1.0, 0.0)}


def test_image_and_labels_move_together():
    how = Augmentation(rotate_degrees=20, scale=0.15, shift_voxels=2, spatial_probability=1.0)
    for seed in range(10):
        x, y = augment(ball(), ball().long(), how, np.random.default_rng(seed))
        overlap = 2 * ((x > 0.5) & (y > 0)).sum() / ((x > 0.5).sum() + (y > 0).sum())
        assert overlap > 0.9
        assert set(y.unique().tolist()) <= {0, 1}


def test_rotation_does_not_shear_an_anisotropic_patch():
    """A rotated ball keeps its volume and stays a ball: equal second moments along all axes."""
    how = Augmentation(rotate_degrees=45, spatial_probability=1.0)
    for seed in range(5):
        x, _ = augment(ball((40, 24, 20), (20, 12, 10)), None, how, np.random.default_rng(seed))
        points = torch.nonzero(x[0, 0] > 0.5).float()
        moments = points.var(dim=0)
        assert moments.max() / moments.min() < 1.25
        assert abs(len(points) / int(ball((40, 24, 20), (20, 12, 10)).sum()) - 1) < 0.15


def test_a_flat_image_is_turned_in_its_plane_only():
    x = torch.rand(1, 1, 12, 12, 1)
    how = Augmentation(rotate_degrees=30, scale=0.2, shift_voxels=2, spatial_probability=1.0)
    out, _ = augment(x, None, how, np.random.default_rng(1))
    assert out.shape == x.shape
    assert out.std() > 0.1


def test_same_generator_same_change():
    how = Augmentation(mirror_axes=(0, 1), rotate_degrees=20, scale=0.1, intensity=0.2, noise=0.1)
    a, _ = augment(ball(), None, how, np.random.default_rng(5))
    b, _ = augment(ball(), None, how, np.random.default_rng(5))
    assert torch.equal(a, b)
