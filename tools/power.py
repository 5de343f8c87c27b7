"""How often each check finds what is planted, and how often it finds something where nothing is.

    python tools/power.py [--checks NAME ...] [--workers 2] [--cache build/power.json] [--quick] [--write]

Every defect of `fiducial.phantom.defects` at its four sizes and three numbers of patients, and 200 clean tables
(seeds 0 to 199) for every check, at two. Results are kept in the cache under a digest of the check's own source files,
so only what changed is run again. ``--write`` makes docs/reference/power.md from them.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import inspect
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from fiducial.audit import CHECKS, AuditInput, AuditSettings, vendor_input
from fiducial.audit.tables import prepared
from fiducial.compute import map_cases
from fiducial.phantom.defects import DEFECTS
from fiducial.phantom.tables import draw_cases, draw_table
from fiducial.records.files import write_json
from fiducial.study import parse_study

ROOT = Path(__file__).parents[1]
SEEDS = {200: 100, 1000: 100, 5000: 50}
"""How many tables are drawn for each defect and size, by number of patients; seeds 0, 1, 2 ..."""
CLEAN_SEEDS = {200: 200, 1000: 200}
MOST_FALSE_ALARMS = 21
"""Of 200, at 5 % each, more are seen with probability below 0.001."""
RESAMPLED = (
    "acceptance",
    "subgroups",
    "fairness",
    "group_thresholds",
    "levelling_down",
    "predicted_quality",
    "conformal",
)
REPLICATES = dict.fromkeys(RESAMPLED, 500)
"""Bootstrap draws of the checks whose verdict may rest on them."""
FEW = 20
"""Draws of all others, whose verdict is a test without draws: they only widen figures that nobody reads here."""
BLOCK = 10
BATCH = 40
ENOUGH_TABLES = 20
"""So many are drawn where a smaller size, or fewer patients, was found in every table."""
ATTRIBUTES = ("sex", "site", "scanner")
OWN_TABLES = (
    "marker_shortcut",
    "foreign_images",
    "careless_rater",
    "weak_group_masks",
    "flattering_quality",
    "levelling_down",
)
"""Defects that lie in other rows than a plain table has: their checks are shown such a table without the defect too."""
STUDY = parse_study("""
[study]
name = "planted"
intended_use = "to be found"
[data]
attributes = ["sex", "site", "scanner"]
[task]
kind = "classification"
targets = ["malignant"]
[operating_point]
rule = "sensitivity"
value = 0.9
""")
AT_A_FITTED_THRESHOLD = ("operating_point",)
"""These are shown a study whose threshold is fitted on the calibration part; all others know no study."""
NO_ARITHMETIC = ("fiducial.audit.evidence", "fiducial.audit.given", "fiducial.errors", "fiducial.records.tables")
FINDING, CLEAR, NOT_POSSIBLE, SILENT, ERROR = "FCN-E"


@dataclass(frozen=True)
class Task:
    """Some seeds of one defect (none is ``""``) at one size and number of patients, for some checks."""

    defect: str
    size: float
    n: int
    start: int
    stop: int
    checks: tuple[str, ...]

    @property
    def key(self) -> str:
        """What its results are kept under, for each check."""
        return f"{self.defect or 'clean'} {self.size:g} n={self.n} seeds {self.start}-{self.stop - 1}"


def given_of(task: Task, seed: int) -> AuditInput:
    """One table as the audit gets it."""
    extra = ("marker",) if task.defect == "marker_shortcut" else ()
    settings = AuditSettings(n_replicates=FEW, attributes=(*ATTRIBUTES, *extra))
    drawn: dict[str, Any] = {"seed": seed, "defect": task.defect, "size": task.size}
    if task.defect in ("weak_group_masks", "flattering_quality"):
        cases, said, attributes = draw_cases(task.n, **drawn)
        predictions = said if task.defect == "flattering_quality" else said.iloc[:0]
        return prepared(AuditInput(predictions, cases, attributes, settings=settings))
    return prepared(vendor_input(draw_table(task.n, **drawn), settings=settings))


def run(task: Task) -> dict[str, Any]:
    """For each check one letter per seed: finding, clear, not possible, no verdict, or an error of the check."""
    letters = dict.fromkeys(task.checks, "")
    errors: dict[str, str] = {}
    for seed in range(task.start, task.stop):
        given = given_of(task, seed)
        for check in task.checks:
            try:
                asked = replace(given, settings=replace(given.settings, n_replicates=REPLICATES.get(check, FEW)))
                asked = replace(asked, study=STUDY) if check in AT_A_FITTED_THRESHOLD else asked
                verdicts = {row["verdict"] for row in CHECKS[check](asked).evidence}
            except Exception as error:  # an error of a check is a result here, and is shown
                errors[check] = f"seed {seed}: {type(error).__name__}: {error}"
                letters[check] += ERROR
                continue
            said = next((v for v in ("finding", "clear", "not_possible") if v in verdicts), "")
            letters[check] += {"finding": FINDING, "clear": CLEAR, "not_possible": NOT_POSSIBLE, "": SILENT}[said]
    return {"letters": letters, "errors": errors}


def tasks_of(checks: Iterable[str], *, seeds: dict[int, int], clean_seeds: dict[int, int]) -> Iterator[list[Task]]:
    """All tasks of some checks in stages: clean tables, then by number of patients and by size, small ones first."""
    wanted = [name for name in CHECKS if name in set(checks)]
    clean = []
    for n, number in clean_seeds.items():
        for start in range(0, number, BLOCK):
            stop = min(number, start + BLOCK)
            clean.append(Task("", 0.0, n, start, stop, tuple(wanted)))
            own = [defect for defect in OWN_TABLES if DEFECTS[defect].check in wanted]
            clean += [Task(defect, 0.0, n, start, stop, (DEFECTS[defect].check,)) for defect in own]
    yield clean
    planted = {name: defect for name, defect in DEFECTS.items() if defect.check in wanted}
    # First a few tables of everything, so that a run that is stopped early has something to say about each.
    for first, last in ((0, ENOUGH_TABLES), (ENOUGH_TABLES, max(seeds.values(), default=0))):
        for n, number in seeds.items():
            for place in range(4):
                yield [
                    Task(name, defect.sizes[place], n, start, min(number, start + BLOCK), (defect.check,))
                    for name, defect in planted.items()
                    for start in range(first, min(last, number), BLOCK)
                ]


def needed(cache: Cache, task: Task) -> bool:
    """False for the later seeds of a cell where a smaller size, or fewer patients, was found in every table."""
    if not task.size or task.start < ENOUGH_TABLES:
        return True
    planted = DEFECTS[task.defect]
    place, ns = planted.sizes.index(task.size), list(SEEDS)
    below = [(planted.sizes[place - 1], task.n)] if place else []
    below += [(task.size, ns[ns.index(task.n) - 1])] if task.n in ns[1:] else []
    letters = [cache.letters(planted.check, task.defect, size, n) for size, n in below]
    return not any(len(own) >= ENOUGH_TABLES and set(own) == {FINDING} for own in letters)


def digest_of(check: str) -> str:
    """SHA-256 over the files that a check's verdict depends on: its own, what they import, and the phantom's tables."""
    names = {inspect.getmodule(CHECKS[check]).__name__, "fiducial.audit.tables", "fiducial.audit.vendor"}  # type: ignore[union-attr]
    names |= {f"fiducial.phantom.{name}" for name in ("tables", "vendor", "defects")}
    seen: dict[str, bytes] = {}
    waiting = sorted(names)
    while waiting:
        name = waiting.pop()
        path = ROOT / "src" / Path(*name.split(".")).with_suffix(".py")
        if name in seen or name in NO_ARITHMETIC or not path.is_file():
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        seen[name] = _without_words(tree)
        found = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
        found += [
            f"{node.module}.{alias.name}"
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        ]
        waiting += [one for one in found if one.startswith(("fiducial.audit", "fiducial.maths", "fiducial.phantom"))]
    digest = hashlib.sha256(f"{REPLICATES.get(check, FEW)} {ATTRIBUTES}".encode())
    for name in sorted(seen):
        digest.update(name.encode() + b"\0" + seen[name])
    return digest.hexdigest()[:16]


def _without_words(tree: ast.Module) -> bytes:
    """The syntax alone: docstrings, comments and line breaks change no verdict."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            node.body = [
                line for line in node.body if not (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
            ]
    return ast.dump(tree).encode()


