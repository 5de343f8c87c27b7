"""``fiducial verify``: is a run what was sealed, and is it what this key signed? If not, what was changed?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial.errors import InputRefused
from fiducial.records.progress import Progress, silent

if TYPE_CHECKING:
    from fiducial.records.signature import Signature
    from fiducial.records.statement import Change


@dataclass(frozen=True)
class Signatory:
    """A signature as a verifier sees it.

    ``valid``: the signature fits its statement and the public key beside it. ``holds``: valid, and the run is still
    what was signed. ``by_key``: made with the key that was given. ``reason`` says why it does not hold.
    """

    name: str
    signed_at: str
    key: str
    valid: bool
    holds: bool
    by_key: bool
    reason: str


@dataclass(frozen=True)
class Verified:
    """What a verification found.

    ``state`` is ``proven`` (a signature of the given key holds), ``not_proven`` (a key was given and none of its
    signatures holds), ``signed`` (no key was given; a signature holds, but whose it is was not checked), ``unsigned``,
    or ``changed`` (without a key: something differs from what was sealed or signed). ``changes`` names every change.
    ``notes`` say what was not looked at.
    """

    run: Path
    state: str
    changes: tuple[Change, ...]
    signatures: tuple[Signatory, ...]
    n_files: int
    n_evidence: int
    notes: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing was changed and, where a key was given, its signature proves it."""
        return self.state in ("proven", "signed", "unsigned")


def verify(run: str | Path, key: str | Path | None = None, *, progress: Progress = silent) -> Verified:
    """Verify a run's seals, its evidence rows and its signatures.

    Args:
        run: A run, or any folder that an audit wrote.
        key: The signer's public key (PEM), from a place that you trust; None verifies seals only.
        progress: Called as ``progress(title, n_done, n_total)``.

    Raises:
        IntegrityError: ``run.json`` or ``signature.json`` cannot be read at all.
        InputRefused: the key cannot be used, or lies inside the run.
    """
    from fiducial.records.runs import read_record, unsealed_files
    from fiducial.records.signature import load_public_key, read_signatures

    run = Path(run)
    record = read_record(run)
    wanted = _public_key(Path(key), run, load_public_key) if key is not None else ""
    progress("verify", 0, 2)
    rows, sealed = _sealed_changes(run, record)
    progress("verify", 1, 2)
    signatures = read_signatures(run)
    judged = [_judge(signature, run, record, rows, wanted) for signature in signatures]
    progress("verify", 2, 2)
    state, changes = _verdict(judged, sealed, bool(wanted))
    notes = [f"not sealed, and read by nothing: {name}" for name in unsealed_files(run)[:20]]
    notes += _model_notes(run, record)
    if "report.html" in record["files"]:
        notes.append("report.html is drawn from what is signed and is not signed itself: fiducial report draws it anew")
    return Verified(
        run=run,
        state=state,
        changes=tuple(changes),
        signatures=tuple(signatory for signatory, _ in judged),
        n_files=len(record["files"]),
        n_evidence=len(rows or ()),
        notes=tuple(notes),
    )


def signatories(run: Path) -> tuple[Signatory, ...]:
    """The signatures of a run, each with whether it holds for what lies there now; for the report."""
    from fiducial.records.runs import read_record
    from fiducial.records.signature import read_signatures

    signatures = read_signatures(run)
    if not signatures:
        return ()
    record = read_record(run)
    rows, _ = _sealed_changes(run, record, files=False)
    return tuple(_judge(signature, run, record, rows, "")[0] for signature in signatures)


def _sealed_changes(
    run: Path, record: dict[str, Any], *, files: bool = True
) -> tuple[list[dict[str, Any]] | None, list[Change]]:
    """The evidence rows, and what differs from run.json's digests and the evidence's own chain."""
    from fiducial.audit.evidence import stored_rows
    from fiducial.records.runs import changed_files
    from fiducial.records.statement import EVIDENCE_FILE, Change, evidence_changes

    rows: list[dict[str, Any]] | None = None
    changes: list[Change] = []
    if EVIDENCE_FILE in record["files"]:
        try:
            rows, chain = stored_rows(run / EVIDENCE_FILE)
            changes += evidence_changes(rows, chain)
        except InputRefused as error:
            changes.append(Change("file", EVIDENCE_FILE, error.given))
    if files:
        changes += [Change("file", name, how) for name, how in changed_files(run, record["files"])]
    return rows, changes


def _judge(
    signature: Signature, run: Path, record: dict[str, Any], rows: list[dict[str, Any]] | None, wanted: str
) -> tuple[Signatory, list[Change]]:
    """One signature against what lies in the run now."""
    from fiducial.records.statement import Change, statement_changes

    by_key = signature.public_key == wanted
    changes: list[Change] = []
    if not signature.valid:
        reason = "the signature does not fit its statement and its key: one of the three was changed"
        changes = [Change("signature", f"signature of {signature.name}", reason)]
    else:
        changes = statement_changes(signature.statement, run, record, rows) + _model_changes(signature, run, record)
        reason = f"{changes[0].what}: {changes[0].how}" if changes else ""
    signatory = Signatory(
        signature.name, signature.signed_at, signature.key, signature.valid, not changes, by_key, reason
    )
    return signatory, changes


def _verdict(
    judged: list[tuple[Signatory, list[Change]]], sealed: list[Change], key_given: bool
) -> tuple[str, list[Change]]:
    """The state, and the changes that explain it: of the newest signature that counts, else of the seals."""
    from fiducial.records.statement import Change

    own = [(who, changes) for who, changes in judged if who.by_key] if key_given else judged
    holding = [who for who, _ in own if who.holds]
    if holding and not sealed:
        return ("proven" if key_given else "signed"), []
    if not own:
        if not key_given:
            return ("changed" if sealed else "unsigned"), sealed
        others = ", ".join(f"{who.name} (key {who.key})" for who, _ in judged)
        why = f"none is by the given key; signed by {others}" if judged else "unsigned: there is no signature"
        return "not_proven", [Change("signature", "signature.json", why), *sealed]
    # A seal that differs where the signature holds: report.html, which no signature covers.
    changes = list(sealed) if holding else list(dict.fromkeys([*own[-1][1], *sealed]))
    return ("not_proven" if key_given else "changed"), changes


def _model_changes(signature: Signature, run: Path, record: dict[str, Any]) -> list[Change]:
    """Whether a model that lies in another folder is still the one that was signed."""
    from fiducial.records.files import sha256_file
    from fiducial.records.statement import MODEL_FILE, Change, model_file

    path = model_file(run, record)
    if path is None or MODEL_FILE in record["files"] or not path.is_file():
        return []
    if sha256_file(path) == signature.statement.get("model_sha256"):
        return []
    return [Change("model", str(record["run_folder"]), f"its {MODEL_FILE} is not the model that was signed")]


def _model_notes(run: Path, record: dict[str, Any]) -> list[str]:
    from fiducial.records.statement import model_file

    path = model_file(run, record)
    if path is None or path.is_file():
        return []
    return [f"the model lies elsewhere ({record.get('run_folder', 'in this run')}) and is not there to be looked at"]


def _public_key(key: Path, run: Path, load: Any) -> str:
    """The public key, refused where it lies in the run: whoever changed the run could have put it there."""
    if key.resolve().is_relative_to(run.resolve()):
        raise InputRefused(
            "this public key lies inside the run that it is to prove",
            where=str(key),
            action="get the signer's public key from a place that you trust",
        )
    return str(load(key))
