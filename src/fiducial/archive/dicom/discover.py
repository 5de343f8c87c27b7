"""Find what a folder holds: image series, objects about them, and every other file with the reason why it is left."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from fiducial.archive.dicom.copies import Distinct, distinct
from fiducial.archive.dicom.headers import FileHeader
from fiducial.archive.dicom.kinds import ALONE, DICOMDIR, IMAGES, MODALITIES, OBJECTS, picture_modality, refusal_code
from fiducial.archive.dicom.medium import files_of, is_medium, missing_files
from fiducial.archive.dicom.multiframe import parts_missing, read_headers
from fiducial.archive.dicom.planes import is_cut
from fiducial.archive.dicom.split import Part, is_localizer, split
from fiducial.archive.dicom.values import quiet_pydicom
from fiducial.archive.refusal import code_of, refuse
from fiducial.compute import map_cases
from fiducial.errors import UnreadableFile
from fiducial.records.progress import Progress, silent

FILES_PER_CHUNK = 256
MIN_FILES_FOR_PROCESSES = 16_384


@dataclass(frozen=True)
class SeriesFiles:
    """The files of one series, or of a part of it that is an image of its own, in no order.

    ``kind`` says which of the `DECODERS` reads it, ``part`` what tells it from other parts of the same series (empty
    where the series is one image); ``refusal`` is set where the files already say that it cannot be read. ``repairs``
    says what was mended to find it, ``left_out`` lists copies of its files, ``columns`` are for its cohort row.
    """

    series_uid: str
    modality: str
    headers: tuple[FileHeader, ...]
    refusal: UnreadableFile | None = None
    kind: str = "slices"
    part: str = ""
    repairs: tuple[str, ...] = ()
    left_out: tuple[Path, ...] = ()
    columns: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Names the series, or its part, among all."""
        return f"{self.series_uid}:{self.part}" if self.part else self.series_uid

    @property
    def files(self) -> tuple[Path, ...]:
        """The files' paths, each once."""
        return tuple(dict.fromkeys((*(header.path for header in self.headers), *self.left_out)))


@dataclass(frozen=True)
class RefusedFile:
    """A file that belongs to no series and is no object; ``header`` is None where none could be read."""

    path: Path
    refusal: UnreadableFile
    header: FileHeader | None = None


@dataclass(frozen=True)
class Discovery:
    """What a folder holds, in the order of paths. ``objects`` are files of the kinds `OBJECTS`."""

    series: tuple[SeriesFiles, ...]
    objects: tuple[FileHeader, ...]
    refused: tuple[RefusedFile, ...]
    n_files: int


def find_series(folder: str | Path) -> list[SeriesFiles]:
    """The image series below a folder (or of one file), grouped by SeriesInstanceUID."""
    return list(discover(Path(folder), workers=1).series)


def discover(source: Path, *, workers: int = 0, progress: Progress = silent) -> Discovery:
    """Read the header of every file below ``source`` (folder, file, or a medium's DICOMDIR) and group them.

    Raises:
        UnreadableFile: ``no-files``.
    """
    paths = _paths(source)
    if not paths:
        raise refuse("no-files", "no file below this folder", where=str(source))
    chunks = {str(i): paths[i : i + FILES_PER_CHUNK] for i in range(0, len(paths), FILES_PER_CHUNK)}
    n_workers = workers if len(paths) >= MIN_FILES_FOR_PROCESSES else 1
    found = map_cases(scan, chunks, workers=n_workers, progress=progress, title="reading headers")
    scanned = [item for chunk in found.results.values() for item in chunk]
    for failure in found.failures:
        again = map_cases(_scan_one, {str(p): p for p in chunks[failure.key]}, workers=2, title="reading headers")
        scanned += [item for items in again.results.values() for item in items]
        scanned += [RefusedFile(Path(f.key), refuse("unexpected", f.error)) for f in again.failures]
    return _grouped(scanned, len(paths))


def scan(paths: list[Path]) -> list[FileHeader | RefusedFile]:
    """Read the headers of some files; one that cannot be read becomes a `RefusedFile`."""
    return [item for path in paths for item in _scan_one(path)]


def _scan_one(path: Path) -> list[FileHeader | RefusedFile]:
    try:
        return [*read_headers(path)]
    except UnreadableFile as refusal:
        # A refusal keeps the library's error as its cause, which may quote the header: it stays here.
        return [RefusedFile(path, UnreadableFile(refusal.given, action=refusal.action))]


def _paths(source: Path) -> list[Path]:
    if not source.is_file():
        return [*map(Path, sorted(f"{root}{os.sep}{name}" for root, _, names in os.walk(source) for name in names))]
    return [source, *files_of(source)[0]] if is_medium(source) else [source]


