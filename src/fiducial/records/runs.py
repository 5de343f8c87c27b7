"""A run folder's record of itself: ``run.json`` holds facts and the SHA-256 of every file.

Each step seals the files that it wrote and verifies the files that it reads. A file that changed in between is
refused, never silently used; sealing one step's files does not touch the digests of another's. A record is read as if
a stranger had written it: names that lead out of the run are refused. Signatures lie beside the record, not in it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fiducial.errors import IntegrityError
from fiducial.records.files import sha256_file, write_json
from fiducial.records.signature import SIGNATURE
from fiducial.records.untrusted import file_inside, read_json_strictly

RECORD = "run.json"
SCHEMA = 1


def seal(run: str | Path, *names: str, **facts: Any) -> dict[str, Any]:
    """Record the digests of files and further facts in ``run.json``, atomically; return the whole record.

    The first seal notes when the record was ``created``.

    Args:
        run: The run folder.
        *names: Files that this step wrote, relative to the run; a folder stands for every file in it. Without
            names, every file of the run that is not recorded yet is sealed.
        **facts: What is to be remembered beside the digests (seed, versions, fingerprints ...); a fact that is
            given again replaces the earlier one.

    Raises:
        IntegrityError: a named file does not exist, or ``run.json`` is not a record.
    """
    run = Path(run)
    record: dict[str, Any] = {"schema": SCHEMA, "files": {}}
    if (run / RECORD).exists():
        record = read_record(run)
    digests: dict[str, str] = record["files"]
    # A folder that is sealed again loses the entries of files that no longer exist in it.
    gone = [key for key in digests for name in names if key.startswith(f"{name}/") and not (run / key).exists()]
    for key in gone:
        digests.pop(key, None)
    there = [name for name in names if (run / name).exists() or not any(key.startswith(f"{name}/") for key in gone)]
    chosen = [path for name in there for path in _named(run, name)] if names else _unsealed(run, digests)
    digests |= {path.relative_to(run).as_posix(): sha256_file(path) for path in chosen}
    record |= facts
    record.setdefault("created", datetime.now(UTC).isoformat(timespec="seconds"))
    write_json(run / RECORD, record)
    return record


def verify(run: str | Path, *names: str) -> dict[str, Any]:
    """Check files of a run against their recorded digests and return the record.

    Args:
        run: The run folder.
        *names: Files, or folders of files, relative to the run; without names, every recorded file.

    Raises:
        IntegrityError: ``run.json`` is missing or unreadable, or a file is not recorded, is missing or differs.
    """
    run = Path(run)
    record = read_record(run)
    digests: dict[str, str] = record["files"]
    wanted: list[str] = []
    for name in names or tuple(digests):
        inside = [key for key in digests if key == name or key.startswith(f"{name}/")]
        if not inside:
            raise IntegrityError(
                "this file has no digest in run.json",
                where=str(run / name),
                legal=", ".join(sorted(digests)[:12]) or "nothing is sealed yet",
                action="run the step that writes it again",
            )
        wanted += inside
    for key in wanted:
        _require_same(file_inside(run, key), digests[key])
    return record


def changed_files(run: str | Path, digests: dict[str, str]) -> list[tuple[str, str]]:
    """Every file that is not as its digest says, with what happened to it, in words; all are looked at."""
    changed = []
    for name, digest in digests.items():
        try:
            path = file_inside(run, name)
        except IntegrityError as error:
            changed.append((name, error.given))
            continue
        if not path.is_file():
            changed.append((name, "missing"))
        elif (found := sha256_file(path)) != digest:
            changed.append((name, f"changed (SHA-256 {found[:12]} instead of {digest[:12]})"))
    return changed


def unsealed_files(run: str | Path) -> list[str]:
    """Files that lie in a run without a digest: nothing of Fiducial reads them, and no signature covers them."""
    run = Path(run)
    return [path.relative_to(run).as_posix() for path in _unsealed(run, read_record(run)["files"])]


def read_record(run: str | Path) -> dict[str, Any]:
    """Read ``run.json`` without checking any file.

    Raises:
        IntegrityError: there is none, or it is not a record of a run.
    """
    path = Path(run) / RECORD
    if not path.is_file():
        raise IntegrityError(
            "no run.json: this folder is not a run, or its training did not finish",
            where=str(run),
            action="make a run with `fiducial train STUDY.toml --out RUN`; `--resume` goes on with an unfinished one",
        )
    record = read_json_strictly(path)
    if not isinstance(record, dict) or not isinstance(record.get("files"), dict):
        raise IntegrityError("not the record of a run: it has no table of files", where=str(path))
    if not all(isinstance(digest, str) for digest in record["files"].values()):
        raise IntegrityError("not the record of a run: a digest is not text", where=str(path))
    return record


def _named(run: Path, name: str) -> list[Path]:
    """The files that a name stands for."""
    path = run / name
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if _counts(p, run))
    elif path.is_file():
        found = [path]
    else:
        raise IntegrityError("cannot be sealed: no such file", where=str(path))
    for one in found:
        file_inside(run, one.relative_to(run).as_posix())
    return found


def _unsealed(run: Path, digests: dict[str, str]) -> list[Path]:
    """The files of a run that have no digest yet."""
    return sorted(p for p in run.rglob("*") if _counts(p, run) and p.relative_to(run).as_posix() not in digests)


def _counts(path: Path, run: Path) -> bool:
    """Whether a path is a file of the run: not the record or its signatures, nothing hidden or half-written."""
    parts = path.relative_to(run).parts
    own = parts in ((RECORD,), (SIGNATURE,))
    return path.is_file() and not own and not any(part.startswith(".") for part in parts)


def _require_same(path: Path, digest: str) -> None:
    """Refuse a file that is missing or differs from its digest."""
    if not path.is_file():
        raise IntegrityError(
            "recorded in run.json, but missing", where=str(path), action="restore it, or run that step again"
        )
    found = sha256_file(path)
    if found != digest:
        raise IntegrityError(
            f"the file changed after it was sealed (SHA-256 {found[:12]} instead of {digest[:12]})",
            where=str(path),
            action="restore the original file, or run the step that writes it again; a changed file is never used",
        )
