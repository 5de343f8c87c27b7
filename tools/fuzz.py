"""Give the archive damaged files for some minutes: nothing may crash, hang, end in a traceback or stop a good series.

`python tools/fuzz.py --minutes 10` writes rounds of mutated files (from pydicom's own test files, a phantom series with
its structure set, NIfTI, PNG, JPEG, npz and zip) beside a good series, and ingests each round as a user would, through
the command line. A round fails where the exit code is neither 0 nor 2, a traceback is shown, it takes longer than
two minutes or more than 2 GiB, the good series is not accepted, a file is missing from the report, or a row says
``unexpected`` (an error that nobody thought of). `--seed` names the first round; a failing round is kept in `--keep`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

FILES_A_ROUND = 60
LARGEST_SEED = 300_000
LONGEST_S = 120
LARGEST_MIB = 2048
HOSTILE_NUMBERS = (0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
COMMAND = (sys.executable, "-c", "import fiducial.cli.main as m; m.main()")


def flip(content: bytearray, rng: np.random.Generator) -> bytearray:
    """Change up to 64 bytes anywhere."""
    for at in rng.integers(0, len(content), int(rng.integers(1, 65))):
        content[at] = int(rng.integers(0, 256))
    return content


def flip_head(content: bytearray, rng: np.random.Generator) -> bytearray:
    """Change some bytes of the first two kilobytes, where headers are."""
    for at in rng.integers(0, min(len(content), 2048), int(rng.integers(1, 9))):
        content[at] = int(rng.integers(0, 256))
    return content


def cut(content: bytearray, rng: np.random.Generator) -> bytearray:
    """Keep the beginning."""
    return content[: int(rng.integers(0, len(content)))]


def numbers(content: bytearray, rng: np.random.Generator) -> bytearray:
    """Put extreme lengths where lengths may be: on even places."""
    for _ in range(int(rng.integers(1, 5))):
        at = 2 * int(rng.integers(0, max(1, (len(content) - 4) // 2)))
        width = "<I" if rng.random() < 0.6 else "<H"
        value = int(rng.choice(HOSTILE_NUMBERS))
        packed = struct.pack(width, value & (0xFFFFFFFF if width == "<I" else 0xFFFF))
        content[at : at + len(packed)] = packed
    return content


def repeat(content: bytearray, rng: np.random.Generator) -> bytearray:
    """Put a piece of the file in again somewhere else."""
    start, stop = sorted(rng.integers(0, len(content), 2))
    at = int(rng.integers(0, len(content)))
    return content[:at] + content[start : min(stop, start + 50_000)] + content[at:]


def remove(content: bytearray, rng: np.random.Generator) -> bytearray:
    """Take a piece out."""
    start = int(rng.integers(0, len(content)))
    return content[:start] + content[start + int(rng.integers(1, 200)) :]


MUTATIONS: tuple[Callable[[bytearray, np.random.Generator], bytearray], ...] = (
    flip,
    flip_head,
    cut,
    numbers,
    repeat,
    remove,
)


def seeds(folder: Path) -> dict[str, list[tuple[str, bytes]]]:
    """Whole files to damage, by layout: DICOM, and images of other formats."""
    from PIL import Image as Pillow
    from pydicom.data import get_testdata_files

    from fiducial.archive import write_nifti
    from fiducial.phantom.hospital import Planting, make_patients, render, write_hospital
    from fiducial.phantom.planted import PLANTED

    kinds = [kind for kind in PLANTED if kind != "burned_in"]
    patients = make_patients(len(kinds) + 1, seed=1)
    hospital = write_hospital(patients, folder, workers=1, planting=Planting(kinds=dict.fromkeys(kinds, 1), n_pet=1))
    dicom = [path for path in map(Path, get_testdata_files("**/*")) if path.is_file()]
    for visit in sorted(hospital.iterdir()):
        files = sorted(path for path in visit.rglob("*") if path.is_file())
        dicom += [*files[:2], *sorted(files, key=lambda p: p.stat().st_size)[-2:]]
    image, mask = render(patients[0])
    rng = np.random.default_rng(0)
    write_nifti(image, folder / "a.nii.gz")
    small = mask[:20, :20, :10].astype(np.uint8)
    write_nifti(type(image)(small[None], type(image.geometry)(np.eye(4), small.shape), "", ""), folder / "b.nii")
    Pillow.fromarray(rng.integers(0, 255, (40, 30, 3)).astype(np.uint8)).save(folder / "c.png")
    Pillow.fromarray(rng.integers(0, 255, (40, 30)).astype(np.uint8)).save(folder / "d.jpg")
    images = [folder / name for name in ("a.nii.gz", "b.nii", "c.png", "d.jpg")]
    small_enough = {path: path.read_bytes() for path in dicom if path.stat().st_size <= LARGEST_SEED}
    return {
        "dicom": [(path.name, content) for path, content in small_enough.items() if len(content) > 8],
        "images": [(path.name, path.read_bytes()) for path in images],
    }


def write_round(source: Path, kind: str, whole: list[tuple[str, bytes]], rng: np.random.Generator) -> None:
    """Write a round's damaged files."""
    for number in range(FILES_A_ROUND):
        name, content = whole[int(rng.integers(len(whole)))]
        damaged = bytearray(content)
        for _ in range(int(rng.integers(1, 3))):
            if damaged:
                damaged = MUTATIONS[int(rng.integers(len(MUTATIONS)))](damaged, rng)
        place = source / f"{number:03d}" if kind == "dicom" else source
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number:03d}-{name}").write_bytes(damaged)


