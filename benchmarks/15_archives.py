"""Receiving from a real archive (Debian's Orthanc on loopback): DICOMweb, C-GET and C-MOVE, beside dicomweb-client.

    python benchmarks/15_archives.py [--out FILE.json] [--patients 6] [--repeats 3]

Phantom patients, one CT of about 40 slices and one structure set each, and a PET of two. Best of the repeats; what is
timed is all of it: asking, announcing, receiving, writing and looking at each file. The peer lists series by QIDO-RS,
takes each with `iter_series` and writes what it decoded with pydicom. The archive runs in a network namespace of its
own, so root is needed (and the packages orthanc, orthanc-dicomweb and iproute2).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from fiducial.archive.pseudonym import Pseudonyms
from fiducial.archive.sources import fetch, remote
from fiducial.phantom.hospital import Planting, make_patients, write_hospital
from fiducial.records.progress import silent

ROOT = Path(__file__).parents[1]


def archive_of_the_tests() -> ModuleType:
    """The module that starts an Orthanc for the tests."""
    place = ROOT / "tests" / "archive" / "sources" / "orthanc.py"
    spec = importlib.util.spec_from_file_location("orthanc_of_the_tests", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def by_peer(port: int, login: tuple[str, str], folder: Path) -> None:
    """Everything by dicomweb-client alone."""
    from dicomweb_client import DICOMwebClient
    from requests import Session

    session = Session()
    session.auth = login
    client = DICOMwebClient(f"http://localhost:{port}/dicom-web", session=session)
    for entry in client.search_for_series():
        study, series = (entry[tag]["Value"][0] for tag in ("0020000D", "0020000E"))
        media_types = (("application/dicom", "*"),)
        for number, dataset in enumerate(client.iter_series(study, series, media_types=media_types)):
            dataset.save_as(folder / f"{series}-{number}.dcm")


def best(job: Callable[[Path], object], repeats: int) -> tuple[float, int, int]:
    """Seconds of the fastest run, files and bytes that it wrote."""
    seconds = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as name:
            begun = time.perf_counter()
            job(Path(name))
            seconds.append(time.perf_counter() - begun)
            sizes = [path.stat().st_size for path in Path(name).rglob("*.dcm")]
    return min(seconds), len(sizes), sum(sizes)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path)
    parser.add_argument("--patients", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    under_test = archive_of_the_tests()
    if os.geteuid() != 0 or not under_test.PLUGIN.exists():
        print("skipped: root, orthanc, orthanc-dicomweb and iproute2 are needed")
        return
    hold = ["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec sleep infinity"]
    with tempfile.TemporaryDirectory() as name, subprocess.Popen(hold, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"up\n"
        folder, network = Path(name), under_test.Network(holder.pid)
        files = write_hospital(make_patients(options.patients, seed=1), folder, planting=Planting(n_pet=2))
        archive = under_test.start_orthanc(folder / "orthanc", network)
        try:
            with network.entered():
                under_test.stow(archive, sorted(path for path in files.rglob("*") if path.is_file()))
                results = measure(archive, under_test, options)
        finally:
            archive.stop()
            holder.kill()
    if options.out:
        options.out.write_text(json.dumps(results, indent=1) + "\n")


def measure(archive: object, under_test: ModuleType, options: argparse.Namespace) -> list[dict[str, float | str]]:
    """One row for each way."""
    names, access = Pseudonyms(bytes(32)), replace(under_test.QUICK, timeout_s=60)
    addresses = {
        "DICOMweb": archive.web(),
        "C-GET": archive.dimse(),
        "C-MOVE": archive.dimse(f"retrieve=move&move_port={archive.move}"),
    }
    jobs: dict[str, Callable[[Path], object]] = {
        way: lambda place, address=address: fetch(remote(address, access), place, names=names, progress=silent)
        for way, address in addresses.items()
    }
    login = (under_test.USER, under_test.PASSWORD)
    jobs["dicomweb-client, iter_series"] = lambda place: by_peer(archive.http, login, place)
    n_series = 2 * options.patients + 2
    print(f"{n_series} series; {'way':<31} {'s':>6} {'series/s':>9} {'files/s':>8} {'MB/s':>6}")
    results = []
    for way, job in jobs.items():
        seconds, n_files, n_bytes = best(job, options.repeats)
        row = {"way": way, "seconds": seconds, "series_per_s": n_series / seconds, "files_per_s": n_files / seconds}
        results.append(row | {"mb_per_s": n_bytes / 1e6 / seconds, "n_files": n_files})
        print(
            f"           {way:<31} {seconds:6.2f} {row['series_per_s']:9.1f} {row['files_per_s']:8.0f} "
            f"{results[-1]['mb_per_s']:6.1f}"
        )
    return results


if __name__ == "__main__":
    main()
