"""A radiograph and a colour film as DICOM: seconds, peak memory and voxels, beside pydicom and SimpleITK.

Each figure is the best of three in a process of its own; memory is what the process gained at its peak over the size of
the result.

python benchmarks/18_pictures.py --json pictures.json
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

READERS = ("fiducial", "pydicom", "SimpleITK")
CASES = ("radiograph 3000 x 2500, 14 bits, MONOCHROME1", "film of 200 frames 640 x 480, JPEG colour")


def write(folder: Path) -> list[Path]:
    """A radiograph with slope and intercept, and a film of smooth colours with a little noise."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit

    rng = np.random.default_rng(0)
    files = []
    for name, sop_class in (("radiograph", "1.1"), ("film", "3.1")):
        dataset = Dataset()
        dataset.SOPClassUID = f"1.2.840.10008.5.1.4.1.1.{sop_class}"
        dataset.SOPInstanceUID, dataset.SeriesInstanceUID, dataset.StudyInstanceUID = "2.25.1", "2.25.2", "2.25.3"
        dataset.PatientID, dataset.PixelRepresentation = "X", 0
        dataset.file_meta = FileMetaDataset()
        if name == "radiograph":
            dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 3000, 2500, 1
            dataset.PhotometricInterpretation = "MONOCHROME1"
            dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 14, 13
            dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
            dataset.PixelData = rng.integers(0, 2**14, (3000, 2500), dtype=np.uint16).tobytes()
            dataset["PixelData"].VR = "OW"
            dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        else:
            dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 480, 640, 3
            dataset.PhotometricInterpretation, dataset.PlanarConfiguration = "YBR_FULL_422", 0
            dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
            dataset.NumberOfFrames, dataset.FrameTime = 200, 40
            dataset.PixelData = encapsulate([_jpeg(k, rng) for k in range(200)])
            dataset["PixelData"].VR = "OB"
            dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        files.append(folder / f"{name}.dcm")
        dataset.save_as(files[-1], enforce_file_format=True)
    return files


def _jpeg(k: int, rng: np.random.Generator) -> bytes:
    from io import BytesIO

    from PIL import Image

    y, x = np.mgrid[:480, :640]
    waves = np.stack([np.sin(x / 40 + k / 9), np.cos(y / 50 - k / 7), np.sin((x + y) / 60)], axis=-1)
    frame = np.clip(128 + 90 * waves + rng.normal(0, 6, waves.shape), 0, 255).astype(np.uint8)
    out = BytesIO()
    Image.fromarray(frame).save(out, "JPEG", quality=90)
    return out.getvalue()


def read(reader: str, path: Path) -> Any:
    """The whole image as each library's users read it: rescaled, RGB."""
    if reader == "fiducial":
        from fiducial.archive import read_image

        return read_image(path).array
    if reader == "pydicom":
        import pydicom
        from pydicom.pixels.processing import apply_modality_lut

        dataset = pydicom.dcmread(path)
        return apply_modality_lut(dataset.pixel_array, dataset)
    import SimpleITK as sitk  # noqa: N813 - its own documentation's name

    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def measure(reader: str, path: Path) -> dict[str, float]:
    """Seconds, and the peak of memory over the result's size; the library is loaded before."""
    import pydicom.pixels  # noqa: F401
    import SimpleITK  # noqa: F401

    import fiducial.archive.dicom.pictures  # noqa: F401

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    array = read(reader, path)
    seconds = time.perf_counter() - start
    gained = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    return {"seconds": seconds, "memory": gained / array.nbytes, "megabytes": array.nbytes / 1e6}


def main() -> None:
    """Print a line for each reader and case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one[0], Path(given.one[1]))))
        return
    rows = []
    print(f"{'case':<48}{'reader':<12}{'s':>8}{'MB':>8}{'peak / result':>15}")
    with tempfile.TemporaryDirectory() as scratch:
        for case, path in zip(CASES, write(Path(scratch)), strict=True):
            for reader in READERS:
                tries = [
                    json.loads(
                        subprocess.run(
                            [sys.executable, __file__, "--one", reader, str(path)],
                            check=True,
                            capture_output=True,
                            text=True,
                        ).stdout
                    )
                    for _ in range(3)
                ]
                best = min(tries, key=lambda one: one["seconds"])
                rows.append({"case": case, "reader": reader, **best})
                print(f"{case:<48}{reader:<12}{best['seconds']:>8.2f}{best['megabytes']:>8.0f}{best['memory']:>15.2f}")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
