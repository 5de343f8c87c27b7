"""Pneumonia on chest radiographs of 28 x 28 pixels: AUC on a test part that is a real shift, in five minutes.

    python benchmarks/05_pneumonia.py --data ../shared/data/pneumonia_cxr28 [--minutes 5] [--out FILE.json]

Runs ``fiducial ingest`` and ``fiducial run`` as a user would and prints what the audit says: AUC with its interval,
calibration on the calibration part and on test, and the operating point on both. The split is the data set's own, its
validation part halved for calibration; images that leak between parts are dropped. The published guide of the whole
data set (MedMNIST v2, ResNet-18: AUC 0.944, accuracy 0.854) is printed beside it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STUDY = """
[study]
name = "pneumonia"
intended_use = "Find pneumonia on paediatric chest radiographs, for research"
[data]
cohort = "cohort"
split = {{by = "given", carve_calibration = {{source = "validation", fraction = 0.5}}, seed = 1}}
on_leak = "drop"
[task]
kind = "classification"
targets = ["label"]
[train]
minutes = {minutes}
[operating_point]
rule = "sensitivity"
value = 0.95
[[accept]]
metric = "auc"
statistic = "low"
at_least = 0.93
"""
SHOWN = ("auc", "sensitivity", "specificity", "calibration_slope", "calibration_in_the_large", "ece", "brier")


def fiducial(*argv: str) -> None:
    """Run the command line."""
    script = Path(sys.executable).with_name("fiducial")
    subprocess.run([str(script), *argv, "--quiet"], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Print the audit's figures and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/pneumonia_cxr28"))
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "study.toml").write_text(STUDY.format(minutes=asked.minutes))
        fiducial("ingest", str(asked.data.resolve()), "--out", str(work / "cohort"))
        began = time.monotonic()
        fiducial("run", str(work / "study.toml"), "--out", str(work / "run"))
        seconds = time.monotonic() - began
        rows = json.loads((work / "run" / "evidence.json").read_text())["rows"]
        record = json.loads((work / "run" / "run.json").read_text())
    shown = [
        row
        for row in rows
        if row["metric"] in SHOWN
        and row["group"] == "all"
        and row["check"] in ("accuracy", "operating_point", "calibration")
    ]
    print(f"training {record['seconds']} s, whole run {seconds:.0f} s; MedMNIST's ResNet-18: AUC 0.944")
    for row in shown:
        bounds = "" if row["low"] is None else f" ({row['low']:.3f} to {row['high']:.3f})"
        print(
            f"{row['check']:>16}  {row['metric']:<26}{row['statistic']:<7}{row['split']:<12}{row['value']:.3f}{bounds}"
        )
    if asked.out:
        asked.out.write_text(json.dumps({"seconds": seconds, "rows": shown}, indent=2))


if __name__ == "__main__":
    main()
