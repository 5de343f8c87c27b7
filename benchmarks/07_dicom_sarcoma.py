"""One real patient as DICOM against the same images as NIfTI: voxels, affine and RTSTRUCT masks.

python benchmarks/07_dicom_sarcoma.py --data ../shared/data/dicom_sarcoma
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np


def main() -> None:
    """Print a line for each series."""
    from fiducial.archive import read_image, read_mask
    from fiducial.archive.dicom import find_series, read_series, stack_series
    from fiducial.archive.rtstruct import read_rtstruct

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/dicom_sarcoma"))
    data = parser.parse_args().data
    print(f"{'series':<8}{'unit':<6}{'voxel difference':>18}{'affine difference':>20}{'mask Dice':>11}")
    for name in ("CT", "MR_T1", "PET"):
        (series,) = find_series(data / "STS_002" / name / "image")
        image = read_series(series)
        truth = read_image(data / "STS_002_nifti" / f"{name}_image.nii.gz")
        voxels = float(np.abs(image.array.astype(np.float64) - truth.array).max())
        affine = float(np.abs(image.geometry.affine - truth.geometry.affine).max())
        masks = read_rtstruct(data / "STS_002" / name / "mask" / "RS.dcm", stack_series(series).reference)
        (mask,) = masks.values()
        other = read_mask(data / "STS_002_nifti" / f"{name}_mask.nii.gz", label=1).array[0]
        dice = 2 * (mask & other).sum() / (mask.sum() + other.sum())
        print(f"{name:<8}{image.unit or '-':<6}{voxels:>18.2g}{affine:>20.2g}{dice:>11.6f}")


if __name__ == "__main__":
    main()
