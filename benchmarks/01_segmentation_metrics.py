"""Dice, HD95, MASD and NSD of 5 structures in 256 x 256 x 128 voxels: Fiducial beside MONAI's separate functions.

    python benchmarks/01_segmentation_metrics.py [--out FILE.json] [--repeats 5]

Both are timed in one process on one thread, best of the repeats. Three predictions are measured: *good* (edges off by
one or two voxels), *poor* (shifted by many voxels, with a false island far away) and *thick slices* (good, with a
spacing of 0.8 x 0.8 x 3 mm). MONAI's symmetric surface distance pools both directions, ours (MASD) averages the two
directed means, so values are compared with the mean of MONAI's two directed distances; the timing takes its one
symmetric call.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from monai.metrics import (
    compute_average_surface_distance,
    compute_dice,
    compute_hausdorff_distance,
    compute_surface_dice,
)
from scipy.ndimage import gaussian_filter

from fiducial.maths.segmentation import labelmap_metrics

SHAPE = (256, 256, 128)
LABELS = {f"structure_{i}": i for i in range(1, 6)}
CENTRES = ((70, 80, 60), (180, 90, 64), (128, 190, 70), (60, 190, 40), (200, 200, 95))
RADII = ((45, 40, 35), (40, 45, 40), (35, 30, 35), (20, 25, 20), (18, 18, 16))
TOLERANCE_MM = 2.0


def label_maps(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Truth: five bumpy ellipsoids; prediction: other bumps, or shifted as well."""
    rng = np.random.default_rng(1)
    grid = np.indices(SHAPE, dtype=np.float32)
    bumps = [gaussian_filter(rng.normal(size=SHAPE).astype(np.float32), 6) for _ in range(2)]
    maps = []
    for noise in bumps:
        shift = 9 if kind == "poor" and maps else 0
        bump = noise * 0.04 / noise.std()
        array = np.zeros(SHAPE, dtype=np.uint8)
        for label, (centre, radii) in enumerate(zip(CENTRES, RADII, strict=True), start=1):
            r = np.sqrt(sum(((g - c - shift) / q) ** 2 for g, c, q in zip(grid, centre, radii, strict=True)))
            array[(r + bump < 1) & (array == 0)] = label
        maps.append(array)
    truth, prediction = maps
    if kind == "poor":
        for label in LABELS.values():
            prediction[3:9, 3 + 12 * label : 9 + 12 * label, 3:9] = label
    return prediction, truth


def one_hot(array: np.ndarray) -> torch.Tensor:
    """[1, 5, x, y, z], without background."""
    return torch.from_numpy(np.stack([array == v for v in LABELS.values()])[None].astype(np.float32))


def by_monai(prediction: torch.Tensor, truth: torch.Tensor, spacing: tuple[float, ...]) -> dict[str, np.ndarray]:
    """The four metrics by MONAI's separate functions."""
    every = {"include_background": True}
    space = {**every, "spacing": spacing}
    return {
        "dice": compute_dice(prediction, truth, **every)[0].numpy(),
        "hd95": compute_hausdorff_distance(prediction, truth, percentile=95, **space)[0].numpy(),
        "assd": compute_average_surface_distance(prediction, truth, symmetric=True, **space)[0].numpy(),
        "nsd": compute_surface_dice(prediction, truth, [TOLERANCE_MM] * len(LABELS), **space)[0].numpy(),
    }


def best_of(repeats: int, function: Callable[[], object]) -> float:
    """Shortest wall-clock time in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def measure(kind: str, repeats: int) -> dict[str, object]:
    """Times and largest differences of one scenario."""
    spacing = (0.8, 0.8, 3.0) if kind == "thick slices" else (1.0, 1.0, 1.0)
    prediction, truth = label_maps(kind)
    hot_prediction, hot_truth = one_hot(prediction), one_hot(truth)
    metrics = ("dice", "hd95", "masd", "nsd")

    def ours() -> dict[str, dict[str, float]]:
        return labelmap_metrics(prediction, truth, LABELS, spacing, metrics=metrics, tolerance_mm=TOLERANCE_MM)

    found, peer = ours(), by_monai(hot_prediction, hot_truth, spacing)
    space = {"include_background": True, "spacing": spacing}
    directed = [
        compute_average_surface_distance(a, b, **space)[0].numpy()
        for a, b in ((hot_prediction, hot_truth), (hot_truth, hot_prediction))
    ]
    peer["masd"] = (directed[0] + directed[1]) / 2
    differences = {
        metric: max(abs(found[name][metric] - float(peer[metric][i])) for i, name in enumerate(LABELS))
        for metric in metrics
    }
    seconds = best_of(repeats, ours)
    seconds_monai = best_of(max(1, repeats // 2), lambda: by_monai(hot_prediction, hot_truth, spacing))
    return {
        "case": kind,
        "mean_dice": float(np.mean([values["dice"] for values in found.values()])),
        "mean_hd95_mm": float(np.mean([values["hd95"] for values in found.values()])),
        "fiducial_s": seconds,
        "monai_s": seconds_monai,
        "times_faster": seconds_monai / seconds,
        "largest_difference": differences,
    }


def main() -> None:
    """Print the table and write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = [measure(kind, given.repeats) for kind in ("good", "poor", "thick slices")]
    print(
        f"{'case':14}{'mean Dice':>10}{'HD95 mm':>9}{'fiducial s':>12}{'MONAI s':>9}{'faster':>8}  largest difference"
    )
    for row in rows:
        apart = ", ".join(f"{k} {v:.1e}" for k, v in row["largest_difference"].items())
        print(
            f"{row['case']:14}{row['mean_dice']:10.3f}{row['mean_hd95_mm']:9.2f}{row['fiducial_s']:12.3f}"
            f"{row['monai_s']:9.2f}{row['times_faster']:7.1f}x  {apart}"
        )
    if given.out:
        given.out.write_text(json.dumps({"benchmark": "segmentation_metrics", "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
