"""``fiducial compare``: two audits side by side, paired on the cases that both answered."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial.errors import InputRefused
from fiducial.records.progress import Progress, silent

if TYPE_CHECKING:
    from fiducial.audit.comparison import Comparison, Side
    from fiducial.audit.given import AuditInput

SCHEMA = 1
AUDITED = "audited.parquet"


@dataclass(frozen=True)
class Compared:
    """What a comparison found: regressions and improvements in words, and the two files that hold all of it.

    ``n_worse`` and ``n_better`` count the verdicts that changed; ``n_images`` were answered by both.
    """

    before: str
    after: str
    page: Path
    table: Path
    regressions: tuple[str, ...]
    improvements: tuple[str, ...]
    n_tests: int
    n_rows: int
    n_worse: int
    n_better: int
    n_images: int
    notes: tuple[str, ...]


def compare(
    before: str | Path,
    after: str | Path,
    out: str | Path = "compare",
    *,
    level: float = 0.95,
    progress: Progress = silent,
) -> Compared:
    """Compare two audited folders and write ``compare.html`` and ``compare.json``.

    Args:
        before: The audited folder that there is.
        after: The audited folder that would replace it.
        out: The folder to write; neither of the two.
        level: Of the intervals; a difference counts where its adjusted p is at most 1 - level.
        progress: Called as ``progress(title, n_done, n_total)``.

    Raises:
        InputRefused: a folder was not audited or was changed, or the two have nothing in common: no target, no
            image, or two truths for one image.
    """
    from fiducial.audit.comparison import compare_audits
    from fiducial.records.files import write_json
    from fiducial.report import CompareInput, write_comparison

    before, after, out = Path(before), Path(after), Path(out)
    _require_apart(before, after, out)
    progress("compare", 0, 3)
    first, second = _side(before, _label(before, after)), _side(after, _label(after, before))
    progress("compare", 1, 3)
    found = compare_audits(first, second, level=level)
    progress("compare", 2, 3)
    sides = tuple(_facts(folder, side) for folder, side in ((before, first), (after, second)))
    plain = {"schema": SCHEMA, "level": level, "before": sides[0], "after": sides[1], **_plain(found)}
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "compare.json", plain)
    given = CompareInput(
        sides[0], sides[1], found.tests, found.rows, found.levelling, found.n_images, level, found.notes
    )
    page = write_comparison(given, out / "compare.html")
    progress("compare", 3, 3)
    return _compared(found, first.label, second.label, page, out / "compare.json")


def _compared(found: Comparison, before: str, after: str, page: Path, table: Path) -> Compared:
    changes = [row["change"] for row in found.rows]
    return Compared(
        before=before,
        after=after,
        page=page,
        table=table,
        regressions=tuple(
            [
                f"levelling down ({row['group']}): {row['reason']}"
                for row in found.levelling
                if row["verdict"] == "finding"
            ]
            + [_test_text(row) for row in found.tests if row["verdict"] == "worse"]
            + [_change_text(row) for row in found.rows if row["change"] == "worse"]
        ),
        improvements=tuple(
            [_test_text(row) for row in found.tests if row["verdict"] == "better"]
            + [_change_text(row) for row in found.rows if row["change"] == "better"]
        ),
        n_tests=len(found.tests),
        n_rows=len(found.rows),
        n_worse=changes.count("worse"),
        n_better=changes.count("better"),
        n_images=found.n_images,
        notes=found.notes,
    )


def _test_text(row: dict[str, Any]) -> str:
    named = ", ".join(text for text in (row["target"], row["item"], row["group"]) if text and text != "all")
    return (
        f"{row['metric']}{f' ({named})' if named else ''}: {row['before']:.3f} to {row['after']:.3f}, difference "
        f"{row['value']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}], adjusted p {row['p_adjusted']:.2g}"
    )


def _change_text(row: dict[str, Any]) -> str:
    named = ", ".join(str(row[name]) for name in ("metric", "target", "item", "group") if row[name] not in ("", "all"))
    return f"{row['check']} ({named}): {row['before']['verdict']} to {row['after']['verdict']}".replace("_", " ")


def _side(folder: Path, label: str) -> Side:
    """One audited folder: its files verified, its tables read."""
    from fiducial.audit.comparison import Side
    from fiducial.audit.evidence import read_evidence
    from fiducial.records.runs import read_record, verify
    from fiducial.records.tables import CASES, PREDICTIONS, read_table

    record = read_record(folder)
    if "evidence.json" not in record["files"]:
        raise InputRefused("no evidence to compare", where=str(folder), action="audit it first: fiducial audit")
    evidence = read_evidence(folder / "evidence.json")
    wanted = ("evidence.json", "cases.parquet", AUDITED, "study.toml")
    verify(folder, *(name for name in wanted if name in record["files"]))
    given = None
    if AUDITED in record["files"]:
        rows = read_table(folder / AUDITED, PREDICTIONS)
        given = _tables(folder, record, rows, read_table(folder / "cases.parquet", CASES))
    return Side(label, evidence, given)


def _tables(folder: Path, record: dict[str, Any], rows: Any, cases: Any) -> AuditInput:
    """What was audited, as the audit saw it."""
    from fiducial.audit.given import AuditInput, AuditSettings
    from fiducial.audit.tables import prepared
    from fiducial.records.tables import PREDICTIONS
    from fiducial.study import load_study

    study = load_study(folder / "study.toml") if (folder / "study.toml").is_file() else None
    extra = [str(name) for name in rows.columns if name not in PREDICTIONS.names]
    known = bool(record.get("audit", {}).get("person_known", True))
    own = study.data.attributes if study is not None else ()
    given = AuditInput(
        predictions=rows[PREDICTIONS.names],
        cases=cases,
        attributes=rows[["image", *extra]].drop_duplicates("image"),
        study=study,
        settings=AuditSettings(person_known=known, attributes=own or tuple(extra)),
    )
    given = prepared(given)
    # A criterion's group may name an attribute that was not kept; what is not there cannot divide the cases.
    there = tuple(name for name in given.settings.attributes if name in given.attributes.columns)
    return replace(given, settings=replace(given.settings, attributes=there))


def _facts(folder: Path, side: Side) -> dict[str, Any]:
    """What a side is, for the head of the page."""
    from fiducial.flows.verify import signatories
    from fiducial.records.chain import chain_of, json_rows
    from fiducial.records.runs import read_record

    record = read_record(folder)
    names = sorted({str(name) for name in side.evidence["model"] if name})
    return {
        "label": side.label,
        "study": str(record.get("study_name", "")) or next((str(name) for name in side.evidence["study"] if name), ""),
        "model": ", ".join(names),
        "source": str(record.get("audit", {}).get("source", "")),
        "head": chain_of(json_rows(side.evidence), ()).head,
        "n_rows": len(side.evidence),
        "signed_by": [who.name for who in signatories(folder) if who.holds],
    }


def _label(folder: Path, other: Path) -> str:
    """The folder's name, with its parent's where both have one name."""
    here = folder.resolve()
    return here.name if here.name != other.resolve().name else f"{here.parent.name}/{here.name}"


def _require_apart(before: Path, after: Path, out: Path) -> None:
    if before.resolve() == after.resolve():
        raise InputRefused("both are one folder", where=str(before), legal="two audited folders")
    for folder in (before, after):
        if out.resolve() == folder.resolve():
            raise InputRefused(
                "the comparison would be written into a run", where=str(out), action="choose another --out"
            )


def _plain(found: Comparison) -> dict[str, Any]:
    return {name: _json(getattr(found, name)) for name in ("tests", "rows", "levelling", "n_images", "notes")}


def _json(value: Any) -> Any:
    """JSON values: a number that is not finite becomes null."""
    if isinstance(value, dict):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