class Cache:
    """Results by check and task, forgotten where the check's digest is another."""

    def __init__(self, path: Path, checks: Iterable[str]) -> None:
        self.path = path
        held = json.loads(path.read_text()) if path.is_file() else {}
        self.held: dict[str, dict[str, Any]] = held
        for check in checks:
            digest = digest_of(check)
            if held.get(check, {}).get("digest") != digest:
                held[check] = {"digest": digest, "letters": {}, "errors": {}}

    def lacking(self, task: Task) -> Task | None:
        """The same task for the checks that have no result yet; None where all have."""
        checks = tuple(check for check in task.checks if task.key not in self.held[check]["letters"])
        return Task(**{**asdict(task), "checks": checks}) if checks else None

    def add(self, task: Task, result: dict[str, Any]) -> None:
        """Keep a result and write it down."""
        for check, letters in result["letters"].items():
            self.held[check]["letters"][task.key] = letters
            if check in result["errors"]:
                self.held[check]["errors"][task.key] = result["errors"][check]

    def letters(self, check: str, defect: str, size: float, n: int) -> str:
        """All letters of one cell, in the order of seeds."""
        beginning = f"{defect or 'clean'} {size:g} n={n} seeds "
        found = self.held.get(check, {}).get("letters", {})
        own = {int(k.removeprefix(beginning).split("-")[0]): v for k, v in found.items() if k.startswith(beginning)}
        return "".join(own[start] for start in sorted(own))

    def write(self) -> None:
        """To its file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, self.held)


def measure(cache: Cache, stage: list[Task], *, workers: int) -> None:
    """Run what the cache lacks of one stage, and write after each batch."""
    waiting = [task for task in map(cache.lacking, stage) if task is not None and needed(cache, task)]
    started = time.perf_counter()
    for start in range(0, len(waiting), BATCH):
        part = {f"{task.key} {' '.join(task.checks)}": task for task in waiting[start : start + BATCH]}
        done = map_cases(run, part, workers=workers)
        for key, result in done.results.items():
            cache.add(part[key], result)
        for failure in done.failures:
            print(f"  failed: {failure.key}: {failure.error}: {failure.message}", file=sys.stderr)
        cache.write()
        seconds = time.perf_counter() - started
        last = f"{part.popitem()[1].key}, {seconds:.0f} s"
        print(f"  {min(start + BATCH, len(waiting))} of {len(waiting)} tasks to {last}", file=sys.stderr)


def letters_of(cache: Cache, check: str, defect: str, size: float, n: int, seeds: int) -> str:
    """One cell's letters over the first ``seeds`` seeds; what the cache lacks of it is run in this process."""
    for start in range(0, seeds, BLOCK):
        lacking = cache.lacking(Task(defect, size, n, start, start + BLOCK, (check,)))
        if lacking is not None:
            cache.add(lacking, run(lacking))
            cache.write()
    return cache.letters(check, defect, size, n)[:seeds]


