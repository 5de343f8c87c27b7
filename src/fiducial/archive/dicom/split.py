"""One series into the volumes that it holds: by place and size always, by other tags where slices lie on each other."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiducial.archive.dicom.headers import FileHeader

DIRECTION_TOLERANCE = 1e-3
SAME_PLACE_MM = 0.01
PLACE_TOLERANCE_MM = 0.1
PLACE_TOLERANCE_OF_SPACING = 0.1
ORTHOGONAL = 0.1
MAX_LOCALIZER_SLICES = 15
PLACING = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
PLANES = ("sagittal", "coronal", "axial")
GE_COMPLEX = {0.0: "m", 1.0: "p", 2.0: "r", 3.0: "i"}

Headers = tuple[FileHeader, ...]
Key = Callable[[FileHeader], Hashable]


@dataclass(frozen=True)
class Part:
    """Headers that may be one volume; ``label`` and ``by`` (keywords) say what tells it from the other parts.

    ``temporal_position`` counts from 1 where a time did.
    """

    headers: Headers
    label: str = ""
    by: tuple[str, ...] = ()
    temporal_position: int | None = None


def split(headers: Headers) -> list[Part]:
    """The parts of a series, in the order of their labels' ranks; one part where nothing tells slices apart.

    Frame of reference, rows and columns, pixel spacing and orientation always split. Everything else (`TELLING`) only
    splits slices that lie at one place, or a stack with gaps whose groups each have none; a tag counts if it lowers
    the number of slices at one place and has no more values than that number.
    """
    if any(h.vector(k) is None for h in headers for k in PLACING):
        return [Part(headers)]
    parts = [Part(headers)]
    for by, groups_of in _ALWAYS:
        parts = [
            replace(part, headers=own, label=_joined(part.label, label), by=(*part.by, by)) if len(groups) > 1 else part
            for part in parts
            for groups in [groups_of(part.headers)]
            for label, own in groups
        ]
    parts = [final for part in parts for final in _told_apart(part)]
    return _named(parts)


def is_localizer(parts: Sequence[Part]) -> bool:
    """Whether the parts are few slices in three orthogonal planes: a localizer, whatever it is called."""
    normals = [_normal(part.headers) for part in parts if part.headers[0].vector("ImageOrientationPatient")]
    if len(normals) < 3 or len(normals) != len(parts) or any(len(p.headers) > MAX_LOCALIZER_SLICES for p in parts):
        return False
    planes: list[NDArray[np.float64]] = []
    for normal in normals:
        if all(abs(float(normal @ other)) < ORTHOGONAL for other in planes):
            planes.append(normal)
    return len(planes) == 3 and all(max(abs(float(n @ p)) for p in planes) > 1 - ORTHOGONAL for n in normals)


def places(headers: Headers) -> NDArray[np.int64]:
    """A number for each slice's place along the normal; slices nearer than 0.01 mm share one."""
    along = positions(headers) @ _normal(headers)
    spacing = headers[0].vector("PixelSpacing") or (1.0,)
    tolerance = min(SAME_PLACE_MM, 0.1 * min(spacing)) if min(spacing) > 0 else SAME_PLACE_MM
    order = np.argsort(along, kind="stable")
    number = np.zeros(len(headers), dtype=np.int64)
    number[order] = np.cumsum(np.diff(along[order], prepend=along[order][0]) > tolerance)
    return number


def positions(headers: Headers) -> NDArray[np.float64]:
    """ImagePositionPatient of each header [n, 3]."""
    return np.array([h.vector("ImagePositionPatient") for h in headers], dtype=np.float64)


def b_value(header: FileHeader) -> float | None:
    """The b-value in s/mm2: the standard's attribute, else the vendor's (GE adds 10^9 to some)."""
    for keyword in ("DiffusionBValue", "SiemensBValue", "PhilipsBValue"):
        value = header.number(keyword)
        if value is not None:
            return value
    vendor = header.vector("GEBValue")
    return vendor[0] % 1e6 if vendor and vendor[0] >= 0 else None


