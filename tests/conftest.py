"""Fixtures that every room's tests share."""

from __future__ import annotations

import importlib.util
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

ROOT = Path(__file__).parents[1]
# As the command line does (decision 0009); read when OpenMP is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# A shell that starts this in the background has Ctrl-C ignored, here and in every process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
# No test is a matter of time: a busy machine fails nothing.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real, openly licensed data sets; a test that asks for it is skipped where there is none."""
    folder = Path(os.environ.get("FIDUCIAL_DATA", "") or ROOT.parent / "shared" / "data")
    if not (folder / "README.md").is_file():
        pytest.skip(f"no real data sets in {folder}; set FIDUCIAL_DATA to the folder that holds them")
    return folder


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium binary; a test that asks for it is skipped where there is none."""
    import shutil

    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    pytest.skip("no Chromium on the search path; install the package chromium to run the browser tests")


TINY_STUDY = """
[study]
name = "discs"
intended_use = "Tests: outline a bright disc"

[data]
cohort = "cohort"
split = {by = "subject", fractions = {train = 0.5, validation = 0.1, calibration = 0.1, test = 0.3}, seed = 0}
attributes = ["site"]
minimum_n = 3

[task]
kind = "segmentation"
targets = ["label_1"]

[train]
minutes = 0.05
memory_gb = 1

[[accept]]
metric = "dice"
statistic = "low"
at_least = 0.3
"""


@dataclass(frozen=True)
class Tiny:
    """A folder with a cohort of 30 small pictures, a study and, once trained, its run."""

    folder: Path

    @property
    def cohort(self) -> Path:
        """The cohort folder."""
        return self.folder / "cohort"

    @property
    def study(self) -> Path:
        """The study file."""
        return self.folder / "discs.toml"

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.folder / "run"


def write_discs(folder: Path, n: int = 30) -> Path:
    """Write ``images/`` and ``labels/``: a bright disc of its own size and place in each picture; and labels.csv."""
    import numpy as np
    from PIL import Image

    generator = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.arange(32), np.arange(32), indexing="ij"))
    rows = ["image,subject,site,large"]
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for k in range(n):
        radius = generator.uniform(4, 9)
        inside = np.linalg.norm(grid - generator.uniform(11, 20, (2, 1, 1)), axis=0) < radius
        picture = np.clip(60 + 120 * inside + generator.normal(0, 12, inside.shape), 0, 255).astype(np.uint8)
        Image.fromarray(picture).save(folder / "images" / f"disc_{k:02d}.png")
        Image.fromarray(inside.astype(np.uint8)).save(folder / "labels" / f"disc_{k:02d}.png")
        rows.append(f"disc_{k:02d},person_{k:02d},{'AB'[k % 2]},{int(radius > 6.5)}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="session")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 30 pictures with masks and a labels file."""
    return write_discs(tmp_path_factory.mktemp("discs"))


@pytest.fixture(scope="session")
def tiny_cohort(tmp_path_factory: pytest.TempPathFactory, discs: Path) -> Tiny:
    """The pictures ingested, with a study beside them; not trained."""
    from fiducial.flows import ingest

    tiny = Tiny(tmp_path_factory.mktemp("tiny"))
    ingest(discs, tiny.cohort, workers=1)
    tiny.study.write_text(TINY_STUDY)
    return tiny


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory, tiny_cohort: Tiny) -> Tiny:
    """The same, run to the end: trained, predicted, audited once, reported. Do not change it: take `tiny`."""
    import shutil

    from fiducial.flows import run

    tiny = Tiny(tmp_path_factory.mktemp("run") / "tiny")
    shutil.copytree(tiny_cohort.folder, tiny.folder)
    run(tiny.study, tiny.run)
    return tiny


@pytest.fixture
def tiny(tmp_path: Path, tiny_run: Tiny) -> Tiny:
    """A copy of the finished run that a test may change."""
    import shutil

    shutil.copytree(tiny_run.folder, tmp_path / "tiny")
    return Tiny(tmp_path / "tiny")


def write_dicom_picture(path: Path, pixels: Any, sop_class: str = "1.1", **attributes: Any) -> Path:
    """Write a picture or cine as DICOM: [row, column], [frame, row, column], and RGB as the last axis of three.

    ``sop_class`` is the last part of the class (``1.1`` is DX for presentation); ``attributes`` by keyword, in which
    None removes one and ``TransferSyntaxUID`` belongs to the file itself; bytes in ``PixelData`` replace the pixels.
    """
    import numpy as np
    from pydicom.config import disable_value_validation
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    array = np.asarray(pixels)
    colour = array.ndim > 2 and array.shape[-1] == 3
    signed = array.dtype.kind == "i"
    dataset = Dataset()
    dataset.SOPClassUID = f"1.2.840.10008.5.1.4.1.1.{sop_class}"
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=[str(path)])
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "2.25.11", "2.25.12"
    dataset.PatientID, dataset.PatientName, dataset.InstanceNumber = "QX-7781-ZW", "Unverwechselbar^Amalia", 1
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        dataset.PlanarConfiguration = 0
    shape = array.shape[:-1] if colour else array.shape
    if len(shape) == 3:
        dataset.NumberOfFrames = shape[0]
    dataset.Rows, dataset.Columns = shape[-2:]
    bits = array.dtype.itemsize * 8
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = (
        bits,
        bits,
        bits - 1,
        signed,
    )
    raw = array.tobytes()
    dataset.PixelData = raw + b"\0" * (len(raw) % 2)
    syntax = attributes.pop("TransferSyntaxUID", ExplicitVRLittleEndian)
    with disable_value_validation():
        for keyword, value in attributes.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)
    dataset["PixelData"].VR = "OW" if dataset.BitsAllocated > 8 else "OB"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    path.parent.mkdir(parents=True, exist_ok=True)
    with disable_value_validation():
        dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture(scope="session")
def dicom_picture() -> Callable[..., Path]:
    """`write_dicom_picture`."""
    return write_dicom_picture


@pytest.fixture(scope="session")
def nrrd_files() -> Any:
    """The functions of `archive/nrrd_files.py`, which write NRRD by hand."""
    place = ROOT / "tests" / "archive" / "nrrd_files.py"
    spec = importlib.util.spec_from_file_location("nrrd_files", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
