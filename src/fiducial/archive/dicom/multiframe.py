"""A multi-frame file (PS3.3 C.7.6.16) as one header for each frame: functional groups become plain attributes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial.archive.dicom.headers import FileHeader, parse_header, read_header, walk_header
from fiducial.archive.dicom.kinds import IMAGES
from fiducial.archive.dicom.mosaic import is_mosaic, tiles
from fiducial.archive.dicom.values import doses_of, floats_of, quiet_pydicom, value_of
from fiducial.archive.dicom.wanted import LISTS, NUMBERS, TEXTS, VECTORS
from fiducial.archive.refusal import refuse
from fiducial.errors import UnreadableFile

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# Within a functional group's item: attribute, and the keyword under which a plain slice says the same.
GROUPS: dict[str, tuple[tuple[str, str], ...]] = {
    "PixelMeasuresSequence": (
        ("PixelSpacing", "PixelSpacing"),
        ("SliceThickness", "SliceThickness"),
        ("SpacingBetweenSlices", "SpacingBetweenSlices"),
    ),
    "PlanePositionSequence": (("ImagePositionPatient", "ImagePositionPatient"),),
    "PlaneOrientationSequence": (("ImageOrientationPatient", "ImageOrientationPatient"),),
    "PixelValueTransformationSequence": (
        ("RescaleSlope", "RescaleSlope"),
        ("RescaleIntercept", "RescaleIntercept"),
        ("RescaleType", "RescaleType"),
    ),
    "FrameContentSequence": (
        ("StackID", "StackID"),
        ("TemporalPositionIndex", "TemporalPositionIdentifier"),
        ("FrameAcquisitionNumber", "AcquisitionNumber"),
        ("FrameAcquisitionDateTime", "AcquisitionDateTime"),
        ("FrameAcquisitionDuration", "ActualFrameDuration"),
    ),
    "MREchoSequence": (("EffectiveEchoTime", "EchoTime"),),
    "MRTimingAndRelatedParametersSequence": (("RepetitionTime", "RepetitionTime"), ("FlipAngle", "FlipAngle")),
    "MRModifierSequence": (("InversionTimes", "InversionTime"),),
    "MRDiffusionSequence": (("DiffusionBValue", "DiffusionBValue"),),
    "CardiacSynchronizationSequence": (
        ("NominalCardiacTriggerDelayTime", "TriggerTime"),
        ("NominalPercentageOfCardiacPhase", "NominalPercentageOfCardiacPhase"),
    ),
    "CTImageFrameTypeSequence": (("FrameType", "ImageType"),),
    "MRImageFrameTypeSequence": (("FrameType", "ImageType"), ("ComplexImageComponent", "ComplexImageComponent")),
    "PETFrameTypeSequence": (("FrameType", "ImageType"),),
    "CTReconstructionSequence": (("ConvolutionKernel", "ConvolutionKernel"),),
    "CTXRayDetailsSequence": (("KVP", "KVP"),),
}
GRADIENTS = "DiffusionGradientDirectionSequence"
# Legacy converted files keep what has no group of its own in these, under the plain keywords.
UNASSIGNED = ("UnassignedSharedConvertedAttributesSequence", "UnassignedPerFrameConvertedAttributesSequence")
PLAIN = (*TEXTS[TEXTS.index("StudyInstanceUID") :], *LISTS, *NUMBERS, *VECTORS)
MAX_FRAMES = 50_000


@dataclass
class _Values:
    """Attributes by kind, as `FileHeader` holds them."""

    texts: dict[str, str] = field(default_factory=dict)
    lists: dict[str, tuple[str, ...]] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
    vectors: dict[str, tuple[float, ...]] = field(default_factory=dict)
    doses: tuple[dict[str, Any], ...] = ()

    def put(self, keyword: str, value: Any) -> None:
        """Keep a value under a plain keyword, if it is of that keyword's kind."""
        if keyword in TEXTS:
            text = "" if value is None else str(value).strip(" \0")
            if text:
                self.texts[keyword] = text
        elif keyword in LISTS:
            words = (value,) if isinstance(value, str) else tuple(value or ())
            if any(words):
                self.lists[keyword] = tuple(str(word).strip() for word in words)
        else:
            numbers = floats_of(value)
            if keyword in VECTORS and len(numbers) == VECTORS[keyword]:
                self.vectors[keyword] = numbers
            elif keyword not in VECTORS and len(numbers) == 1:
                self.numbers[keyword] = numbers[0]


def read_headers(path: Path) -> list[FileHeader]:
    """A file's header, or one for each frame where its class is read frame by frame.

    Raises:
        UnreadableFile: as `headers.read_header`; ``missing-tags`` or ``too-many-frames``.
    """
    header = read_header(path)
    kind = IMAGES.get(header.text("SOPClassUID"))
    if kind == "slices" and is_mosaic(header):
        return tiles(header, parse_header(path)[1])
    if kind != "frames":
        return [header]
    parsed, dataset = parse_header(path)
    return frame_headers(walk_header(path) or parsed, dataset)


