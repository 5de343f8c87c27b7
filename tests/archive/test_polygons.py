"""Polygons to voxels: the even-odd rule at voxel centres, and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fiducial.archive.polygons import fill_even_odd, outlines


def square(low: float, high: float) -> np.ndarray:
    return np.array([[low, low], [high, low], [high, high], [low, high]])


def test_square_counted_by_hand() -> None:
    mask = fill_even_odd([square(0.5, 3.5)], (5, 6))
    assert mask.shape == (5, 6)
    assert {tuple(v) for v in np.argwhere(mask)} == {(x, y) for x in (1, 2, 3) for y in (1, 2, 3)}


def test_polygon_inside_another_is_a_hole_and_a_third_inside_fills_again() -> None:
    mask = fill_even_odd([square(0.5, 9.5), square(2.5, 7.5), square(4.5, 5.5)], (11, 11))
    assert mask.sum() == 81 - 25 + 1
    assert mask[1, 1]
    assert not mask[3, 3]
    assert mask[5, 5]


def test_voxels_that_only_touch_the_outline_with_their_rim_stay_outside() -> None:
    assert fill_even_odd([square(0.6, 1.4)], (3, 3)).sum() == 1
    assert fill_even_odd([square(0.1, 0.9)], (3, 3)).sum() == 0


def test_disc_area_agrees_with_the_circle_constant() -> None:
    angle = np.linspace(0, 2 * np.pi, 2000, endpoint=False)
    disc = np.column_stack([100.3 + 80 * np.cos(angle), 99.7 + 80 * np.sin(angle)])
    assert fill_even_odd([disc], (201, 201)).sum() == pytest.approx(np.pi * 80**2, rel=2e-3)


def test_every_centre_agrees_with_the_library_of_another_field() -> None:
    from matplotlib.path import Path as Outline

    rng = np.random.default_rng(3)
    centres = np.array([(x, y) for x in range(30) for y in range(25)])
    for _ in range(10):
        corners = rng.uniform(-3, 32, (7, 2))  # self-crossing and reaching over the grid
        ours = fill_even_odd([corners], (30, 25)).ravel()
        crossings = sum(
            ((a[1] <= centres[:, 1]) != (b[1] <= centres[:, 1]))
            & (centres[:, 0] > (b[0] - a[0]) * (centres[:, 1] - a[1]) / (b[1] - a[1]) + a[0])
            for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True)
        )
        np.testing.assert_array_equal(ours, crossings % 2 == 1)
    convex = square(3.3, 21.2)
    np.testing.assert_array_equal(fill_even_odd([convex], (30, 25)).ravel(), Outline(convex).contains_points(centres))


@given(st.floats(0, 9, allow_nan=False))
def test_polygons_that_share_an_edge_share_no_voxel_and_leave_none(x: float) -> None:
    left = np.array([[-1.0, -1.0], [x, -1.0], [x, 11.0], [-1.0, 11.0]])
    right = np.array([[x, -1.0], [11.0, -1.0], [11.0, 11.0], [x, 11.0]])
    a, b = fill_even_odd([left], (10, 10)), fill_even_odd([right], (10, 10))
    assert not (a & b).any()
    assert (a | b).all()


@settings(max_examples=60, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3))))
def test_outlines_of_any_mask_fill_to_that_mask(mask: np.ndarray) -> None:
    again = np.zeros_like(mask)
    planes: dict[int, list[np.ndarray]] = {}
    for z, outline in outlines(mask):
        planes.setdefault(z, []).append(outline)
    for z, polygons in planes.items():
        again[:, :, z] = fill_even_odd(polygons, mask.shape[:2])
    np.testing.assert_array_equal(again, mask)


def test_no_polygon_and_polygons_outside_the_grid() -> None:
    assert not fill_even_odd([], (3, 3)).any()
    assert not fill_even_odd([square(10, 20)], (3, 3)).any()
    assert fill_even_odd([square(-10, 20)], (3, 4)).all()
