"""Every check that needs no model, on one table: 10,000 cases, 12 subgroups, 2,000 replicates.

    python benchmarks/12_audit_tables.py [--cases 10000] [--replicates 2000] [--out FILE.json]

The table is a phantom vendor's with a calibration part, a tenth of the patients with two images, six sites, two sexes
and four age bands. Prints the seconds of each check, of the whole audit and the largest memory. The planted defect is
a weak scanner: the benchmark stops if the audit does not find it.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path

from fiducial.audit import CHECKS, AuditSettings, audit, vendor_input
from fiducial.audit.tables import prepared
from fiducial.phantom.tables import draw_table

ATTRIBUTES = ("sex", "age_band", "site")
BANDS = {"age": (50.0, 58.0, 66.0, 74.0, 90.0)}


def main() -> None:
    """Time every check, then the audit as a whole."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--replicates", type=int, default=2000)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    table = draw_table(asked.cases, seed=0, defect="weak_group", size=0.8)
    settings = AuditSettings(n_replicates=asked.replicates, attributes=(*ATTRIBUTES, "scanner"), bands=BANDS)
    given = vendor_input(table, settings=settings)
    ready = prepared(given)
    n_groups = sum(ready.attributes[name].nunique() for name in ATTRIBUTES)
    seconds = {}
    for name, check in CHECKS.items():
        began = time.perf_counter()
        check(ready)
        seconds[name] = time.perf_counter() - began
    began = time.perf_counter()
    evidence = audit(given).evidence
    whole = time.perf_counter() - began
    if not len(evidence[(evidence["check"] == "subgroups") & (evidence["verdict"] == "finding")]):
        sys.exit("the planted weak scanner was not found")
    for name, value in sorted(seconds.items(), key=lambda pair: -pair[1]):
        print(f"{name:<22}{value:8.2f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{len(table):,} images, {n_groups} subgroups and the scanners, {asked.replicates:,} replicates")
    print(f"whole audit {whole:.1f} s, {len(evidence):,} evidence rows, at most {peak:.2f} GB")
    if asked.out:
        asked.out.write_text(json.dumps({"checks": seconds, "whole": whole, "memory_gb": peak}, indent=2))


if __name__ == "__main__":
    main()
