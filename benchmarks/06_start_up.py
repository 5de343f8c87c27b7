"""What a user waits for before anything happens, and what the demo costs.

    python benchmarks/06_start_up.py [--demo] [--out FILE.json]

Medians over eleven fresh processes: ``import fiducial``, ``fiducial --help``, and a bare interpreter beside them. With
``--demo`` also the whole ``fiducial demo``: wall-clock time and the largest memory of any of its processes.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPEATS = 11


def median_seconds(command: list[str]) -> float:
    """Median wall-clock seconds of a command, after one run that fills the disk cache."""
    times = []
    for _ in range(REPEATS + 1):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def main() -> None:
    """Print a line for each and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", action="store_true", help="also run the whole demo")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    script = str(Path(sys.executable).with_name("fiducial"))
    bare = median_seconds([sys.executable, "-c", "pass"])
    results = {
        "bare_interpreter_s": bare,
        "import_fiducial_s": median_seconds([sys.executable, "-c", "import fiducial"]) - bare,
        "help_s": median_seconds([script, "--help"]),
    }
    if asked.demo:
        with tempfile.TemporaryDirectory() as folder:
            began = time.monotonic()
            subprocess.run([script, "demo", "--out", str(Path(folder) / "demo"), "--quiet"], check=True)
            results["demo_s"] = time.monotonic() - began
        results["demo_peak_gb"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    for name, value in results.items():
        print(f"{name:<20}{value:8.3f}")
    if asked.out:
        asked.out.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
