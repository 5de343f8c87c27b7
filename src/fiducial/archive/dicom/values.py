"""Values of a pydicom dataset, where the library can make them of the bytes; it is kept silent meanwhile."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from fiducial.archive.dicom.wanted import DOSE_NUMBERS, DOSE_TEXTS, DOSES

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Silence pydicom, whose warnings quote header values: no identifier may reach a log."""
    logger = logging.getLogger("pydicom")
    before = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before


def value_of(dataset: Dataset, keyword: str) -> Any:
    """A value, or None where the library cannot make one of the bytes (a broken number, a wrong VR)."""
    try:
        return dataset.get(keyword)
    except parse_errors():
        return None


@cache
def parse_errors() -> tuple[type[Exception], ...]:
    """What the library raises where it cannot make a value of the bytes."""
    from pydicom.errors import BytesLengthException

    return (
        ValueError,
        TypeError,
        KeyError,
        NotImplementedError,
        AttributeError,
        OverflowError,
        BytesLengthException,
    )


def text_at(dataset: Dataset, keyword: str) -> str:
    """A text, "" where there is none."""
    value = value_of(dataset, keyword)
    return "" if value is None else str(value).strip(" \0")


def texts_at(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Texts of a list, () where there is none."""
    value = value_of(dataset, keyword)
    if value is None or value == "":
        return ()
    return (value.strip(),) if isinstance(value, str) else tuple(str(part).strip() for part in value)


def number_at(dataset: Dataset, keyword: str) -> float | None:
    """A finite number that stands alone, else None."""
    numbers = floats_of(value_of(dataset, keyword))
    return numbers[0] if len(numbers) == 1 else None


def floats_of(value: Any) -> tuple[float, ...]:
    """Finite numbers of a value; empty if any is not one."""
    parts = value if hasattr(value, "__iter__") and not isinstance(value, str) else (value,)
    try:
        numbers = tuple(float(part) for part in parts)
    except (TypeError, ValueError):
        return ()
    return numbers if all(abs(number) < float("inf") for number in numbers) else ()


def doses_of(dataset: Dataset) -> tuple[dict[str, Any], ...]:
    """What a dataset says of each radiopharmaceutical."""
    items = value_of(dataset, DOSES) or ()
    return tuple(
        {keyword: text_at(item, keyword) for keyword in DOSE_TEXTS}
        | {keyword: number_at(item, keyword) for keyword in DOSE_NUMBERS}
        for item in items
    )
