"""Paint a chest without its lung vessels and nodule: skin to skin, in HU, on the scan's grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fiducial.phantom.body import (
    Array,
    Body,
    cavity_depth_mm,
    diaphragm_mm,
    heart_depth_mm,
    lung_depth_mm,
    oval_depth_mm,
)

Volume = NDArray[np.float32]

AIR_HU, FAT_HU, MUSCLE_HU, BLOOD_HU, LIVER_HU = -1000.0, -95.0, 50.0, 42.0, 60.0
_RIB_PITCH_MM, _RIB_SLOPE = 25.0, 0.5


@dataclass(frozen=True)
class Grid:
    """Voxel centres in body coordinates, as three arrays that broadcast to (x, y, z)."""

    x: Volume
    y: Volume
    z: Volume
    spacing_mm: tuple[float, float, float]

    def box(self, low: tuple[float, float, float], high: tuple[float, float, float]) -> tuple[slice, slice, slice]:
        """Index ranges that hold all voxel centres between two corners in mm."""
        ranges = []
        for axis, a, b in zip((self.x, self.y, self.z), low, high, strict=True):
            inside = np.flatnonzero((axis.ravel() >= a) & (axis.ravel() <= b))
            ranges.append(slice(int(inside[0]), int(inside[-1]) + 1) if inside.size else slice(0, 0))
        return ranges[0], ranges[1], ranges[2]

    def within(self, box: tuple[slice, slice, slice]) -> tuple[Volume, Volume, Volume]:
        """x, y and z of a box's voxels."""
        return self.x[box[0]], self.y[:, box[1]], self.z[:, :, box[2]]


def edge(depth_mm: Array, spacing_mm: float) -> Volume:
    """How much of a voxel lies inside a surface ``depth_mm`` away: a linear ramp one voxel wide (partial volume)."""
    inside: Volume = np.clip(0.5 + depth_mm * np.float32(1 / spacing_mm), 0, 1).astype(np.float32, copy=False)
    return inside


def paint(volume: Volume, inside: Array, hu: float | Volume) -> None:
    """Mix tissue into voxels in place, by the fraction that is inside."""
    volume += inside * (np.float32(hu) - volume if isinstance(hu, float) else hu - volume)


def paint_chest(grid: Grid, body: Body, lung_hu: Volume) -> tuple[Volume, Volume]:
    """Paint the chest; returns HU and, for each voxel, its depth in mm inside a lung (negative elsewhere)."""
    shape = lung_hu.shape
    volume = np.full(shape, AIR_HU, np.float32)
    _paint_table(volume, grid, body)
    _paint_wall(volume, grid, body)
    cavity = cavity_depth_mm(body, grid.x, grid.y, grid.z)
    step = grid.spacing_mm[0]
    _paint_bones_of_wall(volume, grid, body, cavity)
    paint(volume, edge(cavity, step), -70.0)
    _paint_mediastinum(volume, grid, body)
    _paint_abdomen(volume, grid, body, cavity)
    lung = lung_depth_mm(body, grid.x, grid.y, grid.z).astype(np.float32)
    _paint_heart(volume, grid, body, cavity)
    paint(volume, edge(lung, step), lung_hu)
    _paint_spine(volume, grid, body)
    _paint_airways(volume, grid)
    return volume, lung


def _paint_table(volume: Volume, grid: Grid, body: Body) -> None:
    """The scanner's table: a carbon shell, curved, below the back."""
    top = -body.half_depth_mm - 5 + grid.x**2 / 900
    for gap, thickness in ((0.0, 3.0), (22.0, 3.0)):
        sheet = 0.5 * thickness - np.abs(grid.y - (top - gap - (0 if gap == 0 else 0.3 * grid.x**2 / 900)))
        inside = edge(np.minimum(sheet, 165 - np.abs(grid.x)), grid.spacing_mm[1])
        paint(volume, inside, -480.0)