def write_good(source: Path, kind: str) -> None:
    """What must be accepted whatever lies beside it."""
    from fiducial.archive import write_nifti
    from fiducial.archive.dicom import DicomHeader, write_series
    from fiducial.records.image import Geometry, Image

    grid = Geometry(np.diag([-1.0, -1.0, 2.0, 1.0]), (16, 16, 4))
    image = Image(np.arange(1024, dtype=np.int16).reshape(1, 16, 16, 4), grid, "CT", "HU")
    if kind == "dicom":
        write_series(image, source / "good", DicomHeader("GOOD-0001"))
    else:
        write_nifti(image, source / "good.nii.gz")


def verdict(source: Path, out: Path, done: subprocess.CompletedProcess[str]) -> str:
    """What is wrong with a round; empty where nothing is."""
    if done.returncode != 0 or "Traceback" in done.stdout + done.stderr:
        return f"exit code {done.returncode}: {done.stderr[-300:]}"
    rows = json.loads((out / "ingest.json").read_text())["rows"]
    good = any(row["status"] == "accepted" and "good" in row["source"] for row in rows)
    unexpected = [row["reason"] for row in rows if row["reason"].startswith("unexpected")]
    named = sum(row["n_files"] for row in rows)
    there = sum(path.is_file() for path in source.rglob("*"))
    problems = {
        "the good series was not accepted": not good,
        f"{len(unexpected)} rows say {unexpected[:1]}": bool(unexpected),
        f"{there - named} of {there} files are in no row": named < there,
    }
    return "; ".join(said for said, so in problems.items() if so)


def run_round(number: int, kind: str, whole: list[tuple[str, bytes]], folder: Path) -> tuple[str, Counter[str]]:
    """One round: its verdict, and how many rows had which status and code."""
    source, out = folder / "source", folder / "cohort"
    write_round(source, kind, whole, np.random.default_rng([number, len(whole)]))
    write_good(source, kind)
    command = [*COMMAND, "ingest", str(source), "--out", str(out), "--workers", "2", "--quiet"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_S, check=False)
    except subprocess.TimeoutExpired:
        return f"longer than {LONGEST_S} s", Counter()
    wrong = verdict(source, out, done)
    said: Counter[str] = Counter()
    if (out / "ingest.json").exists():
        for row in json.loads((out / "ingest.json").read_text())["rows"]:
            said[f"{row['status']} {row['reason'].partition(':')[0]}".strip()] += 1
    return wrong, said


def main() -> None:
    """Fuzz for some minutes and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0, help="number of the first round")
    parser.add_argument("--keep", type=Path, help="folder that keeps the sources of failing rounds")
    parser.add_argument("--json", type=Path, help="file for the figures")
    given = parser.parse_args()
    begun, number, failing = time.monotonic(), given.seed, {}
    said: Counter[str] = Counter()
    n_files = 0
    with tempfile.TemporaryDirectory() as scratch:
        whole = seeds(Path(scratch) / "seeds")
        begun = time.monotonic()
        while time.monotonic() - begun < given.minutes * 60:
            kind = "images" if number % 5 == 4 else "dicom"
            folder = Path(scratch) / f"round-{number}"
            wrong, counted = run_round(number, kind, whole[kind], folder)
            said += counted
            n_files += FILES_A_ROUND
            if wrong:
                failing[number] = wrong
                print(f"round {number} ({kind}): {wrong}", flush=True)
                if given.keep:
                    shutil.copytree(folder, given.keep / f"round-{number}", dirs_exist_ok=True)
            shutil.rmtree(folder)
            number += 1
    peak_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    figures: dict[str, Any] = {
        "rounds": number - given.seed,
        "files": n_files,
        "minutes": round((time.monotonic() - begun) / 60, 2),
        "failing_rounds": failing,
        "largest_process_mib": round(peak_mib),
        "rows": dict(said.most_common()),
    }
    print(json.dumps(figures, indent=1))
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + os.linesep)
    sys.exit(bool(failing) or peak_mib > LARGEST_MIB)


if __name__ == "__main__":
    main()
