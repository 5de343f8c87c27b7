"""Fixtures of the archive under test."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fiducial.phantom.hospital import Planting, make_patients, write_hospital

from .orthanc import MORTAL, PLUGIN, Network, Orthanc, start_orthanc, stow


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    """A network of loopback alone where this user may make one, else the machine's own."""
    if shutil.which("Orthanc") is None or not PLUGIN.exists():
        pytest.skip("no Orthanc with DICOMweb: install the packages orthanc and orthanc-dicomweb")
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None:
        yield Network(None)
        return
    command = [*MORTAL, "unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec sleep infinity"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as holder:
        try:
            up = holder.stdout is not None and holder.stdout.readline() == b"up\n"
            yield Network(holder.pid if up else None)
        finally:
            holder.kill()


@pytest.fixture
def inside(network: Network) -> Iterator[Network]:
    """The test runs in the archive's network."""
    with network.entered():
        yield network


@pytest.fixture
def dimse_allowed(network: Network) -> None:
    """Skip where the DICOM port would listen on every interface."""
    if network.holder is None:
        pytest.skip("DIMSE is tested in a network namespace of its own, which this user may not make (root may)")


@pytest.fixture(scope="session")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The DICOM files of three phantom patients, one with a PET."""
    return write_hospital(
        make_patients(3, seed=5), tmp_path_factory.mktemp("hospital"), workers=1, planting=Planting(n_pet=1)
    )


@pytest.fixture(scope="session")
def orthanc(network: Network, hospital: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """An Orthanc that holds the phantom patients, stored over STOW-RS."""
    running = start_orthanc(tmp_path_factory.mktemp("orthanc"), network)
    try:
        with network.entered():
            stow(running, sorted(path for path in hospital.rglob("*") if path.is_file()))
        yield running
    finally:
        running.stop()