def share(letters: str) -> float:
    """Share of seeds with a finding."""
    return letters.count(FINDING) / len(letters) if letters else float("nan")


def printed(cache: Cache, checks: list[str]) -> str:
    """What was found, as plain text."""
    lines = []
    for defect, planted in DEFECTS.items():
        if planted.check not in checks:
            continue
        for n in SEEDS:
            cells = [cache.letters(planted.check, defect, size, n) for size in planted.sizes]
            shown = " ".join(f"{size:g}: {share(c):.2f}" for size, c in zip(planted.sizes, cells, strict=True))
            lines.append(f"{defect:22} {planted.check:18} n={n:<5} {shown}  ({len(cells[0])} seeds){_notes(cells)}")
    for check in checks:
        for defect in ("", *(name for name in OWN_TABLES if DEFECTS[name].check == check)):
            for n in CLEAN_SEEDS:
                cell = cache.letters(check, defect, 0.0, n)
                label = f"clean {defect}".strip()
                lines.append(f"{label:22} {check:18} n={n:<5} {cell.count(FINDING)} of {len(cell)}{_notes([cell])}")
    for check in checks:
        errors = cache.held[check]["errors"]
        lines += [f"error in {check}: {key}: {text}" for key, text in list(errors.items())[:3]]
    absent = sorted({p.check for p in DEFECTS.values()} - set(CHECKS))
    lines += [f"absent: {', '.join(absent)}"] if absent else []
    return "\n".join(lines)


def _notes(cells: list[str]) -> str:
    whole = "".join(cells)
    counts = {"not possible": NOT_POSSIBLE, "no verdict": SILENT, "errors": ERROR}
    said = [f"{name} {whole.count(letter)}" for name, letter in counts.items() if letter in whole]
    return f" [{', '.join(said)}]" if said else ""


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checks", nargs="+", default=list(CHECKS), metavar="NAME")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "power.json")
    parser.add_argument("--quick", action="store_true", help="20 seeds, to see whether anything is wrong")
    parser.add_argument("--write", action="store_true", help="make docs/reference/power.md")
    given = parser.parse_args()
    unknown = [name for name in given.checks if name not in CHECKS]
    if unknown:
        parser.error(f"no check {', '.join(unknown)}; there are {', '.join(CHECKS)}")
    few = {"seeds": dict.fromkeys(SEEDS, 20), "clean_seeds": dict.fromkeys(CLEAN_SEEDS, 20)}
    numbers = few if given.quick else {"seeds": SEEDS, "clean_seeds": CLEAN_SEEDS}
    cache = Cache(given.cache, CHECKS)
    for stage in tasks_of(given.checks, **numbers):
        measure(cache, stage, workers=given.workers)
    print(printed(cache, given.checks))
    if given.write:
        import power_page

        power_page.write(cache)


if __name__ == "__main__":
    main()
