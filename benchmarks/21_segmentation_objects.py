"""A SEG of two structures on 300 slices of 512 x 512: seconds to write and to read it, beside highdicom; same voxels.

Each figure is the best of three in one process after a first run that is not counted.

python benchmarks/21_segmentation_objects.py --json segmentation.json
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom
import numpy as np

from fiducial.archive.dicom import DicomHeader, find_series, write_series
from fiducial.archive.export import Maker
from fiducial.archive.export.seg import write_segmentation
from fiducial.archive.export.source import open_source
from fiducial.archive.segmentation import read_segmentation
from fiducial.records.image import Geometry, Image

SHAPE = (512, 512, 300)


def best(run: Callable[[], Any], n: int = 3) -> tuple[float, Any]:
    """Seconds of the fastest of ``n`` runs, and what it gave."""
    fastest, result = float("inf"), run()
    for _ in range(n):
        start = time.perf_counter()
        result = run()
        fastest = min(fastest, time.perf_counter() - start)
    return fastest, result


def main() -> None:
    """Write, read, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    x, y, z = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    near = (x - 200) ** 2 + (y - 250) ** 2 + (2 * (z - 150)) ** 2
    masks = {"Liver": near < 120**2, "Nodule": near < 30**2}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        grid = Geometry(np.diag([-0.7, -0.7, 1.5, 1.0]), SHAPE)
        write_series(Image(np.zeros((1, *SHAPE), np.int16), grid, "CT", "HU"), folder / "ct", DicomHeader("P1"))
        source = open_source(find_series(folder / "ct")[0])
        path = folder / "a.dcm"

        def write() -> None:
            path.unlink(missing_ok=True)
            write_segmentation(masks, path, geometry=source.grid, source=source, maker=Maker("m"))

        write_s, _ = best(write, 1)
        ours_s, ours = best(lambda: read_segmentation(path, source.reference))
        theirs_s, theirs = best(
            lambda: highdicom.seg.segread(path).get_pixels_by_source_instance(
                source.reference.sop_uids, assert_missing_frames_are_empty=True
            )
        )
        same = all((ours[label] == (theirs[..., k].transpose(2, 1, 0) > 0)).all() for k, label in enumerate(masks))
        same &= all((ours[label] == mask).all() for label, mask in masks.items())
        size_mb = path.stat().st_size / 1e6
    row = {"write_s": write_s, "read_s": ours_s, "highdicom_read_s": theirs_s, "file_mb": size_mb, "same": bool(same)}
    print("| write | read | highdicom reads | file | same voxels |\n|---|---|---|---|---|")
    print(f"| {write_s:.2f} s | {ours_s:.2f} s | {theirs_s:.2f} s | {size_mb:.1f} MB | {'yes' if same else 'no'} |")
    if given.json:
        given.json.write_text(json.dumps(row))


if __name__ == "__main__":
    main()
