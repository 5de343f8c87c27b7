"""What the figures of image quality are worth, and what they cost beside reading an image.

    python benchmarks/19_quality.py [--out FILE.json]

On phantoms whose truth is known: noise, blur and ghost that were put in against those that were found. Then the time
of the quality figures of a CT of 512 x 512 x 100 voxels, beside the digest and thumbnail of the same reading (median
of five, processor time), and how often the shortcut probe finds random sites and a shifted one (100 cohorts of 45
people).
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from fiducial.cohort.looks import voxel_digest
from fiducial.cohort.quality import measure_quality
from fiducial.maths import image_quality as quality
from fiducial.maths.duplicates import signature
from fiducial.maths.group_probe import group_probe
from fiducial.records.image import Geometry, Image


def disc(n: int, sigma: float) -> np.ndarray[Any, Any]:
    """A disc of height 100, averaged over pixels, blurred by ``sigma`` pixels."""
    x = (np.arange(8 * n) + 0.5) / 8 - n / 2
    inside = (x[:, None] - 0.3) ** 2 + (x[None] + 0.2) ** 2 < (0.3 * n) ** 2
    return np.asarray(ndimage.gaussian_filter(100.0 * inside.reshape(n, 8, n, 8).mean(axis=(1, 3)), sigma))


def estimates(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Truth and estimate of each figure, medians of twenty draws."""
    rows = []
    for sigma in (2.0, 5.0, 10.0, 20.0):
        planes = [disc(128, 1.0) + rng.normal(0, sigma, (128, 128)) for _ in range(20)]
        for name, measure in (("white noise", quality.white_noise), ("region noise", quality.region_noise)):
            rows.append({"figure": name, "truth": sigma, "found": statistics.median(measure(p) for p in planes)})
    for fwhm in (1.5, 2.5, 4.0, 8.0):
        blur = math.sqrt((fwhm / quality.FWHM) ** 2 - 1 / 12)
        planes = [disc(128, blur) + rng.normal(0, 5, (128, 128)) for _ in range(20)]
        rows.append(
            {
                "figure": "blur (pixels), noise 5 %",
                "truth": fwhm,
                "found": statistics.median(quality.edge_fwhm_mm(p) for p in planes),
            }
        )
    for ghost in (0.01, 0.05):
        plane = np.zeros((128, 128))
        plane[44:84, 40:88] = 100
        image = plane + ghost * np.roll(plane, 64, axis=0) + rng.normal(0, 0.5, plane.shape)
        rows.append({"figure": "ghost", "truth": ghost, "found": quality.ghost_ratio(image, plane > 50, 0)})
    return rows


def median_ms(work: Callable[[], object]) -> float:
    """Median of five, after one run; processor time, which other work on the machine does not lengthen."""
    times = []
    for _ in range(6):
        began = time.process_time()
        work()
        times.append(1000 * (time.process_time() - began))
    return statistics.median(times[1:])


def costs(rng: np.random.Generator) -> dict[str, float]:
    """Milliseconds of each part of what ingest measures of a CT, as a decoded series lies in memory."""
    x, y = np.mgrid[:512, :512]
    body = np.where(((x - 256) / 200) ** 2 + ((y - 256) / 150) ** 2 < 1, 40, -1000)[..., None]
    voxels = np.asfortranarray((body + rng.normal(0, 15, (512, 512, 100))).astype(np.int16))[None]
    image = Image(voxels, Geometry(np.diag([0.7, 0.7, 2.5, 1.0]), (512, 512, 100)), "CT", "HU")
    return {
        "digest": median_ms(lambda: voxel_digest(image)),
        "thumbnail": median_ms(lambda: signature(image.array)),
        "quality": median_ms(lambda: measure_quality(image)),
    }


def found_share(shift: float, n_draws: int = 100) -> float:
    """Share of cohorts of 45 people at three sites in which the probe finds the site at 5 %."""
    hits = 0
    for seed in range(n_draws):
        rng = np.random.default_rng(seed)
        sites = np.array(list("ABC"))[rng.permutation(45) % 3]
        features = rng.normal(size=(45, 16))
        features[:, 0] += shift * (sites == "C")
        hits += group_probe(features, sites, n_permutations=99, seed=seed).p <= 0.05
    return hits / n_draws


def main() -> None:
    """Print tables and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    found = {
        "estimates": estimates(rng),
        "milliseconds": costs(rng),
        "probe": {str(shift): found_share(shift) for shift in (0.0, 1.0, 2.0)},
    }
    for row in found["estimates"]:
        print(f"{row['figure']:<26} truth {row['truth']:6.2f}  found {row['found']:7.3f}")
    for name, value in found["milliseconds"].items():
        print(f"{name:<26} {value:8.0f} ms for 512 x 512 x 100")
    for shift, share in found["probe"].items():
        print(f"site shifted by {shift} SD: found in {100 * share:.0f} % of cohorts")
    if asked.out:
        asked.out.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
