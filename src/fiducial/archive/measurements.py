"""Measurements in structured reports (DICOM SR, TID 1500 of PS3.16) as a plain table."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial.archive.dicom.dataset import read_dataset
from fiducial.archive.dicom.frames import parsing
from fiducial.archive.refusal import refuse
from fiducial.archive.segmentation import code_text

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

REPORT = ("126000", "DCM")
MEASUREMENTS, GROUP = ("126010", "DCM"), ("125007", "DCM")
TRACKING_ID, TRACKING_UID = ("112039", "DCM"), ("112040", "DCM")
FINDING, CATEGORY = ("121071", "DCM"), ("276214006", "SCT")
SITES = (("363698007", "SCT"), ("G-C0E3", "SRT"))
METHODS = (("370129005", "SCT"), ("G-C036", "SRT"))
SEGMENT, SOURCE_SERIES = ("121191", "DCM"), ("121232", "DCM")
DEEPEST = 12
COLUMNS = (
    "subject",
    "visit",
    "image",
    "series",
    "segmentation",
    "segment",
    "sop",
    "tracking_id",
    "tracking_uid",
    "finding",
    "category",
    "site",
    "method",
    "quantity",
    "value",
    "unit",
    "answer",
)


@dataclass(frozen=True)
class Raw:
    """One measurement or answer of a group as the report states it; UIDs are still raw."""

    tracking_id: str = ""
    tracking_uid: str = ""
    finding: str = ""
    category: str = ""
    site: str = ""
    method: str = ""
    quantity: str = ""
    value: float = math.nan
    unit: str = ""
    answer: str = ""
    series_uid: str = ""
    sop_uid: str = ""
    segmentation_uid: str = ""
    segment: int = 0


def read_measurements(path: Path) -> list[Raw]:
    """Every numeric measurement and coded answer of a TID 1500 report, in the order of the document.

    Values are those stated, units UCUM codes, concepts ``scheme:value meaning``. What a group refers to (segment,
    series, image) counts for each of its measurements; a measurement's own image or line on one counts first.

    Raises:
        UnreadableFile: ``not-dicom``, ``truncated``, ``unreadable``, ``structured-report`` (another kind of report) or
            ``sr-empty`` (no measurement in it).
    """
    dataset = read_dataset(path)
    with parsing("a report"):
        if _code(dataset, "ConceptNameCodeSequence") != REPORT:
            raise refuse("structured-report", "no imaging measurement report (TID 1500)")
        series_of = dict(_evidence(dataset))
        groups = [group for container in _children(dataset, MEASUREMENTS) for group in _children(container, GROUP)]
        found = [one for group in groups for one in _group(group, series_of)]
    if not found:
        raise refuse("sr-empty", f"{len(groups)} measurement groups without a number or an answer")
    return found


def table_row(raw: Raw, names: Callable[[str, str], str], clean: Callable[[str], str]) -> dict[str, Any]:
    """A measurement as a row: UIDs as pseudonyms by ``names(kind, raw)``, texts through ``clean``."""
    texts = {name: clean(getattr(raw, name)) for name in ("tracking_id", "finding", "category", "site", "method")}
    texts |= {name: clean(getattr(raw, name)) for name in ("quantity", "unit", "answer")}
    return {
        **texts,
        "value": raw.value,
        "segment": raw.segment,
        "series": names("series", raw.series_uid),
        "sop": names("sop", raw.sop_uid),
        "segmentation": names("sop", raw.segmentation_uid),
        "tracking_uid": names("tracking", raw.tracking_uid),
    }


def _group(group: Dataset, series_of: dict[str, str]) -> Iterator[Raw]:
    """The measurements and answers of one group."""
    items = list(group.get("ContentSequence") or ())
    shared: dict[str, Any] = {
        "tracking_id": _text(items, TRACKING_ID),
        "tracking_uid": _text(items, TRACKING_UID),
        "finding": _concept(items, FINDING),
        "category": _concept(items, CATEGORY),
        "site": next((text for site in SITES if (text := _concept(items, site))), ""),
        "method": next((text for method in METHODS if (text := _concept(items, method))), ""),
    }
    place = _place(items)
    place["series_uid"] = _text(items, SOURCE_SERIES) or place["series_uid"]
    for item in items:
        kind = str(item.get("ValueType", ""))
        name = _code(item, "ConceptNameCodeSequence")
        own = {**place, **{k: v for k, v in _place(list(item.get("ContentSequence") or ())).items() if v}}
        own["series_uid"] = own["series_uid"] or series_of.get(own["sop_uid"], "")
        if kind == "NUM":
            yield Raw(**{**shared, **own, **_number(item)})
        elif kind == "CODE" and name not in (FINDING, CATEGORY, *SITES, *METHODS):
            question, answer = (code_text(item.get(k)) for k in ("ConceptNameCodeSequence", "ConceptCodeSequence"))
            yield Raw(**{**shared, **own, "quantity": question, "answer": answer})


def _number(item: Dataset) -> dict[str, Any]:
    """Quantity, value and unit; NaN where the report says that there is none."""
    values = item.get("MeasuredValueSequence") or ()
    said: dict[str, Any] = {"quantity": code_text(item.get("ConceptNameCodeSequence"))}
    children = list(item.get("ContentSequence") or ())
    method = next((text for method in METHODS if (text := _concept(children, method))), "")
    said |= {"method": method} if method else {}
    if values:
        units = values[0].get("MeasurementUnitsCodeSequence")
        exact = values[0].get("FloatingPointValue")
        said["value"] = float(exact if exact is not None else values[0].NumericValue)
        said["unit"] = str(units[0].get("CodeValue", "")) if units else ""
    return said


def _place(items: list[Dataset], depth: int = 0) -> dict[str, Any]:
    """The segment, or the image, that content items refer to."""
    found: dict[str, Any] = {"sop_uid": "", "segmentation_uid": "", "segment": 0, "series_uid": ""}
    for item in items:
        references: Any = item.get("ReferencedSOPSequence")
        uid = str(references[0].get("ReferencedSOPInstanceUID", "")) if references else ""
        if uid and _code(item, "ConceptNameCodeSequence") == SEGMENT:
            numbers: Any = references[0].get("ReferencedSegmentNumber")
            found["segmentation_uid"] = uid
            found["segment"] = int(numbers if isinstance(numbers, int) else numbers[0] if numbers else 0)
        elif uid:
            found["sop_uid"] = found["sop_uid"] or uid
        elif str(item.get("ValueType", "")) in ("SCOORD", "SCOORD3D") and depth < DEEPEST:
            inner = _place(list(item.get("ContentSequence") or ()), depth + 1)
            found["sop_uid"] = found["sop_uid"] or inner["sop_uid"]
    return found


def _evidence(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """The series of every SOP instance that the report rests on."""
    for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence"):
        for study in dataset.get(keyword) or ():
            for series in study.get("ReferencedSeriesSequence") or ():
                for one in series.get("ReferencedSOPSequence") or ():
                    yield str(one.get("ReferencedSOPInstanceUID", "")), str(series.get("SeriesInstanceUID", ""))


def _children(item: Dataset, name: tuple[str, str]) -> list[Dataset]:
    """Containers of a name directly below an item."""
    return [one for one in item.get("ContentSequence") or () if _code(one, "ConceptNameCodeSequence") == name]


def _code(item: Dataset, keyword: str) -> tuple[str, str]:
    items = item.get(keyword)
    if not items:
        return "", ""
    return str(items[0].get("CodeValue", "")), str(items[0].get("CodingSchemeDesignator", ""))


def _concept(items: list[Dataset], name: tuple[str, str]) -> str:
    """The value of the first coded item of a name."""
    found = [one for one in items if _code(one, "ConceptNameCodeSequence") == name]
    return code_text(found[0].get("ConceptCodeSequence")) if found else ""


def _text(items: list[Dataset], name: tuple[str, str]) -> str:
    """The text or UID of the first item of a name."""
    found = [one for one in items if _code(one, "ConceptNameCodeSequence") == name]
    return str(found[0].get("TextValue") or found[0].get("UID") or "") if found else ""