def _paint_wall(volume: Volume, grid: Grid, body: Body) -> None:
    """Skin, fat, breasts and muscle."""
    step = grid.spacing_mm[0]
    shoulders = 1 + 0.05 * np.clip((grid.z - 50) / 50, 0, 1)
    relative, distance = oval_depth_mm(grid.x, grid.y, (body.half_width_mm, body.half_depth_mm), body.square)
    skin = (shoulders - relative) * distance
    paint(volume, edge(skin, step), FAT_HU)
    if body.breast:
        _paint_breasts(volume, grid, body)
    paint(volume, edge(skin, step) * edge(2.5 - skin, step) * np.float32(0.7), 10.0)
    front = np.clip(grid.y / body.half_depth_mm, 0, 1) * (0.3 * body.fat_mm)
    muscle = skin - body.fat_mm + front
    paint(volume, edge(muscle, step), MUSCLE_HU)
    layers = np.abs(skin - body.fat_mm - 0.45 * body.wall_mm)
    paint(volume, edge(1.2 - layers, step) * np.float32(0.7), FAT_HU)


def _paint_breasts(volume: Volume, grid: Grid, body: Body) -> None:
    s = body.breast
    axes = (58.0 * s, 34.0 * s, 62.0 * s)
    for side in (-1.0, 1.0):
        centre = (side * 66.0, body.half_depth_mm - 10.0, -28.0)
        box = grid.box(
            tuple(c - a - 4 for c, a in zip(centre, axes, strict=True)),  # type: ignore[arg-type]
            tuple(c + a + 4 for c, a in zip(centre, axes, strict=True)),  # type: ignore[arg-type]
        )
        x, y, z = grid.within(box)
        radius = np.sqrt(
            ((x - centre[0]) / axes[0]) ** 2 + ((y - centre[1]) / axes[1]) ** 2 + ((z - centre[2]) / axes[2]) ** 2
        )
        outside_wall = np.minimum((1 - radius) * axes[1], np.float32(1e3))
        part = volume[box]
        fresh = part < FAT_HU + 1
        paint(part, edge(outside_wall, grid.spacing_mm[0]) * fresh, FAT_HU)
        paint(part, edge((0.45 - radius) * axes[1], 8.0) * fresh * np.float32(0.6), 30.0)


def _paint_bones_of_wall(volume: Volume, grid: Grid, body: Body, cavity: Volume) -> None:
    """Ribs sloping down to the front (cartilage near the breastbone), shoulder blades and breastbone."""
    shell = np.flatnonzero(np.abs(cavity + 6) < 8)
    i, j, k = np.unravel_index(shell, cavity.shape)
    x, y, z = grid.x.ravel()[i], grid.y.ravel()[j], grid.z.ravel()[k]
    through = edge(3.9 - np.abs(cavity.ravel()[shell] + 6), grid.spacing_mm[0])
    phase = (z + _RIB_SLOPE * (y + body.half_depth_mm)) / _RIB_PITCH_MM
    along = edge(5.5 - _RIB_PITCH_MM * np.abs(phase - np.round(phase)), grid.spacing_mm[2])
    cartilage = (y > 0) & (np.abs(x) < 0.5 * body.cavity_mm[0])
    inside = (through * along * (z < body.top_mm - 14)).astype(np.float32)
    core = edge(1.3 - np.abs(cavity.ravel()[shell] + 6), grid.spacing_mm[0])
    bone = np.float32(body.bone_hu + 330) - core * np.float32(230)
    flat = volume.reshape(-1)
    flat[shell] += inside * (np.where(cartilage, np.float32(130), bone) - flat[shell])
    _paint_blades(flat, grid, body, cavity)
    front = body.cavity_mm[1] + 7.5
    sternum = np.minimum(17 - np.abs(grid.x), 5.5 - np.abs(grid.y - front))
    sternum = np.minimum(sternum, np.minimum(60 - grid.z, grid.z + 62))
    paint(volume, edge(sternum, grid.spacing_mm[0]), 0.75 * body.bone_hu)


