"""Audit of two folders of 200 real hippocampus masks, as a user of another framework would run it.

    python benchmarks/03_audit_masks.py [--data FOLDER] [--cases 200] [--out FILE.json]

Predictions are made from the truth (surface noise, some of it shifted, a few structures dropped), since the benchmark
is about time. Measured are the whole command ``fiducial audit PREDICTIONS --truth TRUTH --out DIR`` with its start-up
and, as a peer, a plain loop over MONAI's four functions on the same files in one process, which only gives numbers per
case: no intervals, no report tables.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

NAMES = {"background": 0, "Anterior": 1, "Posterior": 2}


def make_predictions(truth: Path, out: Path, n_cases: int) -> list[str]:
    """Noisy copies of the first label maps, and the truth beside them in nnU-Net's layout."""
    import nibabel
    from scipy.ndimage import gaussian_filter

    names = sorted(p.name for p in truth.glob("*.nii.gz"))[:n_cases]
    rng = np.random.default_rng(0)
    for folder in ("predictions", "labelsTs"):
        (out / folder).mkdir()
    (out / "dataset.json").write_text(json.dumps({"labels": NAMES}))
    for i, name in enumerate(names):
        file = nibabel.load(truth / name)
        labels = np.asarray(file.dataobj).astype(np.uint8)
        soft = [gaussian_filter((labels == v).astype(np.float32), 1.0) for v in range(3)]
        noisy = [s + 0.15 * gaussian_filter(rng.normal(size=labels.shape), 1.5) for s in soft]
        guess = np.argmax(noisy, axis=0).astype(np.uint8)
        guess[gaussian_filter((labels > 0).astype(np.float32), 2) < 0.02] = 0
        if i % 40 == 7:
            guess[guess == 2] = 0
        nibabel.save(nibabel.Nifti1Image(guess, file.affine), out / "predictions" / name)
        (out / "labelsTs" / name).symlink_to((truth / name).resolve())
    return names


def by_command(folder: Path) -> tuple[float, int]:
    """Seconds of the whole command, and its evidence rows."""
    command = [sys.executable, "-m", "fiducial.cli.main"]
    script = Path(sys.executable).with_name("fiducial")
    command = [str(script)] if script.is_file() else command
    asked = ["audit", str(folder / "predictions"), "--truth", str(folder / "labelsTs"), "--out", str(folder / "audit")]
    start = time.perf_counter()
    subprocess.run([*command, *asked, "--quiet"], check=True, capture_output=True)
    seconds = time.perf_counter() - start
    return seconds, len(json.loads((folder / "audit" / "evidence.json").read_text())["rows"])


def by_measure(folder: Path) -> float:
    """Seconds of pairing and measuring alone, in this process."""
    from fiducial.predict.folders import pair_mask_folders
    from fiducial.predict.measure import measure_masks

    start = time.perf_counter()
    paired = pair_mask_folders(folder / "predictions", folder / "labelsTs", workers=1)
    measure_masks(paired.predictions, workers=1)
    return time.perf_counter() - start


def by_monai(folder: Path, names: list[str]) -> float:
    """Seconds of a loop over MONAI's functions, import not counted."""
    warnings.simplefilter("ignore")
    import nibabel
    import torch
    from monai import metrics

    space = {"include_background": True, "spacing": (1.0, 1.0, 1.0)}
    start = time.perf_counter()
    for name in names:
        maps = [np.asarray(nibabel.load(folder / side / name).dataobj) for side in ("predictions", "labelsTs")]
        p, t = (torch.from_numpy(np.stack([m == 1, m == 2])[None].astype(np.float32)) for m in maps)
        metrics.compute_dice(p, t, include_background=True)
        metrics.compute_hausdorff_distance(p, t, percentile=95, **space)
        metrics.compute_average_surface_distance(p, t, symmetric=True, **space)
        metrics.compute_surface_dice(p, t, [1.0, 1.0], **space)
    return time.perf_counter() - start


def main() -> None:
    """Print the table and write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FIDUCIAL_DATA", "../shared/data")))
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        names = make_predictions(given.data / "hippocampus" / "labels", folder, given.cases)
        seconds, n_rows = by_command(folder)
        alone, peer = by_measure(folder), by_monai(folder, names)
    print(f"{len(names)} pairs of hippocampus masks, 2 structures")
    print(f"{'fiducial audit, whole command':44}{seconds:8.1f} s  ({n_rows} rows of evidence)")
    print(f"{'  of it pairing and measuring (one process)':44}{alone:8.1f} s")
    print(f"{'MONAI loop, metrics alone (one process)':44}{peer:8.1f} s")
    if given.out:
        row = {"n_cases": len(names), "fiducial_audit_s": seconds, "measuring_s": alone, "monai_loop_s": peer}
        given.out.write_text(json.dumps({"benchmark": "audit_masks", "rows": [row]}, indent=2) + "\n")


if __name__ == "__main__":
    main()
