"""Hippocampus segmentation: ``fiducial run`` against a plain training script at equal wall-clock time.

    python benchmarks/04_hippocampus.py --data ../shared/data/hippocampus --minutes 5 15 [--out FILE.json]

The peer is what a good engineer writes in an afternoon: MONAI's DynUNet of 1.4 million parameters, bfloat16 where the
processor has it, Dice and cross-entropy, AdamW with a cosine, random shifts of a 40 x 56 x 40 window. It trains on
every case that is not in the test part, and its clock starts when its data are in memory. Fiducial's clock starts with
``train`` and holds reading, planning, caching and timing; it keeps validation and calibration parts aside. Both are
scored by the same function on the same test cases; the difference is paired by case. No person is known in this data
set, so the interval is by image and too narrow.

Nothing else may run on the machine: two threads that share two cores with another process are many times slower.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

STUDY = """
[study]
name = "hippocampus"
intended_use = "Volumetry of the anterior and posterior hippocampus on T1-weighted MR, for research"
[data]
cohort = "cohort"
inputs = ["MR"]
split = {{by = "subject", seed = 7, fractions = {{train = 0.65, validation = 0.03, calibration = 0.02, test = 0.30}}}}
[task]
kind = "segmentation"
targets = ["label_1", "label_2"]
[train]
minutes = {minutes}
[[accept]]
metric = "dice"
statistic = "low"
target = "label_1"
at_least = 0.85
"""
WINDOW = (40, 56, 40)
ROOM = (48, 64, 48)


def padded(array: np.ndarray, dtype: type) -> np.ndarray:
    """The array in the middle of a box of ``ROOM``."""
    box = np.zeros(ROOM, dtype)
    start = [(r - n) // 2 for r, n in zip(ROOM, array.shape, strict=True)]
    box[tuple(slice(s, s + n) for s, n in zip(start, array.shape, strict=True))] = array
    return box


def plain_script(train: list[tuple[np.ndarray, np.ndarray]], minutes: float) -> object:
    """Train the peer for so many minutes of wall-clock time; returns the network."""
    import torch
    from monai.losses import DiceCELoss
    from monai.networks.nets import DynUNet

    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    strides = [1, 2, 2, 2]
    network = DynUNet(3, 1, 3, [3] * 4, strides, strides[1:], filters=[16, 32, 64, 128])
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=1e-2)
    loss = DiceCELoss(to_onehot_y=True, softmax=True, batch=True)
    images = torch.from_numpy(np.stack([padded((x - x.mean()) / x.std(), np.float32) for x, _ in train]))[:, None]
    labels = torch.from_numpy(np.stack([padded(y, np.uint8) for _, y in train]))[:, None]
    began, order, done = time.monotonic(), [], 0.0
    while done < 1:
        done = (time.monotonic() - began) / (minutes * 60)
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
        if len(order) < 2:
            order += generator.permutation(len(train)).tolist()
        windows = []
        for index in (order.pop(), order.pop()):
            at = [int(generator.integers(0, r - w + 1)) for r, w in zip(ROOM, WINDOW, strict=True)]
            cut = (slice(None), *(slice(a, a + w) for a, w in zip(at, WINDOW, strict=True)))
            windows.append((images[index][cut], labels[index][cut]))
        x, y = (torch.stack(part) for part in zip(*windows, strict=True))
        with torch.autocast("cpu", torch.bfloat16):
            out = network(x)
        value = loss(out.float(), y.long())
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return network.eval()


def predict_plain(network: object, image: np.ndarray) -> np.ndarray:
    """Label map of one image by the peer, on the image's own grid."""
    import torch

    x = torch.from_numpy(padded((image - image.mean()) / image.std(), np.float32))[None, None]
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        labels = network(x).argmax(1)[0].numpy()  # type: ignore[operator]
    start = [(r - n) // 2 for r, n in zip(ROOM, image.shape, strict=True)]
    return labels[tuple(slice(s, s + n) for s, n in zip(start, image.shape, strict=True))]


def dice_of(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Mean Dice of both structures."""
    from fiducial.maths.segmentation import labelmap_metrics

    labels = {"1": 1, "2": 2}
    whole = prediction.astype(np.uint8), truth.astype(np.uint8)
    found = labelmap_metrics(*whole, labels, (1.0, 1.0, 1.0), metrics=("dice",))
    return float(np.mean([values["dice"] for values in found.values()]))


def compare(data: Path, work: Path, minutes: float) -> dict[str, object]:
    """Train both for the same time and compare them on the test part."""
    import nibabel as nib

    from fiducial.cohort import ingest
    from fiducial.maths.difference import paired_difference_interval
    from fiducial.predict.run import predict_cohort
    from fiducial.records.tables import COHORT, PREDICTIONS, read_table
    from fiducial.study import load_study
    from fiducial.train.run import train_study

    def voxels(name: str, kind: str) -> np.ndarray:
        return np.asarray(nib.load(data / kind / f"{name}.nii.gz").dataobj)

    if not (work / "cohort").exists():
        ingest(data, work / "cohort", workers=1)
    study, run = work / f"study-{minutes:g}.toml", work / f"run-{minutes:g}"
    study.write_text(STUDY.format(minutes=minutes))
    began = time.monotonic()
    trained = train_study(load_study(study), run)
    seconds = time.monotonic() - began
    predict_cohort(run, work / "cohort", run, splits=("test",))
    cohort = read_table(run / "cohort.parquet", COHORT)
    images = cohort[cohort["role"] == "image"]
    development = images[images["split"] != "test"]["image"].tolist()
    train = [(voxels(n, "images").astype(np.float32), voxels(n, "labels").astype(np.uint8)) for n in development]
    network = plain_script(train, minutes)
    rows = read_table(run / "predictions.parquet", PREDICTIONS).drop_duplicates("image")
    ours, theirs = [], []
    for name, payload in zip(rows["image"], rows["payload"], strict=True):
        truth = voxels(name, "labels")
        ours.append(dice_of(np.asarray(nib.load(run / payload).dataobj), truth))
        theirs.append(dice_of(predict_plain(network, voxels(name, "images").astype(np.float32)), truth))
    gap = paired_difference_interval(np.array(ours), np.array(theirs))
    return {
        "minutes": minutes,
        "fiducial_seconds": round(seconds, 1),
        "fiducial_steps": trained.n_steps,
        "n_test": len(ours),
        "fiducial_dice": float(np.mean(ours)),
        "script_dice": float(np.mean(theirs)),
        "difference": gap.value,
        "low": gap.low,
        "high": gap.high,
    }


def main() -> None:
    """Print one line for each budget and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/hippocampus"))
    parser.add_argument("--minutes", type=float, nargs="+", default=[5.0])
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")
    results = []
    print(f"{'minutes':>8}{'n':>5}{'fiducial':>10}{'script':>9}   difference, paired by case (95 %)   seconds")
    with tempfile.TemporaryDirectory() as work:
        for minutes in asked.minutes:
            r = compare(asked.data.resolve(), Path(work), minutes)
            results.append(r)
            print(
                f"{minutes:>8g}{r['n_test']:>5}{r['fiducial_dice']:>10.4f}{r['script_dice']:>9.4f}   "
                f"{r['difference']:+.4f} ({r['low']:+.4f} to {r['high']:+.4f})          {r['fiducial_seconds']}",
                flush=True,
            )
    if asked.out:
        asked.out.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
