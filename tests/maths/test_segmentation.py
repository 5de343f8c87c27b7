import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fiducial.errors import GeometryError, InputRefused
from fiducial.maths.segmentation import METRICS, empty_reason, labelmap_metrics, segmentation_metrics

LABELS = {"one": 1, "two": 2, "three": 3}
MAPS = arrays(np.uint8, st.tuples(*[st.integers(2, 8)] * 3), elements=st.integers(0, 3))


def ball(radius, centre, n=48):
    grid = np.indices((n, n, n))
    return sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)) <= radius**2


def test_countable_by_hand():
    prediction, truth = np.zeros((6, 6), dtype=bool), np.zeros((6, 6), dtype=bool)
    truth[1, 1:5] = True  # a line of 4 pixels; the prediction covers 3 of them and one beside
    prediction[1, 1:4] = prediction[3, 4] = True
    found = segmentation_metrics(prediction, truth, (1.0, 2.0), tolerance_mm=1.5)
    assert found["dice"] == pytest.approx(2 * 3 / 8)
    assert found["iou"] == pytest.approx(3 / 5)
    # prediction to truth: 0, 0, 0, 2 (two rows of 1 mm); truth to prediction: 0, 0, 0, 2 (one column, or two rows)
    assert found["masd"] == pytest.approx(0.5)
    assert found["hd95"] == pytest.approx(np.quantile([0, 0, 0, 2], 0.95))
    assert found["nsd"] == pytest.approx(6 / 8)


def test_masd_is_the_mean_of_two_directed_means_not_the_pooled_mean():
    prediction, truth = np.zeros((12, 3), dtype=bool), np.zeros((12, 3), dtype=bool)
    truth[0, 0] = True
    prediction[0, 0] = prediction[3, 0] = prediction[6, 0] = True
    found = segmentation_metrics(prediction, truth, (1, 1))
    assert found["masd"] == pytest.approx(((0 + 3 + 6) / 3 + 0) / 2)  # pooled: 9 / 4


def test_concentric_balls():
    inner, outer = ball(12, (24, 24, 24)), ball(15, (24, 24, 24))
    found = segmentation_metrics(inner, outer, (1, 1, 1), tolerance_mm=1)
    assert found["dice"] == pytest.approx(2 * 12**3 / (12**3 + 15**3), abs=0.01)
    assert found["iou"] == pytest.approx(12**3 / 15**3, abs=0.01)
    assert found["hd95"] == pytest.approx(3, abs=0.75)  # within a voxel of the digital surface
    assert found["masd"] == pytest.approx(3, abs=0.25)
    assert found["nsd"] == 0
    assert segmentation_metrics(inner, outer, (1, 1, 1), tolerance_mm=4)["nsd"] == 1


def test_a_shifted_ball_has_the_shift_as_hausdorff_distance():
    found = segmentation_metrics(ball(10, (20, 24, 24)), ball(10, (26, 24, 24)), (1, 1, 1))
    lens = 1 - 3 * 6 / (4 * 10) + 6**3 / (16 * 10**3)  # overlap of two balls, as a share of one
    assert found["dice"] == pytest.approx(lens, abs=0.01)
    assert 4.5 < found["hd95"] <= 6


def test_label_map_gives_what_its_masks_give():
    rng = np.random.default_rng(0)
    prediction, truth = (rng.integers(0, 4, (12, 9, 7)).astype(np.int16) for _ in range(2))
    found = labelmap_metrics(prediction, truth, LABELS, (0.7, 1.1, 2.0), tolerance_mm=1.2)
    for name, label in LABELS.items():
        alone = segmentation_metrics(prediction == label, truth == label, (0.7, 1.1, 2.0), tolerance_mm=1.2)
        assert {k: found[name][k] for k in METRICS} == pytest.approx(alone)
        assert found[name]["n_voxels_predicted"] == (prediction == label).sum()
        assert found[name]["n_voxels_true"] == (truth == label).sum()


def test_regions_are_unions_and_sides_may_number_differently():
    truth = np.zeros((5, 5, 5), dtype=int)
    truth[1:3], truth[3:4] = 1, 2
    swapped = np.choose(truth, [0, 2, 1])
    found = labelmap_metrics(swapped, truth, {"a": 2, "both": (1, 2)}, (1, 1, 1), truth_labels={"a": 1, "both": (1, 2)})
    assert found["a"]["dice"] == found["both"]["dice"] == 1
    assert found["both"]["n_voxels_true"] == 75


def test_fortran_order_changes_nothing():
    rng = np.random.default_rng(2)
    maps = [rng.integers(0, 4, (9, 8, 7)) for _ in range(2)]
    fortran = [np.asfortranarray(m) for m in maps]
    spacing = (1.0, 2.0, 3.0)
    assert labelmap_metrics(*fortran, LABELS, spacing) == labelmap_metrics(*maps, LABELS, spacing)