def image_type(header: FileHeader) -> tuple[str, ...]:
    """ImageType with what part of a complex image it is, in lower case."""
    words = tuple(word.lower() for word in header.words("ImageType"))
    component = header.text("ComplexImageComponent").lower()
    vendor_code = header.number("GEImageType")
    vendor = "" if vendor_code is None else GE_COMPLEX.get(vendor_code, "")
    return (*words, *(word for word in (component, vendor) if word))


def series_columns(header: FileHeader) -> dict[str, Any]:
    """What tells the volumes of a series apart, for a cohort row: NaN or "" where it is not stated."""
    echo_ms, b = header.number("EchoTime"), b_value(header)
    return {
        "image_type": "/".join(image_type(header)),
        "echo_time_ms": math.nan if echo_ms is None else echo_ms,
        "b_value": math.nan if b is None else b,
    }


def plane_of(headers: Headers) -> str:
    """``axial``, ``coronal``, ``sagittal``, or ``oblique`` where no axis of the patient comes within 25 degrees."""
    normal = np.abs(_normal(headers))
    axis = int(normal.argmax())
    return PLANES[axis] if normal[axis] > np.cos(np.radians(25.0)) else "oblique"


def _normal(headers: Headers) -> NDArray[np.float64]:
    direction = np.array(headers[0].vector("ImageOrientationPatient"), dtype=np.float64)
    normal = np.cross(direction[:3], direction[3:])
    return np.asarray(normal / max(float(np.linalg.norm(normal)), 1e-12))


def _joined(*labels: str) -> str:
    return "-".join(label for label in labels if label)


def _first(headers: Headers) -> tuple[float, str]:
    return min((h.number("InstanceNumber") or 0.0, h.text("SOPInstanceUID")) for h in headers)


def _grouped(headers: Headers, key: Key) -> list[Headers]:
    """Groups of equal key, in the order of their first InstanceNumber."""
    groups: dict[Hashable, list[FileHeader]] = defaultdict(list)
    for header in headers:
        groups[key(header)].append(header)
    return sorted((tuple(group) for group in groups.values()), key=_first)


def _numbered(word: str, key: Key) -> Callable[[Headers], list[tuple[str, Headers]]]:
    def groups_of(headers: Headers) -> list[tuple[str, Headers]]:
        return [(f"{word}{k}", group) for k, group in enumerate(_grouped(headers, key), start=1)]

    return groups_of


def _by_size(headers: Headers) -> list[tuple[str, Headers]]:
    groups = _grouped(headers, lambda h: (h.number("Columns"), h.number("Rows")))
    return [(f"{g[0].number('Columns') or 0:g}x{g[0].number('Rows') or 0:g}", g) for g in groups]


def _by_orientation(headers: Headers) -> list[tuple[str, Headers]]:
    directions = np.array([h.vector("ImageOrientationPatient") for h in headers], dtype=np.float64)
    kinds: list[NDArray[np.float64]] = []
    number = np.empty(len(headers), dtype=np.int64)
    for i, direction in enumerate(directions):
        for k, kind in enumerate(kinds):
            if np.abs(direction - kind).max() <= DIRECTION_TOLERANCE:
                number[i] = k
                break
        else:
            number[i] = len(kinds)
            kinds.append(direction)
    kind_of = {id(header): int(k) for header, k in zip(headers, number, strict=True)}
    return [(plane_of(group), group) for group in _grouped(headers, lambda h: kind_of[id(h)])]


_ALWAYS: tuple[tuple[str, Callable[[Headers], list[tuple[str, Headers]]]], ...] = (
    ("FrameOfReferenceUID", _numbered("frame", lambda h: h.text("FrameOfReferenceUID"))),
    ("rows and columns", _by_size),
    ("PixelSpacing", _numbered("spacing", lambda h: tuple(float(f"{v:.4g}") for v in h.vector("PixelSpacing") or ()))),
    ("ImageOrientationPatient", _by_orientation),
)