def frame_headers(header: FileHeader, dataset: Dataset) -> list[FileHeader]:
    """One header for each frame: what the file says, what all frames share, and what each says itself."""
    n_frames = int(header.number("NumberOfFrames") or 1)
    if n_frames > MAX_FRAMES:
        raise refuse("too-many-frames", f"NumberOfFrames {n_frames:,}, at most {MAX_FRAMES:,}")
    with quiet_pydicom():
        shared = _Values()
        for item in _items(dataset, "SharedFunctionalGroupsSequence"):
            _collect(item, shared)
        items = [*_items(dataset, "PerFrameFunctionalGroupsSequence")]
        if len(items) != n_frames and (items or n_frames > 1):
            raise refuse(
                "missing-tags", f"PerFrameFunctionalGroupsSequence of {len(items)} items for {n_frames} frames"
            )
        own = [_Values() for _ in range(len(items) or 1)]
        for item, values in zip(items, own, strict=False):
            _collect(item, values)
    n_bytes = _frame_bytes(header)
    common = replace(
        header,
        texts=header.texts | shared.texts,
        lists=header.lists | shared.lists,
        numbers=header.numbers | shared.numbers,
        vectors=header.vectors | shared.vectors,
        doses=header.doses or shared.doses,
    )
    return [_frame(common, values, k, n_bytes) for k, values in enumerate(own)]


def _frame(header: FileHeader, own: _Values, number: int, n_bytes: int) -> FileHeader:
    """One frame; what it does not say itself is held once for all."""
    native = header.pixel_offset >= 0 and n_bytes > 0
    return replace(
        header,
        frame=number,
        texts=header.texts | own.texts if own.texts else header.texts,
        lists=header.lists | own.lists if own.lists else header.lists,
        numbers=header.numbers | own.numbers if own.numbers else header.numbers,
        vectors=header.vectors | own.vectors if own.vectors else header.vectors,
        doses=header.doses or own.doses,
        pixel_offset=header.pixel_offset + number * n_bytes if native else -1,
        pixel_bytes=max(min(n_bytes, header.pixel_bytes - number * n_bytes), 0) if native else -1,
    )


def _frame_bytes(header: FileHeader) -> int:
    sizes = [header.number(k) or 0.0 for k in ("Rows", "Columns", "BitsAllocated")]
    return int(sizes[0] * sizes[1]) * int(sizes[2]) // 8 if sizes[2] % 8 == 0 else 0


def _collect(item: Dataset, values: _Values) -> None:
    """Everything that one item of shared or per-frame functional groups says."""
    for keyword in UNASSIGNED:
        for inner in _items(item, keyword):
            values.doses = doses_of(inner) or values.doses
            for plain in PLAIN:
                if plain in inner:
                    values.put(plain, value_of(inner, plain))
    for keyword, attributes in GROUPS.items():
        for inner in _items(item, keyword):
            for theirs, plain in attributes:
                if theirs in inner:
                    values.put(plain, value_of(inner, theirs))
    for direction in (d for i in _items(item, "MRDiffusionSequence") for d in _items(i, GRADIENTS)):
        values.put("DiffusionGradientOrientation", value_of(direction, "DiffusionGradientOrientation"))
    _collect_mapping(_items(item, "RealWorldValueMappingSequence"), values)


def _items(item: Dataset, keyword: str) -> Iterable[Dataset]:
    """The items of a sequence; none where it is absent, or no sequence."""
    from pydicom.sequence import Sequence

    value = value_of(item, keyword) if keyword in item else None
    return value if isinstance(value, Sequence) else ()


def _collect_mapping(mappings: Iterable[Dataset], values: _Values) -> None:
    """The linear real world value mapping: SUV by body weight if there is one, else the first."""
    for mapping in mappings:
        units = next((str(code.get("CodeValue", "")) for code in _items(mapping, "MeasurementUnitsCodeSequence")), "")
        slope = floats_of(value_of(mapping, "RealWorldValueSlope"))
        intercept = floats_of(value_of(mapping, "RealWorldValueIntercept"))
        if len(slope) != 1 or len(intercept) != 1:
            continue
        if "RealWorldValueUnits" not in values.texts or units == "{SUVbw}g/ml":
            values.texts["RealWorldValueUnits"] = units or "none"
            values.numbers["RealWorldValueSlope"], values.numbers["RealWorldValueIntercept"] = slope[0], intercept[0]


def parts_missing(headers: Iterable[FileHeader]) -> UnreadableFile | None:
    """Why the files of a concatenation (PS3.3 C.7.6.16.2.2.4) are not all there; None if they are, or there is none."""
    found: dict[str, set[float]] = {}
    total: dict[str, float] = {}
    for header in headers:
        uid, number = header.text("ConcatenationUID"), header.number("InConcatenationNumber")
        if uid and number is not None:
            found.setdefault(uid, set()).add(number)
            total[uid] = max(total.get(uid, 0.0), header.number("InConcatenationTotalNumber") or 0.0)
    for uid, numbers in found.items():
        expected = int(max(total[uid], *numbers))
        lacking = [str(n) for n in range(1, expected + 1) if n not in numbers]
        if lacking:
            return refuse("missing-slices", f"part {', '.join(lacking[:5])} of a concatenation of {expected} files")
    return None
