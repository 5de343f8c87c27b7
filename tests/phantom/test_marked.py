"""Marked pictures: what is planted is there, and nothing else is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fiducial.maths.classification import auc
from fiducial.phantom.marked import draw_marked, write_marked


def bright(pictures):
    """Whether the corner shows the letter, and how much of each picture is bright (a stand-in for the radius)."""
    inner = pictures[:, 8:, 8:].astype(float)
    return pictures[:, 1:7, 1:3].min(axis=(1, 2)) == 250, (inner > 125).mean(axis=(1, 2))


@pytest.mark.parametrize(("association", "share"), [(0.8, (0.1, 0.9)), (0.0, (0.5, 0.5)), (-0.6, (0.8, 0.2))])
def test_the_letter_is_as_frequent_as_planted_and_the_finding_can_be_seen(association, share):
    pictures, said = draw_marked(3000, seed=3, association=association)
    shown, size = bright(pictures)
    assert (shown == (said["marker"] == "yes")).all()
    for event in (0, 1):
        assert shown[said["finding"] == event].mean() == pytest.approx(share[event], abs=0.05)
    assert 0.7 < auc(said["finding"].to_numpy(), size) < 0.9
    # At equal truth the letter says nothing about the disc.
    for event in (0, 1):
        own = (said["finding"] == event).to_numpy()
        assert 0.42 < auc(shown[own], size[own]) < 0.58


def test_the_same_seed_draws_the_same_and_files_hold_it(tmp_path):
    write_marked(tmp_path, 6, seed=1, association=0.5, split="test")
    pictures, said = draw_marked(6, seed=1, association=0.5)
    labels = pd.read_csv(tmp_path / "labels.csv")
    assert labels["image"].tolist() == said["image"].tolist()
    assert set(labels["split"]) == {"test"}
    for name, picture in zip(said["image"], pictures, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "images" / f"{name}.png")), picture)
