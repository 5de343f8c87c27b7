"""A written SEG in OHIF on its CT: the voxels of the page are those of the file, and the images stay as they are."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fiducial.archive import write_nifti
from fiducial.archive.dicom import DicomHeader, find_series, stack_series, write_series
from fiducial.flows import ExportSettings, export
from fiducial.records.image import Geometry, Image

SHAPE = (64, 48, 12)


@pytest.fixture
def dist() -> Path:
    """OHIF's prebuilt pages, which no package of this project brings."""
    folder = Path(os.environ.get("FIDUCIAL_OHIF", "") or "no such folder")
    if not (folder / "index.html").is_file():
        pytest.skip("no OHIF: `npm pack @ohif/app`, unpack it and set FIDUCIAL_OHIF to its package/dist")
    if shutil.which("Orthanc") is None:
        pytest.skip("no Orthanc on the search path (packages orthanc, orthanc-dicomweb)")
    return folder


@pytest.mark.browser
def test_ohif_holds_the_voxels_of_the_file(dist: Path, chromium: str, root: Path, tmp_path: Path) -> None:
    grid = Geometry(np.diag([-1.0, -1.0, 3.0, 1.0]), SHAPE)
    voxels = np.random.default_rng(0).normal(0, 40, (1, *SHAPE))
    write_series(Image(voxels, grid, "CT", "HU"), tmp_path / "ct", DicomHeader("P1", series_description="phantom"))
    labels = np.zeros(SHAPE, np.uint8)
    labels[10:30, 8:20, 3:9], labels[40:45, 30:40, 5] = 1, 2
    read = stack_series(find_series(tmp_path / "ct")[0]).geometry
    write_nifti(Image(labels[None], read), tmp_path / "masks" / "any.nii.gz")
    settings = ExportSettings(("seg", "sr"), structures=(("Liver", 1), ("Nodule", 2)))
    export(tmp_path / "masks", tmp_path / "ct", tmp_path / "out", settings=settings, workers=1)
    command = [sys.executable, root / "tools" / "ohif.py", tmp_path / "ct", tmp_path / "out", "--dist", dist]
    done = subprocess.run([*command, "--out", tmp_path / "a.png"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    assert said["in_ohif"] == said["in_file"] == [{"Liver": 20 * 12 * 6, "Nodule": 50}]
    assert said["images_unchanged"]
    assert (tmp_path / "a.png").stat().st_size > 10_000
