"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


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
