"""One look for all figures, and the way from a Matplotlib figure to SVG that may stand inside a page.

Figures are drawn 360 points wide, so that their text is as large as the page's on a telephone. They are made with
Matplotlib's object interface: no global state, no display.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_IN = 5.0
INK, SOFT, FAINT = "#1b2733", "#5b6875", "#c9d0d6"
DARK, MID = "#0f4c6b", "#c2651a"
"""Two colours of clearly different lightness (0.30 and 0.52), told apart by marker and dash as well."""
DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 1.5, 1.5, 1.5)), (0, (3, 3)))
MARKERS = ("o", "s", "^", "D", "v")
COLOURS = (DARK, MID, "#3b3b3b", "#7a8f2a", "#7d5ba6")

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "fiducial",
    "text.parse_math": False,
    "text.usetex": False,
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.5,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "axes.formatter.use_mathtext": False,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "text.color": INK,
    "legend.fontsize": 9.0,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "figure.dpi": 72.0,
    "savefig.dpi": 72.0,
    "path.simplify": True,
}
_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}"
_FONT = re.compile(r"font:\s*(?:(bold|italic|\d+)\s+)?([\d.]+)px\s*[^;]*")


@dataclass(frozen=True)
class Drawing:
    """A figure for the page: SVG text, a caption, and the words that stand for it where it cannot be seen."""

    svg: str
    caption: str
    title: str
    wide: bool = False


@contextmanager
def styled() -> Iterator[None]:
    """Draw inside this: the figures' style, without Matplotlib's warnings about glyphs that the browser will have."""
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)  # type: ignore[arg-type, unused-ignore]
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support .* natively")
        warnings.filterwarnings("ignore", message=".*layout not applied.*")
        yield


def new_figure(height_in: float, *, rows: int = 1, ratios: tuple[float, ...] = (1.0,)) -> tuple[Figure, list[Axes]]:
    """An empty figure of the common width with ``rows`` axes above each other."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, hspace=0.03)  # type: ignore[union-attr, call-arg]
    axes = figure.subplots(rows, 1, squeeze=False, height_ratios=list(ratios[:rows]) if rows > 1 else None)
    return figure, [row[0] for row in axes]


def to_svg(figure: Figure, *, prefix: str, title: str) -> str:
    """The figure as an ``<svg>`` element: ids carry ``prefix``, unused ones are dropped, fonts come from the page."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    root = ET.fromstring(buffer.getvalue())  # noqa: S314  (Matplotlib's own output)
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    for child in list(root):
        if child.tag == f"{_SVG}metadata":
            root.remove(child)
    _settle_ids(root, prefix)
    for element in root.iter():
        style = element.get("style")
        if style and "font" in style:
            element.set("style", _FONT.sub(_short_font, style))
    root.set("role", "img")
    root.set("class", "figure")
    root.set("aria-labelledby", f"{prefix}-title")
    label = ET.Element(f"{_SVG}title", {"id": f"{prefix}-title"})
    label.text = title
    root.insert(0, label)
    ET.register_namespace("", "http://www.w3.org/2000/svg")
    ET.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    return ET.tostring(root, encoding="unicode")


def _short_font(match: re.Match[str]) -> str:
    weight = f"font-weight: {match.group(1)}; " if match.group(1) == "bold" else ""
    return f"{weight}font-size: {match.group(2)}px"


def _settle_ids(root: ET.Element, prefix: str) -> None:
    """Give every id that something points at a page-wide unique name and remove the others."""
    pointers = ("clip-path", "fill", "stroke", "style", "marker-end", f"{_XLINK}href", "href")
    used: set[str] = set()
    for element in root.iter():
        for name in pointers:
            value = element.get(name, "")
            used.update(re.findall(r"url\(#([^)]+)\)", value))
            if value.startswith("#") and name.endswith("href"):
                used.add(value[1:])
    for element in root.iter():
        identifier = element.get("id")
        if identifier is not None:
            if identifier in used:
                element.set("id", f"{prefix}-{identifier}")
            else:
                del element.attrib["id"]
        for name in pointers:
            pointer = element.get(name)
            if pointer is None:
                continue
            pointer = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", pointer)
            if pointer.startswith("#") and name.endswith("href"):
                pointer = f"#{prefix}-{pointer[1:]}"
            element.set(name, pointer)


def short(text: str, length: int) -> str:
    """``text`` cut to ``length`` characters with an ellipsis; the tables of the report hold the whole of it."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
