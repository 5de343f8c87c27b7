"""The shape of a phantom patient's chest: half-axes, heart, diaphragm, and how deep a point lies inside a lung.

All coordinates are RAS+ mm from the middle of the chest: +x is the patient's right, +y the front, +z the head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

_TAPER_FROM_MM = -25.0


@dataclass(frozen=True)
class Body:
    """One chest's measures in mm and tissue values in HU.

    ``half_width_mm`` and ``half_depth_mm`` are of the skin, ``fat_mm`` and ``wall_mm`` the thickness of the fat under
    it and of muscle with ribs; ``square`` is the exponent of the chest's oval (2 is an ellipse); ``breast`` 0 to 1;
    ``heart`` scales the heart; ``dome_mm`` is the height of the right diaphragm, ``top_mm`` that of the lungs' tops;
    ``emphysema`` 0 to 1 grows with smoking; ``bone_hu`` falls with age; ``calcium`` 0 to 1 hardens the aorta;
    ``offset_mm`` is where the patient lies in the scan.
    """

    half_width_mm: float
    half_depth_mm: float
    fat_mm: float
    wall_mm: float
    square: float
    breast: float
    top_mm: float
    heart: float
    dome_mm: float
    emphysema: float
    bone_hu: float
    calcium: float
    offset_mm: tuple[float, float, float]

    @property
    def cavity_mm(self) -> tuple[float, float]:
        """Half-axes of the thoracic cavity at its widest."""
        wall = self.fat_mm + self.wall_mm
        return self.half_width_mm - wall, self.half_depth_mm - wall

    @property
    def spine_y_mm(self) -> float:
        """Front-to-back position of the vertebral bodies."""
        return -self.cavity_mm[1] + 13.0

    @property
    def aorta_mm(self) -> tuple[float, float]:
        """Position (x, y) of the descending aorta, left of the spine's front."""
        return -24.0, self.spine_y_mm + 22.0


def draw_body(rng: np.random.Generator, *, sex: str, age: int, pack_years: float) -> Body:
    """Draw a chest: women's are smaller, age takes mineral from bone and adds calcium, smoking destroys lung."""
    woman = sex == "F"
    size = float(np.clip(rng.normal(0, 1), -2, 2))
    fat = float(np.clip(rng.gamma(3.5, 3.8), 4, 28)) + (3.0 if woman else 0.0)
    return Body(
        half_width_mm=(128.0 if woman else 137.0) + 8.0 * size + 0.5 * fat,
        half_depth_mm=(84.0 if woman else 91.0) + 7.0 * float(np.clip(rng.normal(), -2, 2)) + 0.7 * fat,
        fat_mm=fat,
        wall_mm=float(rng.uniform(15, 19)),
        square=float(rng.uniform(2.0, 2.9)),
        breast=float(rng.uniform(0.55, 1.0)) if woman else 0.0,
        top_mm=float(rng.uniform(84, 108)),
        heart=float(np.clip(rng.normal(0.96 if woman else 1.03, 0.07), 0.8, 1.25)) + 0.002 * (age - 65),
        dome_mm=float(rng.uniform(-68, -38)),
        emphysema=float(np.clip(pack_years / 60 * rng.uniform(0.2, 1.5), 0, 1)),
        bone_hu=330.0 - 3.2 * (age - 50) + float(rng.normal(0, 25)),
        calcium=float(np.clip((age - 55) / 25 * rng.uniform(0, 1.4), 0, 1)),
        offset_mm=(float(rng.uniform(-18, 18)), float(rng.uniform(-27, 27)), float(rng.uniform(-12, 12))),
    )


def taper(body: Body, z: Array) -> Array:
    """How much narrower the cavity is at height z than at its widest: 1 below, 0 at the top of the lungs."""
    up = np.clip((z - _TAPER_FROM_MM) / (body.top_mm - _TAPER_FROM_MM), 0, 1)
    result: Array = np.sqrt(1 - up**2.6)
    return result


def oval_depth_mm(x: Array, y: Array, axes_mm: tuple[Array | float, float], exponent: float) -> tuple[Array, Array]:
    """Relative radius (1 on the edge) and the edge's distance from the middle, along the ray through (x, y).

    The depth inside an oval scaled by c is then ``(c - relative) * distance``.
    """
    relative = (np.abs(x / axes_mm[0]) ** exponent + np.abs(y / axes_mm[1]) ** exponent) ** (1 / exponent)
    relative = np.maximum(relative, 1e-3)
    return relative, np.hypot(x, y) / relative + 1e-3


def cavity_depth_mm(body: Body, x: Array, y: Array, z: Array) -> Array:
    """Depth inside the thoracic cavity; negative outside. The left side is a little narrower."""
    half_x, half_y = body.cavity_mm
    axes = (np.where(x < 0, 0.95 * half_x, half_x).astype(x.dtype), half_y)
    relative, distance = oval_depth_mm(x, y, axes, body.square)
    result: Array = (taper(body, z) - relative) * distance
    return result


def heart_depth_mm(body: Body, x: Array, y: Array, z: Array) -> Array:
    """Depth inside the heart, which lies left of the middle and in front; negative outside."""
    s = body.heart
    front = body.cavity_mm[1] - 46.0 * s
    left = _ellipsoid(x, y, z, (-36.0, front, body.dome_mm + 20.0), (46.0 * s, 39.0 * s, 38.0 * s))
    right = _ellipsoid(x, y, z, (-5.0, front - 4, body.dome_mm + 36.0), (33.0 * s, 36.0 * s, 44.0 * s))
    result: Array = np.maximum(left, right)
    return result


def _ellipsoid(
    x: Array, y: Array, z: Array, centre: tuple[float, float, float], axes: tuple[float, float, float]
) -> Array:
    squares = ((x - centre[0]) / axes[0]) ** 2 + ((y - centre[1]) / axes[1]) ** 2 + ((z - centre[2]) / axes[2]) ** 2
    result: Array = (1 - np.sqrt(squares)) * min(axes)
    return result


def diaphragm_mm(body: Body, x: Array, y: Array) -> Array:
    """Height of the diaphragm: two domes, the right one (over the liver) higher."""
    half_x = body.cavity_mm[0]
    right = body.dome_mm - ((x - 0.52 * half_x) ** 2 * 0.011 + (y - 4) ** 2 * 0.0095)
    left = body.dome_mm - 13.0 - ((x + 0.55 * half_x) ** 2 * 0.013 + (y - 4) ** 2 * 0.0095)
    result: Array = np.maximum(right, left)
    return result


def lung_depth_mm(body: Body, x: Array, y: Array, z: Array) -> Array:
    """Approximate distance from a point to the surface of the lung that holds it; negative outside the lungs.

    x, y, z broadcast against each other. What is not lung inside the cavity: the mediastinum (wide in the middle,
    narrow in front), spine, aorta, heart and everything under the diaphragm.
    """
    middle = np.abs(x + 3) - (7 + 20 * np.exp(-(((y - 4) / 36) ** 2)))
    spine = np.hypot(x, y - body.spine_y_mm) - 22
    aorta = np.hypot(x - body.aorta_mm[0], y - body.aorta_mm[1]) - 15
    flat = np.minimum(np.minimum(middle, spine), aorta)
    depth = np.minimum(cavity_depth_mm(body, x, y, z), flat)
    depth = np.minimum(depth, -heart_depth_mm(body, x, y, z) - 4)
    result: Array = np.minimum(depth, 0.85 * (z - diaphragm_mm(body, x, y)))
    return result
