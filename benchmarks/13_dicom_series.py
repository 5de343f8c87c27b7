"""A DICOM series to a volume against SimpleITK and pydicom, and the discovery of many files against a pydicom loop.

    python benchmarks/13_dicom_series.py [--slices 300] [--files 10000] [--repeats 3] [--out FILE.json]

Every figure is a process of its own: seconds from the call to the voxels, imports not counted, and the greatest memory
that the process held above what it held before the call. The peers take turns, so that a drift of the machine shows in
all of them; medians are printed. Voxels are compared by their digest. The slices are 512 x 512, 16 bits, uncompressed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SIZE = 512
FILES_PER_SERIES = 250


def main() -> None:
    """Write the data, run each peer in turn, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--measure", nargs=2, metavar=("PEER", "FOLDER"), help="one figure in this process")
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measured(given.measure[0], Path(given.measure[1]))))
        return
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for modality in ("CT", "MR"):
            write_volume(Path(folder) / modality, modality, given.slices)
            names = ("fiducial", "SimpleITK", "pydicom")
            rows += compare(names, Path(folder) / modality, given.repeats, f"{modality} to volume")
        write_many(Path(folder) / "many", given.files)
        names = ("fiducial, 1 process", "fiducial", "pydicom loop")
        rows += compare(names, Path(folder) / "many", given.repeats, "discovery")
    report(rows, given.slices * SIZE * SIZE * 2)
    if given.out is not None:
        given.out.write_text(json.dumps({"benchmark": "dicom_series", "rows": rows}, indent=2) + "\n")


def compare(names: tuple[str, ...], folder: Path, repeats: int, task: str) -> list[dict[str, Any]]:
    """Median seconds and memory of each peer, taking turns."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for _ in range(repeats):
        for name in names:
            run = [sys.executable, __file__, "--measure", name, str(folder)]
            done = subprocess.run(run, check=True, capture_output=True, text=True)
            found[name].append(json.loads(done.stdout))
    rows = []
    for name, runs in found.items():
        row = {"task": task, "peer": name, "digest": runs[0]["digest"]}
        row |= {key: statistics.median(run[key] for run in runs) for key in ("seconds", "peak_bytes")}
        rows.append(row)
    return rows


def report(rows: list[dict[str, Any]], volume_bytes: int) -> None:
    """One line for each figure, with its ratio to ours."""
    print(f"{'task':<14}{'peer':<22}{'seconds':>9}{'x ours':>9}{'memory / volume':>18}{'same':>7}")
    for row in rows:
        ours = next(r for r in rows if r["task"] == row["task"] and r["peer"].startswith("fiducial"))
        memory = f"{row['peak_bytes'] / volume_bytes:.2f}" if row["task"] != "discovery" else "-"
        same = "yes" if row["digest"] == ours["digest"] else "NO"
        ratio = row["seconds"] / ours["seconds"]
        print(f"{row['task']:<14}{row['peer']:<22}{row['seconds']:>9.2f}{ratio:>9.2f}{memory:>18}{same:>7}")


def measured(peer: str, folder: Path) -> dict[str, Any]:
    """Run one peer and say how long it took, how much memory it needed and what it found."""
    run = PEERS[peer](folder)
    before = memory("VmRSS")
    # The greatest memory so far was that of the imports: count anew.
    Path("/proc/self/clear_refs").write_text("5")
    began = time.perf_counter()
    result = run()
    seconds = time.perf_counter() - began
    peak = memory("VmHWM") - before
    # One type for all, after the measurement: peers differ in theirs.
    content = result.astype(np.int32).tobytes("F") if isinstance(result, np.ndarray) else repr(result).encode()
    return {"seconds": seconds, "peak_bytes": peak, "digest": hashlib.sha256(content).hexdigest()[:16]}


def memory(name: str) -> int:
    """A figure of /proc/self/status in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    return 0


def fiducial_volume(folder: Path) -> Callable[[], Any]:
    """The one series of a folder."""
    import pydicom  # noqa: F401 - both sides import before the clock starts

    from fiducial.archive.dicom import read_dicom

    return lambda: read_dicom(folder).array[0]