def _in_plane(headers: Headers) -> list[Hashable]:
    """The corner of each slice within its plane, in tenths of a mm."""
    normal = _normal(headers)
    corners = positions(headers)
    corners = corners - np.outer(corners @ normal, normal)
    return [tuple(np.round(corner, 1) + 0.0) for corner in corners]


def _of(key: Key) -> Callable[[Headers], list[Hashable]]:
    return lambda headers: [key(header) for header in headers]


def _rank_at_place(keyword: str) -> Callable[[Headers], list[Hashable]]:
    """The rank of a time among those at the same place; all None unless every place has equally many different ones."""

    def ranks(headers: Headers) -> list[Hashable]:
        place = places(headers)
        times = [h.number(keyword) if keyword != "AcquisitionTime" else _acquired(h) for h in headers]
        if any(time is None for time in times):
            return [None] * len(headers)
        by_place: dict[int, list[float]] = defaultdict(list)
        for number, time in zip(place, times, strict=True):
            by_place[int(number)].append(float(time or 0))
        counts = {len(values) for values in by_place.values()}
        if len(counts) > 1 or any(len(set(values)) < len(values) for values in by_place.values()):
            return [None] * len(headers)
        return [sorted(by_place[int(n)]).index(float(t or 0)) + 1 for n, t in zip(place, times, strict=True)]

    return ranks


def _acquired(header: FileHeader) -> float | None:
    """Seconds on the clock of a slice's acquisition, date included; None where it is not stated."""
    text = header.text("AcquisitionDateTime") or header.text("AcquisitionDate") + header.text("AcquisitionTime")
    match = re.fullmatch(r"(\d{8})?(\d{2})(\d{2})(\d{2})(\.\d+)?", text.partition("+")[0].partition("-")[0])
    if match is None:
        return None
    hours, minutes, seconds = (int(match[k]) for k in (2, 3, 4))
    return int(match[1] or 0) * 86400.0 + hours * 3600 + minutes * 60 + seconds + float(match[5] or 0)


def _direction(header: FileHeader) -> Hashable:
    gradient = header.vector("DiffusionGradientOrientation") or header.vector("SiemensGradient")
    return None if gradient is None else tuple(round(v, 4) for v in gradient)


@dataclass(frozen=True)
class _Telling:
    """A tag that may tell volumes apart: its values, and the label of a value of a rank."""

    by: str
    values: Callable[[Headers], list[Hashable]]
    label: Callable[[Hashable, int], str]
    temporal: bool = False


def _counted(word: str, digits: int = 1) -> Callable[[Hashable, int], str]:
    return lambda _, rank: f"{word}{rank:0{digits}d}"


def _measured(word: str) -> Callable[[Hashable, int], str]:
    return lambda value, _: f"{word}{value:g}" if isinstance(value, float) else f"no-{word}"


TELLING: tuple[_Telling, ...] = (
    _Telling("ImageType", _of(image_type), lambda value, _: str(value)),
    _Telling("EchoTime", _of(lambda h: h.number("EchoTime")), _counted("echo")),
    _Telling("EchoNumbers", _of(lambda h: h.number("EchoNumbers")), _counted("echo")),
    _Telling("DiffusionBValue", _of(b_value), _measured("b")),
    _Telling("InversionTime", _of(lambda h: h.number("InversionTime")), _counted("ti")),
    _Telling("FlipAngle", _of(lambda h: h.number("FlipAngle")), _measured("flip")),
    _Telling("RepetitionTime", _of(lambda h: h.number("RepetitionTime")), _counted("tr")),
    _Telling("StackID", _of(lambda h: h.text("StackID")), _counted("stack")),
    _Telling("ImagePositionPatient within the plane", _in_plane, _counted("station")),
    _Telling(
        "TemporalPositionIdentifier", _of(lambda h: h.number("TemporalPositionIdentifier")), _counted("t", 3), True
    ),
    _Telling(
        "NominalPercentageOfCardiacPhase",
        _of(lambda h: h.number("NominalPercentageOfCardiacPhase")),
        _measured("phase"),
    ),
    _Telling("FrameReferenceTime", _rank_at_place("FrameReferenceTime"), _counted("t", 3), True),
    _Telling("TriggerTime", _rank_at_place("TriggerTime"), _counted("t", 3), True),
    _Telling("diffusion direction", _of(_direction), _counted("dir", 2)),
    _Telling("AcquisitionNumber", _of(lambda h: h.number("AcquisitionNumber")), _counted("acq")),
    _Telling("AcquisitionTime", _rank_at_place("AcquisitionTime"), _counted("t", 3), True),
)


