import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import binary_erosion, distance_transform_edt

from fiducial.errors import GeometryError
from fiducial.maths.surface import surface_distances, surface_voxels

MASKS = arrays(bool, st.tuples(*[st.integers(2, 9)] * 3), elements=st.booleans())


def box(shape, *corners):
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(a, b) for a, b in corners)] = True
    return mask


def test_a_cube_of_27_has_26_surface_voxels():
    assert surface_voxels(box((7, 7, 7), (2, 5), (2, 5), (2, 5))).sum() == 26


def test_the_border_of_the_array_is_surface():
    assert surface_voxels(np.ones((4, 4, 4), dtype=bool)).sum() == 64 - 8


def test_a_flat_image_has_an_outline_and_no_faces():
    mask = box((6, 6, 1), (1, 5), (1, 5), (0, 1))
    assert surface_voxels(mask).sum() == 12
    assert surface_voxels(mask).shape == (6, 6, 1)


def test_two_voxels_in_millimetres():
    first, second = (box((9, 9, 9), *[(i, i + 1) for i in at]) for at in ((1, 1, 1), (4, 5, 1)))
    there, back = surface_distances(first, second, (2.0, 0.5, 3.0))
    assert there == pytest.approx([np.hypot(6, 2)])
    assert back == pytest.approx([np.hypot(6, 2)])


def test_distances_far_apart_come_from_the_tree_and_are_exact():
    first, second = (box((60, 9, 9), *[(i, i + 2) for i in at]) for at in ((1, 1, 1), (55, 2, 3)))
    there, _ = surface_distances(first, second, (1, 1, 1))
    assert there.max() == pytest.approx(np.sqrt(54**2 + 1 + 4), rel=1e-6)


@settings(max_examples=60, deadline=None)
@given(MASKS)
def test_surface_is_the_mask_less_its_erosion(mask):
    assert np.array_equal(surface_voxels(mask), mask ^ binary_erosion(mask))


@settings(max_examples=60, deadline=None)
@given(MASKS, st.data(), st.tuples(*[st.floats(0.2, 5)] * 3))
def test_distances_equal_a_distance_transform(mask, drawn, spacing):
    other = drawn.draw(arrays(bool, mask.shape, elements=st.booleans()))
    if not (mask.any() and other.any()):
        return
    there, back = surface_distances(mask, other, spacing)
    edges = [surface_voxels(mask), surface_voxels(other)]
    for found, own, target in ((there, *edges), (back, *edges[::-1])):
        expected = distance_transform_edt(~target, sampling=spacing)[own]
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_an_empty_mask_is_infinitely_far():
    there, back = surface_distances(box((4, 4, 4), (1, 2), (1, 2), (1, 2)), np.zeros((4, 4, 4), dtype=bool), (1, 1, 1))
    assert there.tolist() == [np.inf]
    assert back.tolist() == []


def test_a_single_voxel_image():
    assert surface_distances(np.ones((1, 1, 1)), np.ones((1, 1, 1)), (1, 1, 1))[0].tolist() == [0.0]


@pytest.mark.parametrize(
    ("shape", "spacing", "message"),
    [
        ((3, 3, 2), (1, 1, 1), r"prediction of shape \(3, 3, 3\) and a truth of \(3, 3, 2\)"),
        ((3, 3, 3), (1, 1), r"spacing \(1, 1\) mm for an array of 3 axes"),
        ((3, 3, 3), (1, 1, 0), "one positive number of mm for each axis"),
    ],
)
def test_what_is_refused(shape, spacing, message):
    with pytest.raises(GeometryError, match=message):
        surface_distances(np.ones((3, 3, 3)), np.ones(shape), spacing)
