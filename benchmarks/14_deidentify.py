"""De-identification of CT slices, whole command, beside dicom-anonymizer on the same files.

    python benchmarks/14_deidentify.py [--files 600] [--workers 2] [--peer PYTHON] [--out FILE.json]

Files of 512 x 512 voxels are written by the archive's own writer, with a patient in every header. Measured are
``fiducial deidentify`` with its start-up (headers read, files cleaned, written, searched and reported), and, where
``--peer`` names a Python that has dicom-anonymizer (2.1, PyPI), its loop over the same folder in one process, which
replaces and removes by the same table, but neither moves dates nor searches what is left, nor reports. A plain copy of
the folder shows what the disk alone allows.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PEER = """
import sys, time
from pathlib import Path
from dicomanonymizer import anonymize_dicom_file
source, out = Path(sys.argv[1]), Path(sys.argv[2])
start = time.perf_counter()
for path in sorted(source.rglob("*.dcm")):
    anonymize_dicom_file(str(path), str(out / path.name))
print(time.perf_counter() - start)
"""
SLICES = 100


def write_patients(folder: Path, n_files: int) -> int:
    """Write series of 100 slices, one for each patient; return the bytes."""
    from fiducial.archive.dicom import DicomHeader, write_series
    from fiducial.records.image import Geometry, Image

    rng = np.random.default_rng(0)
    grid = Geometry(np.diag([-0.7, -0.7, 1.0, 1.0]), (512, 512, SLICES))
    voxels = rng.integers(-1000, 1500, (1, *grid.shape), dtype=np.int16)
    n_bytes = 0
    for k in range(0, n_files, SLICES):
        header = DicomHeader(
            patient_id=f"MRN-{k:07d}",
            patient_name=f"Phantom-{k:05d}^Somebody",
            birth_date="19600101",
            sex="F",
            age_years=64,
            weight_kg=70,
            institution="Saint Elsewhere",
            accession_number=f"A{k:09d}",
            study_description="CT chest",
            manufacturer="Phantom Works",
            model="PW-1",
            station="CT-ONE",
        )
        paths = write_series(Image(voxels, grid, "CT", "HU"), folder / f"{k:05d}", header)
        # One folder for the peer, which names its files as they are named.
        for path in paths:
            n_bytes += path.stat().st_size
            path.rename(path.with_name(f"{k:05d}-{path.name}"))
    return n_bytes


def processor_s() -> float:
    """Seconds of processor time of finished children: what the work costs, whatever else the machine does."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def by_command(source: Path, out: Path, workers: int) -> tuple[float, float]:
    """Seconds of the whole command, and of processor time."""
    script = "from fiducial.cli.main import main; main()"
    asked = ["deidentify", str(source), "--out", str(out), "--workers", str(workers), "--quiet", "--json"]
    start, before = time.perf_counter(), processor_s()
    done = subprocess.run([sys.executable, "-c", script, *asked], check=True, capture_output=True, text=True)
    seconds, used = time.perf_counter() - start, processor_s() - before
    said = json.loads(done.stdout)
    assert said["n_written"] == said["n_files"], said
    return seconds, used


def by_peer(python: str, source: Path, out: Path) -> tuple[float, float]:
    """Seconds of dicom-anonymizer's loop without its start-up, and processor time with it."""
    out.mkdir()
    before = processor_s()
    done = subprocess.run([python, "-c", PEER, source, out], check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1]), processor_s() - before


def by_copy(source: Path, out: Path) -> tuple[float, float]:
    """Seconds of a plain copy, and of processor time."""
    start, before = time.perf_counter(), time.process_time()
    shutil.copytree(source, out)
    return time.perf_counter() - start, time.process_time() - before


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=600)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--peer", default="")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        n_bytes = write_patients(folder / "in", given.files)
        n_files = sum(1 for _ in (folder / "in").rglob("*.dcm"))
        figures = {f"fiducial, {given.workers} processes": by_command(folder / "in", folder / "out", given.workers)}
        figures["fiducial, 1 process"] = by_command(folder / "in", folder / "out-1", 1)
        figures["plain copy"] = by_copy(folder / "in", folder / "copy")
        if given.peer:
            figures["dicom-anonymizer, 1 process"] = by_peer(given.peer, folder / "in", folder / "peer")
    print(f"{n_files:,} files of 512 x 512, {n_bytes / 1e6:,.0f} MB")
    print(f"{'what':<30}{'s':>8}{'files/s':>10}{'MB/s':>8}{'processor s':>14}")
    for what, (seconds, used) in figures.items():
        print(f"{what:<30}{seconds:>8.2f}{n_files / seconds:>10.0f}{n_bytes / 1e6 / seconds:>8.0f}{used:>14.2f}")
    if given.out:
        given.out.write_text(json.dumps({"n_files": n_files, "n_bytes": n_bytes, "seconds": figures}, indent=2))


if __name__ == "__main__":
    main()
