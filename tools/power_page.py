"""Write docs/reference/power.md from what power, interval_coverage, conformal_coverage and trained_truth measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import conformal_coverage
import interval_coverage
import trained_truth

from fiducial.audit import CHECKS
from fiducial.audit.shortcut import RELEVANT_SHIFT
from fiducial.phantom.defects import DEFECTS

if TYPE_CHECKING:
    from power import Cache

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "power.md"
TRAINED = ROOT / "build" / "trained.json"
COVERAGE = ROOT / "build" / "coverage.json"
CONFORMAL = ROOT / "build" / "conformal.json"
ENOUGH = 0.9
LEAD = """\
# Power, false alarms, coverage

<!-- Made by `python tools/power.py --write`: change it there. -->

What is planted, how often the check finds it, how often it finds something in clean tables, and how often intervals
hold the truth. The defects and their sizes were [written down](../concepts/planted-truth.md) before the checks
were.

## Power

The share of tables in which the check says `finding`, by size of the defect and number of patients ({seeds}
tables), one image each, a third of them in the calibration part, a quarter with the finding; {replicates}
replicates where a verdict may rest on them. Where a smaller size, or fewer patients, was found in every table,
fewer are drawn; a number in brackets says how many there are so far, and 20 make a share rough (±0.2).
A share of 0.9 from 100 tables is known to about ±0.06, one
from 50 to ±0.08. *Found from* is the smallest of the four sizes with a power of at least 0.9. A dash instead of a
share was not measured.

"""
CLEAN = """
## False alarms

Findings in clean tables of seeds 0 to 199, none chosen. At a rate of 5 % more than {most} of 200 happen less than
once in a thousand times. A check whose defect lies in rows of its own (raters, embeddings, masks, a second model)
is shown clean tables of that kind as well; `·` means that it gives no verdict on such tables or says that it is not
possible. Clean tables are drawn with 200 and 1,000 patients; with 5,000 none was, so what is said of power there rests
on the tests' level, which does not depend on n, and not on a count.

"""
TRAINED_LEAD = """
## Trained models

Phantom pictures of a disc, large or small, with a letter in the corner of half of them. In the training pictures of a
*planted* model the letter stands in 90 % of the events and 10 % of the others; in those of a *clean* one it says
nothing. Each model is trained once and judged on {draws} draws of {n} new pictures in which the letter says nothing,
with the embeddings that it gives itself. The shift is that of the score where the letter stands, at equal truth. The
last lines are models trained on planted pictures with a mitigation by the letter. `python tools/trained_truth.py`.

In a *clean* model nothing is planted, yet chance in its training pictures leaves a small dependence of its own: over
all draws its shift lies between {least:+.2f} and {most:+.2f} logits. A test of *any* shift found it in 16 of 40
verdicts (on draws 0 to 3), which is why a shift counts only beyond {relevant} logits: [shortcut](checks/shortcut.md).
The table is of other draws, {first} to {last}.

"""
COVERED = """
## Coverage of intervals

The smallest share of {draws} or more tables, over all settings of a metric (rates and AUCs from 0.7 to 0.98, one or
1 to 5 images of a patient), in which the 95 % interval holds the truth. The interval *holds* where that is at least
0.93; the smallest n from which on it does is the metric's minimum n. Below it the figure is shown, and its reason
says so. `python tools/interval_coverage.py --all` prints every cell.

"""
KEPT = """
## Conformal promises

What is promised to 90 % of patients, drawn {draws} times with n calibration and {test} test patients: the mean, three
standard errors, and the interval that it must lie in. Sets and intervals: from 0.9 to 0.9 + 1 / (n + 1), for one random
image of a patient with several to 0.9 + 2 / (n + 1); a bound of survival promises 0.9 and no upper end; the risk of a
mask at most 0.1. Labels, groups, patients, numbers, survival and masks are phantom draws (`python
tools/conformal_coverage.py`); the tests draw them again.