@settings(max_examples=40, deadline=None)
@given(MAPS, st.data())
def test_laws(prediction, drawn):
    truth = drawn.draw(arrays(np.uint8, prediction.shape, elements=st.integers(0, 3)))
    spacing = (1.0, 0.5, 2.5)
    found = labelmap_metrics(prediction, truth, LABELS, spacing)
    mirrored = labelmap_metrics(truth, prediction, LABELS, spacing)
    padding = [(2, 1), (0, 3), (1, 0)]
    moved = labelmap_metrics(np.pad(prediction, padding), np.pad(truth, padding), LABELS, spacing)
    turned = labelmap_metrics(prediction.transpose(2, 0, 1), truth.transpose(2, 0, 1), LABELS, (2.5, 1.0, 0.5))
    doubled = labelmap_metrics(prediction, truth, LABELS, (2.0, 1.0, 5.0), tolerance_mm=2.0)
    for name in LABELS:
        own = {k: found[name][k] for k in METRICS}
        for other in (mirrored, moved, turned):
            assert {k: other[name][k] for k in METRICS} == pytest.approx(own, nan_ok=True)
        for k in METRICS:
            scale = 2 if k in ("hd95", "masd") else 1
            assert doubled[name][k] == pytest.approx(scale * own[k], nan_ok=True)
        assert own["iou"] == pytest.approx(own["dice"] / (2 - own["dice"]))
        assert all(0 <= own[k] <= 1 for k in ("dice", "iou", "nsd"))
    assert all(v["dice"] == 1 for v in labelmap_metrics(truth, truth, LABELS, spacing).values())


def test_a_structure_one_slice_thick_keeps_its_faces():
    """Its crop is one voxel thick, but it lies in a volume: every voxel of it is surface."""
    prediction, truth = np.zeros((8, 8, 5), dtype=np.uint8), np.zeros((8, 8, 5), dtype=np.uint8)
    prediction[1:6, 1:6, 2] = truth[1:6, 1:6, 2] = 1
    prediction[3, 3, 2] = 0
    found = labelmap_metrics(prediction, truth, {"disc": 1}, (1, 1, 1))["disc"]
    assert found["masd"] == pytest.approx((0 + 1 / 25) / 2)


@pytest.mark.parametrize(
    ("prediction", "truth", "reason", "expected"),
    [
        (0, 0, "both-empty", {"dice": 1, "iou": 1, "hd95": 0, "masd": 0, "nsd": 1}),
        (1, 0, "truth-empty", {"dice": 0, "iou": 0, "hd95": math.nan, "masd": math.nan, "nsd": 0}),
        (0, 1, "prediction-empty", {"dice": 0, "iou": 0, "hd95": math.nan, "masd": math.nan, "nsd": 0}),
    ],
)
def test_empty_masks(prediction, truth, reason, expected):
    assert empty_reason(prediction, truth) == reason
    maps = np.full((3, 3, 3), prediction), np.full((3, 3, 3), truth)
    assert segmentation_metrics(maps[0] > 0, maps[1] > 0, (1, 1, 1)) == pytest.approx(expected, nan_ok=True)
    found = labelmap_metrics(*maps, {"it": 1}, (1, 1, 1))["it"]
    assert {k: found[k] for k in METRICS} == pytest.approx(expected, nan_ok=True)


def test_tolerance_is_met_whatever_the_rounding():
    prediction, truth = np.zeros((9, 3), dtype=bool), np.zeros((9, 3), dtype=bool)
    prediction[1, 1] = truth[4, 1] = True
    assert segmentation_metrics(prediction, truth, (0.7, 0.7), tolerance_mm=2.1)["nsd"] == 1


def test_a_label_beyond_those_asked_is_ignored():
    values = np.full((4, 4, 4), 9)
    values[1:3] = 1
    assert labelmap_metrics(values, values, {"it": 1}, (1, 1, 1))["it"]["n_voxels_true"] == 32


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"metrics": ("dice", "hd96")}, InputRefused, r"metric 'hd96'\n  legal: dice, iou, hd95, masd, nsd"),
        ({"tolerance_mm": -1}, InputRefused, "tolerance of -1 mm"),
        ({"labels": {"it": 0}}, InputRefused, "label 0 of structure 'it'"),
        ({"prediction": np.zeros((3, 3, 3))}, InputRefused, "a prediction of float64"),
        ({"truth": np.zeros((3, 3, 4), dtype=int)}, GeometryError, "one shape"),
    ],
)
def test_what_is_refused(change, error, message):
    given_ = {
        "prediction": np.zeros((3, 3, 3), dtype=int),
        "truth": np.zeros((3, 3, 3), dtype=int),
        "labels": {"it": 1},
    }
    given_ |= {"spacing_mm": (1, 1, 1)} | change
    with pytest.raises(error, match=message):
        labelmap_metrics(**given_)
