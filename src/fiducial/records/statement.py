"""What a signature says about a run, and whether the run is still what was signed.

The statement holds the digest of every sealed file, of every fact in ``run.json``, and the chain of the evidence rows.
`report.html` is left out: it is drawn from what is signed, and must be able to say who signed it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fiducial import RESEARCH_USE, __version__
from fiducial.errors import IntegrityError
from fiducial.records.chain import Chain, Row, RowChange, chain_from_json, row_changes
from fiducial.records.files import sha256_json
from fiducial.records.runs import changed_files

SCHEMA = 1
EVIDENCE_FILE = "evidence.json"
MODEL_FILE = "model.safetensors"
UNSIGNED_FILES = frozenset({"report.html"})
"""Drawn from what is signed, after it was signed."""
_SAID = ("check", "metric", "statistic", "target", "item", "group", "split")


@dataclass(frozen=True)
class Change:
    """One thing that is not what was sealed or signed.

    ``kind`` is ``file``, ``row``, ``fact``, ``model`` or ``signature``; ``what`` names it and ``how`` says what
    happened, in words.
    """

    kind: str
    what: str
    how: str


def statement_of(
    record: dict[str, Any], chain: Chain, *, model_sha256: str, signer: str, signed_at: str
) -> dict[str, Any]:
    """The statement about a run whose record and evidence chain were verified."""
    return {
        "statement": SCHEMA,
        "says": "I have read the verdicts, the limits and the findings of this evidence.",
        "research_use": RESEARCH_USE,
        "signer": signer,
        "signed_at": signed_at,
        "fiducial": __version__,
        "study": str(record.get("study_name", "")),
        "study_fingerprint": str(record.get("fingerprint", "")),
        "model_sha256": model_sha256,
        "evidence": chain.to_json(),
        "files": {name: digest for name, digest in record["files"].items() if name not in UNSIGNED_FILES},
        "facts": _facts(record),
    }


def statement_changes(
    statement: dict[str, Any], folder: Path, record: dict[str, Any], rows: list[dict[str, Any]] | None
) -> list[Change]:
    """What of a run is not as its statement says, evidence rows first.

    Args:
        statement: A statement whose signature was tried.
        folder: The run folder.
        record: Its ``run.json``, unverified.
        rows: The rows of its evidence as JSON values; None where they cannot be read (``evidence.json`` then counts
            as changed, without the row).

    Raises:
        IntegrityError: the statement is of another version, or not a statement.
    """
    files, facts = _digests(statement, "files"), _digests(statement, "facts")
    if statement.get("statement") != SCHEMA:
        raise IntegrityError(
            f"a statement of version {statement.get('statement')!r}",
            where=str(folder / "signature.json"),
            legal=str(SCHEMA),
            action="verify it with the version of Fiducial that it names",
        )
    changes = [] if rows is None else evidence_changes(rows, _chain(statement, folder))
    changes += [Change("file", name, how) for name, how in changed_files(folder, files)]
    recorded = record["files"]
    changes += [
        Change("file", name, "sealed after the signature: it was not signed")
        for name in sorted(recorded.keys() - files.keys() - UNSIGNED_FILES)
    ]
    changes += [Change("file", name, "no longer in run.json's list") for name in sorted(files.keys() - recorded.keys())]
    now = _facts(record)
    for name in sorted(facts.keys() | now.keys()):
        if facts.get(name) != now.get(name):
            how = "added" if name not in facts else "removed" if name not in now else "changed"
            changes.append(Change("fact", name, f"{how} in run.json after the signature"))
    return changes


def evidence_changes(rows: list[dict[str, Any]], chain: Chain) -> list[Change]:
    """Rows that are not what the chain says, in words."""
    found = row_changes(rows, chain)
    return [Change("row", f"{EVIDENCE_FILE}, row {change.row}", _row_text(change, rows)) for change in found]


def model_file(folder: Path, record: dict[str, Any]) -> Path | None:
    """Where the model of a run, or of the run that these predictions were made with, should lie; None without one."""
    if MODEL_FILE in record["files"]:
        return folder / MODEL_FILE
    origin = record.get("run_folder")
    return folder / origin / MODEL_FILE if isinstance(origin, str) and "\0" not in origin else None


def named(row: Row) -> str:
    """A row in a few words: check, metric, target, group and part."""
    words = (str(row[name]) for name in _SAID if row.get(name) not in (None, "", "all", "value"))
    return ", ".join(words)[:160]


def _row_text(change: RowChange, rows: list[dict[str, Any]]) -> str:
    """What happened to a row."""
    if change.how == "removed":
        return f"removed: the row that was number {change.was} is gone"
    row = rows[change.row - 1]
    said = f" ({named(row)})" if named(row) else ""
    if change.how == "added":
        return f"added{said}: no row of the chain"
    if change.how == "moved":
        return f"moved{said}: it was number {change.was}"
    columns = f", column {', '.join(change.columns)}" if change.columns else ""
    now = "; ".join(f"{name} is now {_short(row.get(name))}" for name in change.columns[:4])
    return f"changed{said}{columns}{f': {now}' if now else ''}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _facts(record: dict[str, Any]) -> dict[str, str]:
    return {name: sha256_json(value) for name, value in record.items() if name != "files"}


def _digests(statement: dict[str, Any], name: str) -> dict[str, str]:
    held = statement.get(name)
    if not isinstance(held, dict) or not all(isinstance(text, str) for text in held.values()):
        raise IntegrityError(f"a statement without its {name}", where="signature.json", legal="digests by name")
    return held


def _chain(statement: dict[str, Any], folder: Path) -> Chain:
    return chain_from_json(statement.get("evidence"), where=str(folder / "signature.json"))