def _paint_blades(flat: Volume, grid: Grid, body: Body, cavity: Volume) -> None:
    depth = 15.0
    shell = np.flatnonzero(np.abs(cavity + depth) < 5)
    i, j, k = np.unravel_index(shell, cavity.shape)
    x, y, z = grid.x.ravel()[i], grid.y.ravel()[j], grid.z.ravel()[k]
    angle = np.degrees(np.arctan2(-y, np.abs(x)))
    across = np.minimum(angle - 18, 62 - angle) * 1.6
    inside = edge(1.8 - np.abs(cavity.ravel()[shell] + depth), grid.spacing_mm[0])
    inside *= edge(across, grid.spacing_mm[0]) * edge(np.minimum(z - 5, 95 - z), grid.spacing_mm[2])
    flat[shell] += inside * (np.float32(body.bone_hu + 200) - flat[shell])


def _tube(
    volume: Volume, grid: Grid, centre_mm: tuple[float, float], radius_mm: float, z_mm: tuple[float, float], hu: float
) -> None:
    """An upright tube, cut at two heights."""
    reach = radius_mm + 4
    box = grid.box(
        (centre_mm[0] - reach, centre_mm[1] - reach, z_mm[0] - 6),
        (centre_mm[0] + reach, centre_mm[1] + reach, z_mm[1] + 6),
    )
    x, y, z = grid.within(box)
    round_ = edge(radius_mm - np.hypot(x - centre_mm[0], y - centre_mm[1]), grid.spacing_mm[0])
    paint(volume[box], round_ * edge(np.minimum(z_mm[1] - z, z - z_mm[0]), grid.spacing_mm[2]), hu)


def _paint_mediastinum(volume: Volume, grid: Grid, body: Body) -> None:
    """Great vessels, oesophagus and lymphatic tissue in mediastinal fat."""
    ax, ay = body.aorta_mm
    _tube(volume, grid, (ax, ay), 12.0, (-130.0, 38.0), BLOOD_HU)
    _tube(volume, grid, (9.0, 24.0), 14.0, (-20.0, 40.0), BLOOD_HU)
    _tube(volume, grid, (22.0, 16.0), 8.5, (-10.0, 78.0), BLOOD_HU)
    _tube(volume, grid, (-14.0, 26.0), 12.0, (-15.0, 22.0), BLOOD_HU)
    _tube(volume, grid, (-10.0, body.spine_y_mm + 26.0), 7.0, (-130.0, 90.0), 35.0)
    for branch in ((-16.0, 12.0), (8.0, 26.0), (-10.0, 30.0)):
        _tube(volume, grid, branch, 5.5, (44.0, 100.0), BLOOD_HU)
    arch = grid.box((-48.0, ay - 24, 26.0), (30.0, 46.0, 60.0))
    x, y, z = grid.within(arch)
    along = np.clip((y - ay) / (24 - ay), 0, 1)
    off = np.hypot(x - (ax + along * (9 - ax)), z - 42)
    paint(volume[arch], edge(np.minimum(12 - off, np.minimum(y - ay + 10, 34 - y)), 3.0), BLOOD_HU)
    if body.calcium:
        rim = edge(1.6 - np.abs(np.hypot(x - (ax + along * (9 - ax)), z - 42) - 11), 3.0) * ((y < 12) & (x < ax))
        paint(volume[arch], rim * np.float32(body.calcium), 420.0)


def _paint_heart(volume: Volume, grid: Grid, body: Body, cavity: Volume) -> None:
    box = grid.box((-100.0, -70.0, body.dome_mm - 40), (60.0, 110.0, body.dome_mm + 95))
    x, y, z = grid.within(box)
    depth = heart_depth_mm(body, x, y, z)
    depth = np.minimum(depth, np.minimum(z - body.dome_mm + 26, cavity[box] - 2))
    part = volume[box]
    paint(part, edge(depth + 4, grid.spacing_mm[0]) * (part > -200), FAT_HU)
    paint(part, edge(depth, grid.spacing_mm[0]), BLOOD_HU)


