"""Slices as PNG: plane and orientation, grey window, outlines, letters and a scale bar."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fiducial.records.image import Image

TRUTH_COLOUR, PREDICTED_COLOUR = "#ffb000", "#4fc3ff"
TRUTH_DASH, PREDICTED_DASH = "solid", (0, (4.0, 2.2))
SIZE_IN, DPI = 4.8, 110
LUNG_HU, SOFT_TISSUE_HU = (-1350.0, 150.0), (-160.0, 240.0)
_AERATED_HU = -500.0
_PLANES = ("sagittal", "coronal", "axial")
# Letters of each plane as (left, right, top, bottom): x runs to the Right, y to the Anterior, z to the Superior.
_LETTERS = (("A", "P", "S", "I"), ("R", "L", "S", "I"), ("R", "L", "A", "P"))
_WHITES = (1.0, 255.0, 1023.0, 4095.0, 16383.0, 65535.0)
_MOST_SAMPLES = 2**24
_BARS_MM = (1, 2, 5, 10, 20, 50, 100, 200)
_SMALLEST_FIELD_MM = 60.0
FILMED = ("CR", "DX", "ES", "GM", "IO", "IVOCT", "MG", "NM", "OP", "OPT", "OT", "RF", "RTIMAGE", "SM", "US", "XA", "XC")
"""Modalities of which an image at no place in the patient is a picture, or a film: its third axis is frames."""


@dataclass(frozen=True)
class Window:
    """Grey values from black to white, and its name for a caption."""

    low: float
    high: float
    text: str = ""


@dataclass(frozen=True)
class Contours:
    """Masks [1, x, y, z], already oriented: the reference (solid) and the prediction (dashed)."""

    truth: tuple[NDArray[np.bool_], ...] = ()
    predicted: tuple[NDArray[np.bool_], ...] = ()


@dataclass(frozen=True)
class View:
    """How an image is turned towards the reader.

    ``orientation`` are nibabel's axis codes; ``spacing_mm`` belongs to the turned axes; ``axis`` is the turned axis
    that slices are taken along; ``is_picture`` marks a plain picture, or the frames of a film, without patient axes.
    """

    orientation: NDArray[np.float64]
    spacing_mm: tuple[float, float, float]
    axis: int
    shape: tuple[int, int, int]
    is_picture: bool

    @staticmethod
    def of(image: Image) -> View:
        """The view of an image: nearest patient axes; slices along the axis with clearly the thickest, else axial."""
        from nibabel.orientations import io_orientation

        geometry = image.geometry
        straight = np.diag(geometry.spacing_mm)
        placeless = np.allclose(geometry.affine[:3], np.column_stack([straight, np.zeros(3)]), atol=1e-9)
        unscaled = geometry.shape[2] == 1 and np.allclose(geometry.affine[:3, :3], np.eye(3))
        if unscaled or (placeless and image.modality in FILMED):
            as_is = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])
            return View(as_is, geometry.spacing_mm, 2, geometry.shape, is_picture=True)
        codes = np.asarray(io_orientation(geometry.affine), dtype=np.float64)
        order = np.argsort(codes[:, 0])
        spacing = tuple(float(geometry.spacing_mm[k]) for k in order)
        shape = tuple(int(geometry.shape[k]) for k in order)
        thick = int(np.argmax(spacing))
        others = [s for k, s in enumerate(spacing) if k != thick]
        axis = thick if spacing[thick] > 1.5 * max(others) or shape[thick] == 1 else 2
        return View(codes, (spacing[0], spacing[1], spacing[2]), axis, (shape[0], shape[1], shape[2]), is_picture=False)

    def oriented(self, array: NDArray[Any]) -> NDArray[Any]:
        """[channel, x, y, z] turned to the patient's axes."""
        if self.is_picture:
            return array
        from nibabel.orientations import apply_orientation

        return np.stack([np.asarray(apply_orientation(channel, self.orientation)) for channel in array])

    def plane(self, array: NDArray[Any], axis: int, index: int) -> NDArray[Any]:
        """One slice as the reader sees it: rows from the top, columns from the left, channels last."""
        flat = np.take(array, index, axis=axis + 1)
        if not self.is_picture:
            flat = flat[:, ::-1, ::-1]
        return np.ascontiguousarray(np.transpose(flat, (2, 1, 0)))

    def pixel_mm(self, axis: int) -> tuple[float, float]:
        """Height and width of a pixel in a plane, in mm."""
        horizontal, vertical = (self.spacing_mm[k] for k in range(3) if k != axis)
        return vertical, horizontal

    def words(self, index: int) -> str:
        """``Axial slice 34 of 64.``; nothing for a picture."""
        if self.is_picture:
            return ""
        return f"{_PLANES[self.axis].capitalize()} slice {index + 1} of {self.shape[self.axis]}."