def simpleitk_volume(folder: Path) -> Callable[[], Any]:
    """Its series reader, with GDCM's order of files."""
    import SimpleITK as sitk  # noqa: N813 - the library's own custom

    kept: list[Any] = []

    def run() -> Any:
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
        # A view costs no copy, and lives no longer than its image.
        kept.append(reader.Execute())
        return sitk.GetArrayViewFromImage(kept[0]).transpose(2, 1, 0)

    return run


def pydicom_volume(folder: Path) -> Callable[[], Any]:
    """What most people write: every file, sorted by position, rescaled."""
    import pydicom

    def run() -> Any:
        slices = [pydicom.dcmread(path) for path in folder.iterdir()]
        slices.sort(key=lambda one: float(one.ImagePositionPatient[2]))
        planes = [one.pixel_array + np.int16(one.get("RescaleIntercept", 0)) for one in slices]
        return np.stack(planes).transpose(2, 1, 0)

    return run


def fiducial_discovery(workers: int) -> Callable[[Path], Callable[[], Any]]:
    """Everything that discovery does: headers, copies, parts, objects."""

    def prepared(folder: Path) -> Callable[[], Any]:
        import pydicom  # noqa: F401 - both sides import before the clock starts

        from fiducial.archive.dicom import discover

        return lambda: sorted(len(one.headers) for one in discover(folder, workers=workers).series)

    return prepared


def pydicom_discovery(folder: Path) -> Callable[[], Any]:
    """A loop over files that groups them by series."""
    import pydicom

    def run() -> Any:
        groups: dict[str, list[Any]] = defaultdict(list)
        for path in folder.rglob("*.dcm"):
            one = pydicom.dcmread(path, stop_before_pixels=True)
            groups[one.SeriesInstanceUID].append((one.ImagePositionPatient, one.InstanceNumber))
        return sorted(len(group) for group in groups.values())

    return run


PEERS: dict[str, Callable[[Path], Callable[[], Any]]] = {
    "fiducial": lambda folder: (fiducial_discovery(0) if folder.name == "many" else fiducial_volume)(folder),
    "fiducial, 1 process": fiducial_discovery(1),
    "SimpleITK": simpleitk_volume,
    "pydicom": pydicom_volume,
    "pydicom loop": pydicom_discovery,
}


def write_volume(folder: Path, modality: str, n_slices: int) -> None:
    """One series of smooth random voxels."""
    from fiducial.archive.dicom import DicomHeader, write_series
    from fiducial.records.image import Geometry, Image

    generator = np.random.default_rng(0)
    voxels = generator.integers(0, 2000, (1, SIZE, SIZE, n_slices), dtype=np.int16)
    grid = Geometry(np.diag([-0.7, -0.7, 1.25, 1.0]), (SIZE, SIZE, n_slices))
    image = Image(voxels - (1000 if modality == "CT" else 0), grid, modality, "HU" if modality == "CT" else "")
    write_series(image, folder, DicomHeader("P"))


def write_many(folder: Path, n_files: int) -> None:
    """Series of small slices with headers as long as a scanner's (a hundred private elements)."""
    import pydicom

    from fiducial.archive.dicom import DicomHeader, write_series
    from fiducial.records.image import Geometry, Image

    grid = Geometry(np.diag([-1.0, -1.0, 2.0, 1.0]), (16, 16, FILES_PER_SERIES))
    image = Image(np.zeros((1, *grid.shape), np.int16), grid, "CT", "HU")
    for number in range(n_files // FILES_PER_SERIES):
        header = DicomHeader(f"P{number}", patient_name="Family^Given", manufacturer="Maker", model="Scanner")
        for path in write_series(image, folder / str(number), header):
            dataset = pydicom.dcmread(path)
            block = dataset.private_block(0x0029, "MAKER 01", create=True)
            for element in range(100):
                block.add_new(element, "LO", f"value {element}")
            dataset.save_as(path)


if __name__ == "__main__":
    main()
