"""How well radiomics features of real PET repeat, by what is done to image and mask.

    python benchmarks/25_stability.py [--data DIR] [--workers N] [--out FILE.json]

The 51 soft-tissue sarcomas of `sarcoma_pet` (FDG-PET in SUV, tumour masks): features of IBSI 1 in the volume, at 4 mm
and 0.5 SUV for each grey level, of each region as it is and after perturbations (Zwanenburg et al. 2019). Features are
graded by the lower end of the 95 % interval of ICC(1,1). The last line is the chain of all perturbations, ten times.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from fiducial.flows import features, ingest, stability
from fiducial.records.radiomics import STABILITY
from fiducial.records.tables import read_table

SETTINGS = """
families = ["morphology", "local_intensity", "statistics", "intensity_histogram", "intensity_volume", "glcm", "glrlm",
            "glszm", "gldzm", "ngtdm", "ngldm"]
spacing_mm = [4, 4, 4]
resegment = [0, 1000]
bin_width = 0.5
ivh = "arbitrary"
"""
TURNS = (-9, -3, 3, 9)
PLANS = {
    "noise, four draws": '[[perturbation]]\nname = "n"\nnoise = 1\nrepeats = 4\n',
    "turned by 3 and 9 degrees, both ways": "".join(
        f'[[perturbation]]\nname = "r{i}"\nrotate_degrees = {a}\n' for i, a in enumerate(TURNS)
    ),
    "shifted by quarters of a voxel": "".join(
        f'[[perturbation]]\nname = "t{i}"\ntranslate_voxels = [{x}, {y}, {z}]\n'
        for i, (x, y, z) in enumerate([(0.25, 0.25, 0.25), (0.5, 0.25, 0), (0, 0.75, 0.5), (0.75, 0, 0.75)])
    ),
    "volume -20, -10, +10, +20 %": "".join(
        f'[[perturbation]]\nname = "v{i}"\nvolume = {v}\n' for i, v in enumerate((-0.2, -0.1, 0.1, 0.2))
    ),
    "contour, four draws": '[[perturbation]]\nname = "c"\ncontour = true\nrepeats = 4\n',
    "all of it, ten draws": "".join(
        f'[[perturbation]]\nname = "rnvc{i}"\nnoise = 1\nrotate_degrees = {TURNS[i % 4]}\n'
        f"translate_voxels = [{0.25 * (i % 4)}, {0.25 * (i % 3)}, {0.25 * (i % 2)}]\n"
        f"volume = {0.1 * (i % 3 - 1):.1f}\ncontour = true\n"
        for i in range(10)
    ),
}


def cohort_of(data: Path, folder: Path) -> Path:
    """The images and masks as a cohort."""
    for person in sorted(path for path in data.iterdir() if path.is_dir()):
        for kind, name in (("images", "PET_image"), ("labels", "PET_mask")):
            (folder / "source" / kind).mkdir(parents=True, exist_ok=True)
            shutil.copy(person / f"{name}.nii.gz", folder / "source" / kind / f"{person.name}.nii.gz")
    ingest(folder / "source", folder / "cohort")
    return folder / "cohort"


def measured(cohort: Path, folder: Path, plan: str, workers: int) -> dict[str, Any]:
    """Grades of all features under one plan, and what it took."""
    (folder / "radiomics.toml").write_text(SETTINGS, encoding="utf-8")
    (folder / "perturb.toml").write_text("seed = 1\n" + plan, encoding="utf-8")
    began = time.perf_counter()
    made = features(
        cohort,
        folder / "features.parquet",
        config=folder / "radiomics.toml",
        perturb=folder / "perturb.toml",
        workers=workers,
    )
    seconds = time.perf_counter() - began
    found = stability(made.out, folder)
    table = read_table(found.out, STABILITY)
    silent = table[table["grade"] == ""]
    return {
        "n_regions": found.n_regions,
        "n_repeats": found.n_repeats,
        "n_features": found.n_features,
        "grades": dict(found.grades),
        "families": {name: dict(counts) for name, counts in found.families.items()},
        "without": silent[["family", "feature", "reason"]].to_numpy().tolist(),
        "set_aside": [list(pair) for pair in made.set_aside],
        "left_out": [list(pair) for pair in found.left_out],
        "seconds": seconds,
    }


def main() -> None:
    """Print one table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/sarcoma_pet"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cohort = cohort_of(asked.data, folder)
        found = {}
        for title, plan in PLANS.items():
            one = found[title] = measured(cohort, folder, plan, asked.workers)
            grades = ", ".join(f"{n} {grade}" for grade, n in one["grades"].items())
            took = f"({one['seconds']:.0f} s)"
            print(f"{title:<38} {one['n_regions']} regions x {one['n_repeats']:>2}: {grades}  {took}", flush=True)
    last = next(reversed(found.values()))
    for family, counts in last["families"].items():
        print(f"  {family:<22} {', '.join(f'{n} {grade}' for grade, n in counts.items() if n)}")
    for family, feature, reason in last["without"]:
        print(f"  without a correlation: {family} {feature}: {reason}")
    for title, one in found.items():
        for region, reason in [*one["set_aside"], *one["left_out"]]:
            print(f"  {title}: {region}: {reason.splitlines()[0]}")
    if asked.out:
        asked.out.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