def _paint_abdomen(volume: Volume, grid: Grid, body: Body, cavity: Volume) -> None:
    """Under the diaphragm: liver on the right, stomach with its air bubble and spleen on the left."""
    top = int(np.searchsorted(grid.z.ravel(), body.dome_mm + 8))
    if top == 0:
        return
    low = (slice(None), slice(None), slice(0, top))
    x, y, z = grid.within(low)
    under = np.minimum(diaphragm_mm(body, x, y) - 2 - z, cavity[low] - 1)
    inside = edge(under, grid.spacing_mm[2])
    part = volume[low]
    paint(part, inside, -80.0)
    paint(part, inside * edge(x + 22 + 0.25 * (z - body.dome_mm), grid.spacing_mm[0]), LIVER_HU)
    spleen = 34 - np.hypot(np.hypot(x + 0.72 * body.cavity_mm[0], y + 34), 0.8 * (z - body.dome_mm + 45))
    paint(part, inside * edge(spleen, grid.spacing_mm[0]), 50.0)
    stomach = 32 - np.hypot(np.hypot(x + 56, y - 16), 0.9 * (z - body.dome_mm + 50))
    paint(part, inside * edge(stomach, grid.spacing_mm[0]), 35.0)
    paint(part, inside * edge(np.minimum(stomach - 4, y - 22), grid.spacing_mm[0]), -990.0)


def _paint_spine(volume: Volume, grid: Grid, body: Body) -> None:
    """Vertebrae with discs between them, the canal, and the arch behind."""
    ys, step = body.spine_y_mm, grid.spacing_mm[0]
    box = grid.box((-36.0, ys - 56, -400.0), (36.0, ys + 24, 400.0))
    x, y, z = grid.within(box)
    part = volume[box]
    radius = np.hypot(x / 1.15, y - ys)
    body_edge = edge(15 - radius, step)
    phase = np.abs(z / 24 - np.round(z / 24)) * 24
    paint(part, body_edge, body.bone_hu * 0.62)
    paint(part, body_edge * edge(radius - 12.5, step), body.bone_hu + 180)
    paint(part, body_edge * edge(2.6 - phase, grid.spacing_mm[2]), 85.0)
    wings = np.minimum(28 - np.abs(x), 4.0 - np.abs(y - ys + 20 + 0.2 * np.abs(x)))
    process = np.minimum(3.0 - np.abs(x), 8 - np.abs(y - ys + 31))
    behind = edge(np.maximum(np.maximum(wings, process), 12 - np.hypot(x, y - ys + 20)), step)
    paint(part, behind * edge(phase - 4, grid.spacing_mm[2]), body.bone_hu + 120)
    paint(part, edge(7.5 - np.hypot(x, y - ys + 20), step), 25.0)


def _paint_airways(volume: Volume, grid: Grid) -> None:
    """Trachea down to the carina and the two main bronchi, with a thin wall."""
    _tube(volume, grid, (0.0, -6.0), 10.5, (22.0, 140.0), 20.0)
    _tube(volume, grid, (0.0, -6.0), 8.5, (22.0, 140.0), AIR_HU)
    box = grid.box((-46.0, -24.0, -14.0), (46.0, 14.0, 32.0))
    x, y, z = grid.within(box)
    height = 24 - 0.55 * np.abs(x)
    off = np.hypot(y + 6, 0.87 * (z - height))
    reach = 38 - np.abs(x)
    for radius, hu in ((8.0, 20.0), (5.8, AIR_HU)):
        paint(volume[box], edge(np.minimum(radius - off, reach), grid.spacing_mm[0]), hu)