"""


def write(cache: Cache) -> None:
    """Make the page."""
    import power

    seeds = ", ".join(f"n = {n:,}: {number}" for n, number in power.SEEDS.items())
    text = LEAD.format(seeds=seeds, replicates=max(power.REPLICATES.values())) + power_table(cache)
    text += CLEAN.format(most=power.MOST_FALSE_ALARMS) + clean_table(cache)
    if TRAINED.is_file():
        trained = json.loads(TRAINED.read_text())
        draws = len({row["draw"] for row in trained["rows"]})
        own = trained_truth.clean_shifts(trained["rows"])
        seeds = [row["draw"] for row in trained["rows"]]
        said = {"n": trained["n"], "draws": draws, "least": min(own), "most": max(own), "relevant": RELEVANT_SHIFT}
        said |= {"first": min(seeds), "last": max(seeds)}
        text += TRAINED_LEAD.format(**said) + trained_truth.summary(trained["rows"]) + "\n"
    if COVERAGE.is_file():
        text += COVERED.format(draws="1,000") + coverage_table(json.loads(COVERAGE.read_text())["cells"])
    if CONFORMAL.is_file():
        cells = [conformal_coverage.Cell(**row) for row in json.loads(CONFORMAL.read_text())]
        text += KEPT.format(draws=f"{cells[0].n_draws:,}", test=conformal_coverage.N_TEST) + conformal_coverage.table(
            cells
        )
    PAGE.write_text(text)


def power_table(cache: Cache) -> str:
    """One row per defect and n."""
    import power

    sizes = "| defect | check | n | " + " | ".join(f"size {k}" for k in range(1, 5)) + " | found from |"
    lines = [sizes, "|---|---|---|---|---|---|---|---|"]
    for defect, planted in DEFECTS.items():
        if planted.check not in CHECKS:
            lines.append(f"| `{defect}` | `{planted.check}` | absent | | | | | |")
            continue
        for place, n in enumerate(power.SEEDS):
            cells = [cache.letters(planted.check, defect, size, n) for size in planted.sizes]
            shares = [power.share(cell) for cell in cells]
            shown = [
                f"{size:g}: {share:.2f}" + ("" if len(cell) == power.SEEDS[n] else f" ({len(cell)})")
                if cell
                else f"{size:g}: –"
                for size, share, cell in zip(planted.sizes, shares, cells, strict=True)
            ]
            enough = next((f"{s:g}" for s, share in zip(planted.sizes, shares, strict=True) if share >= ENOUGH), "–")
            names = f"`{defect}` | `{planted.check}`" if place == 0 else " | "
            lines.append(f"| {names} | {n:,} | {' | '.join(shown)} | {enough} |")
    units = [f"- `{name}`: {planted.meaning}; size in {planted.unit}." for name, planted in DEFECTS.items()]
    return "\n".join(lines) + "\n\nWhat a size means:\n\n" + "\n".join(units) + "\n"


def clean_table(cache: Cache) -> str:
    """One row per check and kind of table."""
    import power

    ns = list(power.CLEAN_SEEDS)
    lines = ["| check | tables | " + " | ".join(f"n = {n:,}" for n in ns) + " |", "|---|---|" + "---|" * len(ns)]
    for check in CHECKS:
        kinds = ["", *(name for name in power.OWN_TABLES if DEFECTS[name].check == check)]
        for kind in kinds:
            cells = [cache.letters(check, kind, 0.0, n) for n in ns]
            judged = any(set(cell) & {power.FINDING, power.CLEAR} for cell in cells)
            if not judged and len(kinds) > 1:
                continue
            shown = [f"{c.count(power.FINDING)} of {len(c)}" if judged else "·" for c in cells]
            label = f"as for `{kind}`" if kind else "plain"
            lines.append(f"| `{check}` | {label} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def coverage_table(found: dict[str, Any]) -> str:
    """One row per metric."""
    ns = interval_coverage.N
    head = "| metric | n counts | " + " | ".join(f"{n:,}" for n in ns) + " | minimum n |"
    lines = [head, "|---|---|" + "---|" * (len(ns) + 1)]
    for name, counts, shown, least in interval_coverage.table(found, interval_coverage.METRICS, 1000):
        lines.append(f"| {name} | {counts} | {' | '.join(shown)} | {least} |")
    return "\n".join(lines) + "\n"