def _grouped(scanned: list[FileHeader | RefusedFile], n_files: int) -> Discovery:
    groups: dict[str, list[FileHeader]] = defaultdict(list)
    alone: dict[str, list[FileHeader]] = defaultdict(list)
    objects: list[FileHeader] = []
    refused: list[RefusedFile] = []
    for item in scanned:
        if isinstance(item, RefusedFile):
            refused.append(item)
        elif item.text("SOPClassUID") in OBJECTS:
            objects.append(item)
        elif (refusal := _file_refusal(item)) is not None:
            refused.append(RefusedFile(item.path, refusal, item))
        else:
            by_series = alone if IMAGES[item.text("SOPClassUID")] in ALONE else groups
            by_series[item.text("SeriesInstanceUID") or item.text("SOPInstanceUID")].append(item)
    series = [one for uid, headers in groups.items() for one in _series(uid, headers)]
    series = _beside_broken(series, refused)
    series += [one for uid, headers in alone.items() for one in _each_alone(uid, headers)]
    return Discovery(
        series=tuple(sorted(series, key=lambda s: min(map(str, s.files)))),
        objects=tuple(sorted(objects, key=lambda h: h.path)),
        refused=tuple(sorted(refused, key=lambda r: r.path)),
        n_files=n_files,
    )


def _file_refusal(header: FileHeader) -> UnreadableFile | None:
    """Why a file can be part of no image series; None if it can."""
    sop_class = header.text("SOPClassUID")
    if sop_class == DICOMDIR:
        return missing_files(header.path) or refuse("dicomdir", "the directory of a medium")
    # A picture is an image by itself; a slice without a series has no neighbours.
    in_series = header.text("SeriesInstanceUID") or (IMAGES.get(sop_class) in ALONE and header.text("SOPInstanceUID"))
    if not sop_class or not in_series:
        absent = "SOPClassUID" if not sop_class else "SeriesInstanceUID"
        return refuse("missing-tags", absent)
    if sop_class not in IMAGES:
        return refuse(refusal_code(sop_class), uid_name(sop_class))
    return None


def _series(uid: str, headers: list[FileHeader]) -> list[SeriesFiles]:
    """A group of image files as a series or its parts, with what speaks against each file by file."""
    ordered = tuple(sorted(headers, key=lambda h: (str(h.path), h.frame or 0)))
    sop_class = ordered[0].text("SOPClassUID")
    modality = MODALITIES.get(sop_class) or ordered[0].text("Modality")
    make = partial(SeriesFiles, uid, modality, kind=IMAGES[sop_class])
    try:
        found = distinct(ordered)
    except UnreadableFile as conflict:
        return [make(ordered, conflict)]
    kept = found.headers
    refusal = _series_refusal(kept)
    if refusal is not None:
        return [make(ordered, refusal)]
    localizers = tuple(h for h in kept if "LOCALIZER" in h.words("ImageType"))
    others = tuple(h for h in kept if "LOCALIZER" not in h.words("ImageType"))
    parts = split(others) if others else []
    if len(parts) > 3 and all(len(part.headers) == 1 and "ImageOrientationPatient" in part.by for part in parts):
        return [make(ordered, refuse("mixed-orientation", f"{len(parts)} slices, each of its own orientation"))]
    if is_localizer(parts):
        return [make(ordered, refuse("localizer", f"{len(kept)} slices in three orthogonal planes"))]
    parts += [Part(localizers, "localizer" if parts else "", ("ImageType",))] if localizers else []
    return [_part(make, part, parts, found) for part in parts]


def _series_refusal(headers: tuple[FileHeader, ...]) -> UnreadableFile | None:
    """Why a series cannot be read, nor any part of it."""
    if len({h.text("SOPClassUID") for h in headers}) > 1:
        return refuse("mixed-objects", ", ".join(sorted({uid_name(h.text("SOPClassUID")) for h in headers})))
    n_patients = len({h.text("PatientID") for h in headers})
    if len({(h.text("PatientID"), h.text("StudyInstanceUID")) for h in headers}) > 1:
        return refuse("mixed-patients", f"{n_patients} patient(s) and several studies or patients under one series UID")
    n_cut = sum(is_cut(h) for h in headers)
    if n_cut:
        return refuse("truncated", f"{n_cut} of {len(headers)} files end before or within their pixel data")
    if any(h.frame is None and h.number("NumberOfFrames") not in (None, 1.0) for h in headers):
        return refuse("enhanced-multiframe", "NumberOfFrames > 1 in a class of single frames")
    return parts_missing(headers)