def window_of(
    image: Image, voxels: NDArray[Any], focus: NDArray[np.bool_] | None = None, spacing_mm: Sequence[float] = (1, 1, 1)
) -> Window:
    """How grey values are shown.

    In Hounsfield units the lung window where three tenths of the neighbourhood of ``focus`` (of the middle half of the
    volume, without one) and more are air or lung, else soft tissue; other units from the 1st to the 99th percentile;
    colour as it is.

    Args:
        image: says the unit.
        voxels: [channel, x, y, z], turned.
        focus: [x, y, z], turned; what the picture is about.
        spacing_mm: of the turned axes.
    """
    if voxels.shape[0] == 3:
        most = float(np.asarray(voxels).max())
        return Window(0.0, next((white for white in _WHITES if most <= white), most))
    values = np.asarray(voxels[0])
    if image.unit == "HU":
        near = values[_neighbourhood(values.shape, focus, spacing_mm)]
        lung = float(np.mean(near < _AERATED_HU)) > 0.3
        (low, high), name = (LUNG_HU, "lung") if lung else (SOFT_TISSUE_HU, "soft tissue")
        return Window(low, high, f"{name.capitalize()} window, \u2212{abs(low):.0f} to {high:.0f} HU.")
    # An even sample of a long film: its values as 64-bit numbers would be larger than the film.
    sample = values.ravel()[:: max(1, values.size // _MOST_SAMPLES)]
    low, high = (float(v) for v in np.percentile(sample.astype(np.float64), (1.0, 99.0)))
    if high <= low:
        low, high = float(values.min()), float(values.max())
    return Window(low, high if high > low else low + 1.0)


def _neighbourhood(
    shape: Sequence[int], focus: NDArray[np.bool_] | None, spacing_mm: Sequence[float]
) -> tuple[slice, ...]:
    """A box that reaches 10 mm beyond ``focus``; the middle half of the volume where there is none."""
    if focus is None or not focus.any():
        return tuple(slice(n // 4, max(n // 4 + 1, n - n // 4)) for n in shape)
    places = np.argwhere(focus)
    reach = [round(10.0 / step) for step in spacing_mm]
    low, high = places.min(axis=0), places.max(axis=0) + 1
    return tuple(slice(max(0, int(a) - r), int(b) + r) for a, b, r in zip(low, high, reach, strict=True))


def draw_slice(
    view: View, voxels: NDArray[Any] | None, *, index: int, window: Window | None, contours: Contours
) -> bytes:
    """One slice with outlines, near enough that the structure fills a good part, and the whole slice as a locator."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(SIZE_IN, SIZE_IN), dpi=DPI, facecolor="black")
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    masks = [view.plane(m, view.axis, index)[..., 0] for m in (*contours.truth, *contours.predicted)]
    ground = None if voxels is None else view.plane(voxels, view.axis, index)
    shape = masks[0].shape if ground is None else ground.shape[:2]
    pixel = view.pixel_mm(view.axis)
    field = _field(masks, shape, pixel)
    _show(axes, ground, shape, pixel, window, smooth=not view.is_picture)
    _outline(axes, masks[: len(contours.truth)], pixel, TRUTH_COLOUR, TRUTH_DASH)
    _outline(axes, masks[len(contours.truth) :], pixel, PREDICTED_COLOUR, PREDICTED_DASH)
    axes.set_xlim(field[0], field[1])
    axes.set_ylim(field[3], field[2])
    if not view.is_picture:
        _letters(axes, view.axis)
        _bar(axes, field[1] - field[0])
    whole = (shape[1] * pixel[1], shape[0] * pixel[0])
    if ground is not None and (field[1] - field[0]) < 0.6 * max(whole):
        _locator(figure, ground, shape, pixel, window, field)
    return _png(figure, colour=ground is not None and ground.shape[2] == 3)


def draw_planes(
    view: View, voxels: NDArray[Any], *, window: Window | None, focus: NDArray[np.bool_] | None = None
) -> bytes:
    """A picture as it is, or three planes of a volume through the middle of ``focus`` [x, y, z] or of the volume.

    Of a film the middle frame is shown large, the first and the last one small.
    """
    from matplotlib.figure import Figure

    if min(voxels.shape[1:]) == 1:
        figure = Figure(figsize=(SIZE_IN, SIZE_IN), dpi=DPI, facecolor="black")
        axis = int(np.argmin(voxels.shape[1:]))
        _panel(figure.add_axes((0, 0, 1, 1)), view, voxels, axis, 0, window, None)
        return _png(figure, colour=voxels.shape[0] == 3)
    figure = Figure(figsize=(SIZE_IN, SIZE_IN * 2 / 3), dpi=DPI, facecolor="black")
    middle = [n // 2 for n in voxels.shape[1:]]
    side = None
    if focus is not None:
        places = np.argwhere(focus)
        middle = [int(v) for v in np.round(places.mean(axis=0))]
        extent = (places.max(axis=0) - places.min(axis=0) + 1) * np.array(view.spacing_mm)
        side = max(3.0 * float(extent.max()), _SMALLEST_FIELD_MM)
    large, upper, lower = (0.0, 0.0, 0.664, 1.0), (0.67, 0.504, 0.33, 0.496), (0.67, 0.0, 0.33, 0.496)
    if view.is_picture:
        last = voxels.shape[3] - 1
        for index, box in ((middle[2], large), (0, upper), (last, lower)):
            _panel(figure.add_axes(box), view, voxels, 2, index, window, None)
        return _png(figure, colour=voxels.shape[0] == 3)
    boxes = {2: large, 1: upper, 0: lower}
    for axis, box in boxes.items():
        centre = None if side is None else (_centre(view, voxels.shape[1:], middle, axis), side)
        _panel(figure.add_axes(box), view, voxels, axis, middle[axis], window, centre)
    return _png(figure, colour=voxels.shape[0] == 3)


def _panel(
    axes: Axes,
    view: View,
    voxels: NDArray[Any],
    axis: int,
    index: int,
    window: Window | None,
    centre: tuple[tuple[float, float], float] | None,
) -> None:
    """One plane filling its axes, around ``centre`` (x, y, side in mm) or whole."""
    ground = view.plane(voxels, axis, index)
    pixel = view.pixel_mm(axis)
    width, height = ground.shape[1] * pixel[1], ground.shape[0] * pixel[0]
    _show(axes, ground, ground.shape[:2], pixel, window, smooth=not view.is_picture)
    (x, y), side = centre if centre is not None else ((width / 2, height / 2), max(width, height))
    axes.set_xlim(x - side / 2, x + side / 2)
    axes.set_ylim(y + side / 2, y - side / 2)
    if not view.is_picture:
        _letters(axes, axis)
        if axis in (view.axis, 2):
            _bar(axes, side)


def _centre(view: View, shape: Sequence[int], middle: Sequence[int], axis: int) -> tuple[float, float]:
    """A voxel's place in a displayed plane, in mm from the left and from the top."""
    horizontal, vertical = (k for k in range(3) if k != axis)
    x = (shape[horizontal] - middle[horizontal] - 0.5) * view.spacing_mm[horizontal]
    y = (shape[vertical] - middle[vertical] - 0.5) * view.spacing_mm[vertical]
    return x, y


def _field(
    masks: Sequence[NDArray[np.bool_]], shape: tuple[int, ...], pixel_mm: tuple[float, float]
) -> tuple[float, float, float, float]:
    """Left, right, top, bottom in mm of a square around all masks (at least 60 mm), inside the slice where it fits."""
    height, width = shape[0] * pixel_mm[0], shape[1] * pixel_mm[1]
    union = np.zeros(shape[:2], dtype=bool)
    for mask in masks:
        union |= mask
    whole = max(height, width)
    if not union.any():
        x, y, side = width / 2, height / 2, whole
    else:
        rows, columns = np.nonzero(union.any(axis=1))[0], np.nonzero(union.any(axis=0))[0]
        top, bottom = rows[0] * pixel_mm[0], (rows[-1] + 1) * pixel_mm[0]
        left, right = columns[0] * pixel_mm[1], (columns[-1] + 1) * pixel_mm[1]
        x, y = (left + right) / 2, (top + bottom) / 2
        side = min(max(1.9 * max(bottom - top, right - left), _SMALLEST_FIELD_MM), whole)
    x = min(max(x, side / 2), width - side / 2) if side <= width else width / 2
    y = min(max(y, side / 2), height - side / 2) if side <= height else height / 2
    return x - side / 2, x + side / 2, y - side / 2, y + side / 2


def _show(
    axes: Axes,
    ground: NDArray[Any] | None,
    shape: tuple[int, ...],
    pixel_mm: tuple[float, float],
    window: Window | None,
    *,
    smooth: bool,
) -> None:
    """The grey (or colour) slice in millimetres; without one, a dark ground."""
    axes.set_axis_off()
    axes.set_facecolor("black")
    extent = (0.0, shape[1] * pixel_mm[1], shape[0] * pixel_mm[0], 0.0)
    if ground is None or window is None:
        axes.imshow(np.full(shape[:2], 0.12), cmap="gray", vmin=0, vmax=1, extent=extent)
        return
    # Plain pixels keep their edges when they are enlarged, and are averaged when many fall on one.
    kind = "bilinear" if smooth else "antialiased"
    if ground.shape[2] == 3:
        colour = np.clip(ground.astype(np.float64) / window.high, 0, 1)
        axes.imshow(colour, extent=extent, interpolation=kind)
        return
    axes.imshow(ground[..., 0], cmap="gray", vmin=window.low, vmax=window.high, extent=extent, interpolation=kind)


def _outline(
    axes: Axes, masks: Sequence[NDArray[np.bool_]], pixel_mm: tuple[float, float], colour: str, dash: Any
) -> None:
    """The edge of each mask; a margin of background closes outlines at the border of the slice."""
    for mask in masks:
        if not mask.any():
            continue
        padded = np.pad(mask.astype(np.float64), 1)
        x = (np.arange(padded.shape[1]) - 0.5) * pixel_mm[1]
        y = (np.arange(padded.shape[0]) - 0.5) * pixel_mm[0]
        axes.contour(x, y, padded, levels=[0.5], colors=["black"], alpha=0.4, linewidths=2.9)
        axes.contour(x, y, padded, levels=[0.5], colors=[colour], linestyles=[dash], linewidths=1.7)


def _letters(axes: Axes, axis: int) -> None:
    """Where the patient's sides are."""
    left, right, top, bottom = _LETTERS[axis]
    places = (
        (left, 0.025, 0.5, "left", "center"),
        (right, 0.975, 0.5, "right", "center"),
        (top, 0.5, 0.975, "center", "top"),
        (bottom, 0.5, 0.025, "center", "bottom"),
    )
    for letter, x, y, ha, va in places:
        _write(axes, x, y, letter, ha=ha, va=va, size=11)


def _bar(axes: Axes, field_mm: float) -> None:
    """A bar of a round length, about a fifth of the field, at the lower right."""
    length = max((bar for bar in _BARS_MM if bar <= 0.28 * field_mm), default=_BARS_MM[0])
    share = length / field_mm
    for width, colour in ((3.6, "black"), (2.0, "white")):
        axes.plot([0.965 - share, 0.965], [0.035, 0.035], transform=axes.transAxes, color=colour, linewidth=width)
    _write(axes, 0.965 - share / 2, 0.05, f"{length} mm", ha="center", va="bottom", size=9)


def _write(axes: Axes, x: float, y: float, text: str, *, ha: str, va: str, size: float) -> None:
    from matplotlib import patheffects

    written = axes.text(x, y, text, transform=axes.transAxes, color="white", ha=ha, va=va, fontsize=size)
    written.set_path_effects([patheffects.withStroke(linewidth=2.2, foreground="black")])


def _locator(
    figure: Figure,
    ground: NDArray[Any],
    shape: tuple[int, ...],
    pixel_mm: tuple[float, float],
    window: Window | None,
    field: tuple[float, float, float, float],
) -> None:
    """The whole slice, small, at the upper left, with the field that is shown."""
    from matplotlib.patches import Rectangle

    width, height = shape[1] * pixel_mm[1], shape[0] * pixel_mm[0]
    scale = 0.27 / max(width, height)
    box = (0.015, 0.985 - height * scale, width * scale, height * scale)
    axes = figure.add_axes(box)
    _show(axes, ground, shape, pixel_mm, window, smooth=True)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    shown = (field[0], field[2], field[1] - field[0], field[3] - field[2])
    for (x, y, w, h), alpha in ((shown, 1.0), ((0.0, 0.0, width, height), 0.55)):
        axes.add_patch(Rectangle((x, y), w, h, fill=False, edgecolor="white", linewidth=1.0, alpha=alpha))


def _png(figure: Figure, *, colour: bool) -> bytes:
    """The figure as PNG without a time stamp; grey pictures are reduced to 256 colours."""
    from PIL import Image as Pillow

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor="black", metadata={"Software": None})
    if colour:
        return buffer.getvalue()
    small = io.BytesIO()
    buffer.seek(0)
    with Pillow.open(buffer) as picture:
        picture.convert("RGB").quantize(256, dither=Pillow.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()
