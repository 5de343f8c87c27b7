"""PyRadiomics itself beside ours, in an environment of its own: ``python tools/pyradiomics_beside.py PYTHON``.

PYTHON is an interpreter that has pyradiomics 3.0.1 (it needs a compiler and NumPy 1) and scikit-image (for LBP2D). It
computes every one of `CONFIGURATIONS` on PyRadiomics' sample images; what agrees goes into
tools/pyradiomics_beside.csv, of which ``python tools/pyradiomics.py`` makes a section of the page of agreement.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from pyradiomics import EXACT, ROOT, image_and_mask

from fiducial.errors import InputRefused
from fiducial.features.radiomics import radiomics
from fiducial.features.radiomics.pyradiomics import parameters_of

HELD = Path(__file__).with_name("pyradiomics_beside.csv")
CASES = ("brain1", "breast1")
SIGMA_1 = {"resegmentRange": [-1, 1], "resegmentMode": "sigma"}
FINE = {"resampledPixelSpacing": [1.5, 1.5, 3]}
CONFIGURATIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "defaults": ({}, {}),
    "voxelArrayShift": ({"voxelArrayShift": 2000}, {}),
    "force2D, z": ({"force2D": True}, {}),
    "force2D, y": ({"force2D": True, "force2Ddimension": 1}, {}),
    "force2D, x": ({"force2D": True, "force2Ddimension": 2}, {}),
    "binCount": ({"binCount": 64}, {}),
    "weightingNorm euclidean": ({"weightingNorm": "euclidean"}, {}),
    "weightingNorm manhattan": ({"weightingNorm": "manhattan"}, {}),
    "weightingNorm infinity": ({"weightingNorm": "infinity"}, {}),
    "weightingNorm no_weighting": ({"weightingNorm": "no_weighting"}, {}),
    "symmetricalGLCM off": ({"symmetricalGLCM": False}, {}),
    "distances 1 and 2, gldm_a 2": ({"distances": [1, 2], "gldm_a": 2}, {}),
    "distances 2": ({"distances": [2]}, {}),
    "distances 1 and 3, force2D": ({"distances": [1, 3], "force2D": True}, {}),
    "one grey level": ({"binWidth": 5000, "resegmentRange": [0]}, {}),
    "normalize": ({"normalize": True, "normalizeScale": 100, "binWidth": 5}, {}),
    "normalize, removeOutliers": (
        {"normalize": True, "normalizeScale": 100, "binWidth": 5, "removeOutliers": 1.5},
        {},
    ),
    "resampledPixelSpacing": ({"resampledPixelSpacing": [2, 2, 2]}, {}),
    "resampledPixelSpacing in the plane, sitkLinear": (
        {"resampledPixelSpacing": [2, 2, 0], "interpolator": "sitkLinear", "padDistance": 2},
        {},
    ),
    "resegmentRange, sigma": (SIGMA_1, {}),
    "resegmentRange, sigma, resegmentShape": ({**SIGMA_1, "resegmentShape": True}, {}),
    "resegmentRange, relative": ({"resegmentRange": [0.5], "resegmentMode": "relative"}, {}),
    "LoG 1.0 and 3": ({}, {"LoG": {"sigma": [1.0, 3]}}),
    "LoG 2.5, resampled": (FINE, {"LoG": {"sigma": [2.5]}}),
    "Wavelet": ({}, {"Wavelet": {}}),
    "Wavelet db2, levels 2 and 3, resampled": (
        FINE,
        {"Wavelet": {"wavelet": "db2", "level": 2, "start_level": 1, "binWidth": 250}},
    ),
    "Wavelet, force2D, preCrop": ({"force2D": True, "preCrop": True}, {"Wavelet": {}}),
    "Square": ({}, {"Square": {}}),
    "SquareRoot": ({}, {"SquareRoot": {}}),
    "Logarithm": ({}, {"Logarithm": {}}),
    "Exponential": ({}, {"Exponential": {}}),
    "Gradient": ({}, {"Gradient": {}}),
    "Gradient by voxel, resampled": (FINE, {"Gradient": {"gradientUseSpacing": False}}),
    "LBP2D": ({}, {"LBP2D": {"binWidth": 1}}),
    "LBP2D, x, resampled": ({**FINE, "force2D": True, "force2Ddimension": 2}, {"LBP2D": {"binWidth": 1}}),
}
"""Settings and image types by what they try."""
THEIRS = """
import json, logging, sys
logging.disable(logging.CRITICAL)
import radiomics
from radiomics.featureextractor import RadiomicsFeatureExtractor
given = json.load(sys.stdin)
found = {"version": radiomics.__version__}
for name, (setting, types) in given["configurations"].items():
    for case in given["cases"]:
        extractor = RadiomicsFeatureExtractor(**setting)
        if types:
            extractor.disableAllImageTypes()
        for kind, own in types.items():
            extractor.enableImageTypeByName(kind, customArgs=own)
        image, mask = (given["folder"] + "/" + case + end for end in ("_image.nrrd", "_label.nrrd"))
        values = extractor.execute(image, mask)
        found[name + "|" + case] = {k: float(v) for k, v in values.items() if not k.startswith("diagnostics")}
json.dump(found, sys.stdout)
"""


def theirs(python: str, data: Path) -> dict[str, Any]:
    """What PyRadiomics gives for every configuration and image."""
    given = {"configurations": CONFIGURATIONS, "cases": CASES, "folder": str(data / "pyradiomics")}
    done = subprocess.run([python, "-c", THEIRS], input=json.dumps(given), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return dict(json.loads(done.stdout))


def ours(data: Path, name: str, case: str) -> dict[str, float]:
    """What the profile gives for one of them."""
    setting, types = CONFIGURATIONS[name]
    tables = {"setting": setting, "imageType": types or None}
    try:
        table = radiomics(*image_and_mask(data, case), parameters_of(tables))
    except InputRefused as refusal:
        sys.exit(f"{name}, {case}: {refusal}")
    return dict(zip(table["pyradiomics"], table["value"], strict=True))


def main() -> None:
    """Compute both, compare, write the table; exit 1 where a value differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python", help="interpreter of an environment with pyradiomics 3.0.1")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    given = parser.parse_args()
    reference = theirs(given.python, given.data)
    version = reference.pop("version").removeprefix("v")
    rows, all_agree = [], True
    for key, values in reference.items():
        name, case = key.rsplit("|", 1)
        mine = ours(given.data, name, case)
        both = [(values[one], mine.get(one, float("nan"))) for one in values]
        errors = np.array([abs(b - a) / abs(a) if abs(a) > 1e-9 else abs(b - a) for a, b in both])
        errors[[bool(np.isnan(a) and np.isnan(b)) for a, b in both]] = 0.0
        missing = sorted(set(mine) ^ set(values))
        if missing:
            print(f"{name}, {case}: {len(missing)} values on one side alone, such as {missing[0]}")
        for one, error in zip(values, errors, strict=True):
            if not error <= EXACT:
                print(name, case, one, values[one], mine.get(one))
        all_agree &= bool((errors <= EXACT).all()) and not missing
        rows.append([name, case, version, len(errors), int((errors <= EXACT).sum()), f"{np.nanmax(errors):.0e}"])
    with HELD.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["settings", "image", "version", "values", "within", "largest_error"])
        writer.writerows(rows)
    within, n = sum(row[4] for row in rows), sum(row[3] for row in rows)
    print(f"{within:,} of {n:,} values within {EXACT:g} of PyRadiomics {version}")
    sys.exit(not all_agree)


if __name__ == "__main__":
    main()