def _told_apart(part: Part) -> list[Part]:
    """Split one grid's slices until no two lie at one place, or no tag tells more."""
    headers = part.headers
    if len(headers) < 2:
        return [part]
    most = _most_at_one_place(headers)
    if most == 1 and _is_even(headers):
        return [part]
    for telling in TELLING:
        values = telling.values(headers)
        groups = _ranked_groups(headers, values)
        if len(groups) < 2:
            continue
        if most > 1:
            useful = len(groups) <= most and max(_most_at_one_place(own) for _, own in groups) < most
        else:
            useful = all(len(own) > 1 and _is_even(own) for _, own in groups)
        if useful:
            labels = _labels(telling, [value for value, _ in groups])
            return [
                final
                for rank, (label, (_, own)) in enumerate(zip(labels, groups, strict=True), start=1)
                for final in _told_apart(
                    Part(
                        own,
                        _joined(part.label, label),
                        (*part.by, telling.by),
                        rank if telling.temporal else part.temporal_position,
                    )
                )
            ]
    return [part]


def _ranked_groups(headers: Headers, values: list[Hashable]) -> list[tuple[Hashable, Headers]]:
    """Groups of equal value; numbers in their order, anything else in that of the first InstanceNumber."""
    groups: dict[Hashable, list[FileHeader]] = defaultdict(list)
    for header, value in zip(headers, values, strict=True):
        groups[value].append(header)
    pairs = [(value, tuple(own)) for value, own in groups.items()]
    if all(isinstance(value, int | float) for value in groups):
        return sorted(pairs, key=lambda pair: float(pair[0]))  # type: ignore[arg-type]
    return sorted(pairs, key=lambda pair: _first(pair[1]))


def _labels(telling: _Telling, values: list[Hashable]) -> list[str]:
    if telling.by == "ImageType":
        return _type_labels([value for value in values if isinstance(value, tuple)])
    return [telling.label(value, rank) for rank, value in enumerate(values, start=1)]


def _type_labels(types: list[tuple[str, ...]]) -> list[str]:
    """Of each image type the words that not all share."""
    counts = Counter(word for words in types for word in set(words))
    labels = []
    for words in types:
        own = [word for word in dict.fromkeys(words) if counts[word] < len(types)]
        labels.append("-".join(filter(None, (_slug(word) for word in own))) or "plain")
    return labels


def _slug(word: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", word.lower()).strip("-")[:16]


def _most_at_one_place(headers: Headers) -> int:
    return int(np.bincount(places(headers)).max())


def _is_even(headers: Headers) -> bool:
    """Whether the slices rise in equal steps (single slices do)."""
    if len(headers) < 3:
        return True
    along = np.sort(positions(headers) @ _normal(headers))
    gaps = np.diff(along)
    tolerance = min(PLACE_TOLERANCE_MM, PLACE_TOLERANCE_OF_SPACING * float(np.median(gaps)))
    even = along[0] + np.linspace(0, along[-1] - along[0], len(along))
    return bool(np.abs(along - even).max() <= tolerance)


def _named(parts: list[Part]) -> list[Part]:
    """Parts with labels that differ."""
    if len(parts) == 1:
        return [Part(parts[0].headers)]
    seen: Counter[str] = Counter()
    total = Counter(part.label for part in parts)
    named = []
    for part in parts:
        seen[part.label] += 1
        number = str(seen[part.label]) if total[part.label] > 1 else ""
        named.append(replace(part, label=f"{part.label or 'part'}{number}"))
    return named