def _part(make: Callable[..., SeriesFiles], part: Part, parts: list[Part], found: Distinct) -> SeriesFiles:
    """One part of a series: why it is refused, or what was mended to get it."""
    copies, cut = found.left_out(h.text("SOPInstanceUID") for h in part.headers)
    repairs = []
    if len(parts) > 1:
        by = dict.fromkeys(keyword for one in parts for keyword in one.by)
        repairs.append(f"split: one of {len(parts)} images of its series, by {', '.join(by)}")
    if copies:
        repairs.append(f"exact-copies: {len(copies)} file(s) that repeat another left out")
    if cut:
        repairs.append(f"damaged-copies: {len(cut)} file(s) that end early left out, as they are there whole")
    return make(
        part.headers,
        _part_refusal(part, parts),
        part=part.label,
        repairs=tuple(repairs),
        left_out=(*copies, *cut),
        columns={} if part.temporal_position is None else {"temporal_position": part.temporal_position},
    )


def _part_refusal(part: Part, parts: list[Part]) -> UnreadableFile | None:
    headers = part.headers
    if "LOCALIZER" in headers[0].words("ImageType"):
        return refuse("localizer", "ImageType says LOCALIZER")
    if any(h.number("SamplesPerPixel") != 1 for h in headers):
        absent = None in {h.number("SamplesPerPixel") for h in headers}
        return refuse("missing-tags", "SamplesPerPixel") if absent else refuse("colour", "SamplesPerPixel 3")
    if any(h.text("PhotometricInterpretation") == "PALETTE COLOR" for h in headers):
        return refuse("colour", "PALETTE COLOR")
    if any(h.text("BurnedInAnnotation").upper() == "YES" for h in headers):
        return refuse("burned-in-annotation", "BurnedInAnnotation is YES")
    largest = max(len(other.headers) for other in parts)
    if len(headers) == 1 and largest > 1:
        return refuse("single-slice", f"one slice beside {largest} that are an image of their own")
    return None


def _each_alone(uid: str, headers: list[FileHeader]) -> list[SeriesFiles]:
    """Files that are images of their own; the parts are numbered by InstanceNumber, then path.

    Files under one SOPInstanceUID stay together: the decoder tells exact copies from conflicting ones.
    """
    files: dict[str, list[FileHeader]] = defaultdict(list)
    for header in sorted(headers, key=lambda h: (h.number("InstanceNumber") or 0.0, h.path)):
        files[header.text("SOPInstanceUID") or str(header.path)].append(header)
    parts = []
    for number, own in enumerate(files.values(), start=1):
        first = own[0]
        kind = IMAGES[first.text("SOPClassUID")]
        modality = MODALITIES.get(first.text("SOPClassUID"), "")
        if kind == "picture":
            modality = picture_modality(first.text("SOPClassUID"), first.text("Modality"))
            kind = "cine" if (first.number("NumberOfFrames") or 1) > 1 else "picture"
        part = str(number) if len(files) > 1 else ""
        burned_in = any(h.text("BurnedInAnnotation").upper() == "YES" for h in own)
        refusal = refuse("burned-in-annotation", "BurnedInAnnotation is YES") if burned_in else None
        parts.append(SeriesFiles(uid, modality, tuple(own), refusal, kind, part))
    return parts


def _beside_broken(series: list[SeriesFiles], refused: list[RefusedFile]) -> list[SeriesFiles]:
    """Refuse a series that has a folder to itself but for DICOM files that cannot be read: they may be its slices.

    A lost slice inside a stack would show as a gap; a lost first or last one would not show at all.
    """
    broken = Counter(item.path.parent for item in refused if _is_broken(item))
    owners: dict[Path, set[str]] = defaultdict(set)
    for one in series:
        for path in one.files:
            owners[path.parent].add(one.series_uid)
    result = []
    for one in series:
        n_broken = sum(broken[folder] for folder in {p.parent for p in one.files} if len(owners[folder]) == 1)
        if n_broken and one.refusal is None:
            result.append(replace(one, refusal=refuse("broken-neighbours", f"{n_broken} unreadable file(s) beside it")))
        else:
            result.append(one)
    return result


def _is_broken(item: RefusedFile) -> bool:
    """Whether a file looks like a slice that was damaged: DICOM that cannot be read, or named or empty like one."""
    code = code_of(item.refusal)
    if code == "not-dicom":
        return item.path.suffix.lower() == ".dcm" or (item.path.is_file() and item.path.stat().st_size == 0)
    return code in ("truncated", "unreadable", "too-large", "unexpected", "missing-tags")


def uid_name(uid: str) -> str:
    """The standard's name of a UID; "a private UID" for one that it does not list (a UID may identify)."""
    from pydicom.uid import UID

    with quiet_pydicom():
        name = UID(uid).name
    return "a private or unknown UID" if name == uid else str(name)
