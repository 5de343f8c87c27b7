"""Small series with known voxels, and ways to break them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from fiducial.archive.dicom import DicomHeader, PetDose, write_series
from fiducial.records.image import Geometry, Image

PATIENT = "QX-7781-ZW"
HEADER = DicomHeader(
    patient_id=PATIENT,
    patient_name="Unverwechselbar^Amalia",
    birth_date="19560317",
    sex="F",
    age_years=68,
    weight_kg=71.5,
    study_date="20240511",
    study_time="101530",
    accession_number="ACC99812",
    institution="Saint Elsewhere",
    site="north",
    manufacturer="Phantom Works",
    model="PW-1",
    kernel="B30f",
    kvp=120,
)
DOSE = PetDose(dose_bq=3.7e8, injected=datetime(2024, 5, 11, 9, 0, 0), scanned=datetime(2024, 5, 11, 10, 0, 0))
AXIAL = np.array([[-0.9, 0, 0, 12.5], [0, -0.8, 0, 20.25], [0, 0, 2.5, -7.75], [0, 0, 0, 1.0]])


def asymmetric(shape: tuple[int, int, int] = (8, 6, 5)) -> np.ndarray:
    """Voxels that are equal to no mirrored or turned copy of themselves: 100 x + 10 y + z."""
    x, y, z = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    return (100 * x + 10 * y + z).astype(np.int16)[None]


@pytest.fixture
def header() -> DicomHeader:
    return HEADER


@pytest.fixture
def dose() -> PetDose:
    return DOSE


@pytest.fixture
def ct() -> Image:
    """An 8 x 6 x 5 CT of unequal spacings."""
    return Image(asymmetric(), Geometry(AXIAL, (8, 6, 5)), "CT", "HU")


@pytest.fixture
def make_ct(ct: Image) -> Callable[..., list[Path]]:
    """Write the CT into a folder; each file may then be edited: ``edit(dataset, slice_index)``."""

    def make(
        folder: Path, edit: Callable[[pydicom.Dataset, int], None] | None = None, header: DicomHeader = HEADER
    ) -> list[Path]:
        return edited(write_series(ct, folder, header), edit)

    return make


@pytest.fixture
def make_pet(ct: Image) -> Callable[..., list[Path]]:
    """Write a PET of 0 to 7 SUV into a folder."""

    def make(folder: Path, edit: Callable[[pydicom.Dataset, int], None] | None = None) -> list[Path]:
        image = Image(ct.array.astype(np.float32) / 100, ct.geometry, "PT", "SUV")
        header = DicomHeader(patient_id=PATIENT, weight_kg=71.5, pet=DOSE)
        return edited(write_series(image, folder, header), edit)

    return make


@pytest.fixture
def mutations() -> Callable[..., Iterator[bytes]]:
    """A file's bytes, broken in many ways by a seed: cut short, or some bytes changed, after the preamble."""

    def broken(path: Path, n: int = 150, seed: int = 0) -> Iterator[bytes]:
        draw = np.random.default_rng(seed)
        whole = path.read_bytes()
        for _ in range(n):
            content = bytearray(whole)
            if draw.random() < 0.2:
                yield bytes(content[: draw.integers(132, len(content))])
                continue
            for place in draw.integers(132, len(content), draw.choice([1, 1, 2, 5, 20])):
                content[place] = draw.choice([0, 255, draw.integers(256), content[place] ^ 1 << draw.integers(8)])
            yield bytes(content)

    return broken


def edited(paths: list[Path], edit: Callable[[Any, int], None] | None) -> list[Path]:
    """Apply an edit to each file in place."""
    if edit is not None:
        for index, path in enumerate(paths):
            dataset = pydicom.dcmread(path)
            edit(dataset, index)
            dataset.save_as(path, enforce_file_format=False)
    return paths
