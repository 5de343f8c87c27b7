"""``fiducial keys`` and ``fiducial sign``: a person stands for the evidence of a run, with a key that is not in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial.errors import InputRefused, IntegrityError
from fiducial.records.progress import Progress, silent

if TYPE_CHECKING:
    from fiducial.records.chain import Chain

PRIVATE, PUBLIC = "private.pem", "public.pem"
MAX_NAME = 120


@dataclass(frozen=True)
class Keys:
    """A key pair that was written, and the public key's fingerprint."""

    private: Path
    public: Path
    key: str
    locked: bool


@dataclass(frozen=True)
class Signed:
    """A signature that was added to a run."""

    run: Path
    signature: Path
    name: str
    key: str
    signed_at: str
    n_files: int
    n_evidence: int
    n_signatures: int
    head: str
    report: str
    warnings: tuple[str, ...]


def keys(out: str | Path, *, passphrase: str = "") -> Keys:
    """Make an Ed25519 key pair: ``private.pem`` (mode 0600) and ``public.pem``.

    Args:
        out: The folder to write, which must not be a run or lie in one.
        passphrase: Locks the private key; empty leaves it unlocked.

    Raises:
        InputRefused: a key of that name is there already, or the folder belongs to a run.
    """
    from fiducial.records.signature import key_fingerprint, load_public_key, new_key_pair

    out = Path(out)
    _require_outside_of_runs(out)
    private, public = out / PRIVATE, out / PUBLIC
    for path in (private, public):
        if path.exists() or path.is_symlink():
            raise InputRefused("a key is there already", where=str(path), action="choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    private_pem, public_pem = new_key_pair(passphrase)
    _write_new(private, private_pem, 0o600)
    try:
        _write_new(public, public_pem, 0o644)
    except OSError:
        private.unlink()
        raise
    return Keys(private, public, key_fingerprint(load_public_key(public)), bool(passphrase))


def sign(
    run: str | Path,
    key: str | Path,
    *,
    name: str,
    passphrase: str = "",
    now: datetime | None = None,
    progress: Progress = silent,
) -> Signed:
    """Add a signature over everything that a run has sealed to its ``signature.json``.

    Every sealed file and every evidence row is verified first: what was changed cannot be signed. A report that lies
    in the run is drawn again, so that it says who signed.

    Args:
        run: A run, or any folder that an audit wrote.
        key: The private key (PEM), outside the run.
        name: Who signs, in words.
        passphrase: Of the private key, where it is locked.
        now: When; None for the present.
        progress: Called as ``progress(title, n_done, n_total)``.

    Raises:
        InputRefused: the key cannot be used or lies inside the run, or there is no evidence.
        IntegrityError: something in the run was changed.
    """
    from fiducial.records.runs import read_record
    from fiducial.records.signature import (
        SIGNATURE,
        append_signature,
        key_fingerprint,
        load_private_key,
        loose_permissions,
        signed,
    )
    from fiducial.records.statement import statement_of

    run, key = Path(run), Path(key)
    _require_name(name)
    record = read_record(run)
    _require_outside(key, run)
    progress("sign", 0, 1)
    private = load_private_key(key, passphrase=passphrase)
    chain = _verified(run)
    moment = (now or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds")
    statement = statement_of(record, chain, model_sha256=_model_digest(run, record), signer=name, signed_at=moment)
    entry = signed(statement, private)
    n_signatures = append_signature(run, entry)
    progress("sign", 1, 1)
    return Signed(
        run=run,
        signature=run / SIGNATURE,
        name=name,
        key=key_fingerprint(entry["public_key"]),
        signed_at=moment,
        n_files=len(statement["files"]),
        n_evidence=len(chain.links),
        n_signatures=n_signatures,
        head=chain.head,
        report=_redrawn(run, record, progress),
        warnings=tuple(text for text in [loose_permissions(key)] if text),
    )


def _verified(run: Path) -> Chain:
    """The evidence chain of a run in which nothing was changed.

    Raises:
        InputRefused: there is no evidence.
        IntegrityError: a file or a row differs from what was sealed.
    """
    from fiducial.audit.evidence import stored_rows
    from fiducial.records.runs import read_record, verify
    from fiducial.records.statement import EVIDENCE_FILE, UNSIGNED_FILES, evidence_changes

    sealed = read_record(run)["files"]
    if EVIDENCE_FILE not in sealed:
        raise InputRefused("no evidence to sign", where=str(run), action="audit it first: fiducial audit RUN")
    rows, chain = stored_rows(run / EVIDENCE_FILE)
    changes = evidence_changes(rows, chain)
    if changes:
        raise IntegrityError(f"{changes[0].what} {changes[0].how}", where=str(run), action="audit again, then sign")
    verify(run, *(name for name in sealed if name not in UNSIGNED_FILES))
    return chain


def _model_digest(run: Path, record: dict[str, Any]) -> str:
    """SHA-256 of the model, verified where it lies; empty where the predictions came as a table."""
    from fiducial.records.runs import verify
    from fiducial.records.statement import MODEL_FILE, model_file

    path = model_file(run, record)
    if path is None or not path.is_file():
        return ""
    return str(verify(path.parent, MODEL_FILE)["files"][MODEL_FILE])


def _redrawn(run: Path, record: dict[str, Any], progress: Progress) -> str:
    """The report in the run, drawn again; an empty text where there is none."""
    if "report.html" not in record["files"]:
        return ""
    from fiducial.flows.report import report

    return str(report(run, progress=progress).report)


def _require_name(name: str) -> None:
    if not name.strip() or not name.isprintable() or len(name) > MAX_NAME:
        raise InputRefused(f"name {name[:40]!r}", where="--name", legal=f"1 to {MAX_NAME} printable characters")


def _require_outside(key: Path, run: Path) -> None:
    """Refuse a private key that would travel with what it signs."""
    if key.resolve().is_relative_to(run.resolve()):
        raise InputRefused(
            "the private key lies inside the run: whoever gets the run could sign it",
            where=str(key),
            action="move the key out of the run, and keep it where only you can read it",
        )


def _require_outside_of_runs(folder: Path) -> None:
    from fiducial.records.runs import RECORD

    there = folder.resolve()
    for parent in (there, *there.parents):
        if (parent / RECORD).is_file():
            raise InputRefused("keys do not belong into a run", where=str(parent), action="choose another --out")


def _write_new(path: Path, text: bytes, mode: int) -> None:
    """Write a file that must not exist yet, with its permissions from the first byte on."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text)
    except OSError:
        path.unlink()
        raise
