"""Keyed pseudonyms: one person, study or series always gets one short id, and nobody without the key can go back.

HMAC-SHA256 over kind and raw identifier, in base32, cut to 60 bits (50 for studies and series): with a million
patients the chance that any two share an id is below one in a million.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fiducial.errors import IntegrityError
from fiducial.records.files import atomic_path, read_json

PRIVATE = "private"
KEY_BYTES = 32
SUBJECT_LETTERS = 12
OTHER_LETTERS = 10
# A short identifier, such as "7", would be found in any path: it counts only where it stands alone.
MIN_LETTERS_INSIDE = 4
MIN_LETTERS_ANYWHERE = 8
# Words of our own reasons. Test archives call people so, and a reason must stay readable.
OWN_WORDS = frozenset({"anonymous", "patient", "patients", "series", "study", "image", "slice", "slices", "unknown"})


@dataclass(frozen=True)
class Pseudonyms:
    """Makes pseudonyms with one key; the key never shows in `repr`."""

    key: bytes = field(repr=False)

    def subject(self, patient_id: str) -> str:
        """The id of a person, from PatientID."""
        return "p" + self._letters("subject", patient_id.strip(), SUBJECT_LETTERS)

    def of(self, kind: str, raw: str) -> str:
        """The id of something else (``study``, ``series``, ``frame``, ``site``); "" stays ""."""
        return f"{kind[0]}{self._letters(kind, raw.strip(), OTHER_LETTERS)}" if raw.strip() else ""

    def uid(self, raw: str) -> str:
        """A DICOM UID in place of another: ``2.25.`` and 128 bits (PS3.5 B.2); "" stays ""."""
        return f"2.25.{int.from_bytes(self._digest('uid', raw.strip())[:16], 'big')}" if raw.strip() else ""

    def number(self, kind: str, raw: str, below: int) -> int:
        """A number from 0 on and below ``below``."""
        return int.from_bytes(self._digest(kind, raw.strip())[:16], "big") % below

    def _letters(self, kind: str, raw: str, n_letters: int) -> str:
        return base64.b32encode(self._digest(kind, raw)).decode().lower()[:n_letters]

    def _digest(self, kind: str, raw: str) -> bytes:
        return hmac.new(self.key, f"{kind}\x1f{raw}".encode(), hashlib.sha256).digest()


def private_folder(cohort: Path) -> Path:
    """The cohort's folder for identifiers, made readable by its owner alone."""
    folder = cohort / PRIVATE
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def private_key(cohort: Path) -> bytes:
    """The cohort's pseudonym key: read from ``private/key``, or drawn and written there (256 bits, owner only).

    Raises:
        IntegrityError: the file is not a key.
    """
    path = private_folder(cohort) / "key"
    if not path.exists():
        with atomic_path(path) as part:
            part.write_text(secrets.token_hex(KEY_BYTES) + "\n")
        path.chmod(0o600)
    text = path.read_text().strip()
    if not re.fullmatch(rf"[0-9a-f]{{{2 * KEY_BYTES}}}", text):
        raise IntegrityError("no pseudonym key", where=str(path), legal=f"{2 * KEY_BYTES} hexadecimal digits")
    return bytes.fromhex(text)


def write_private(cohort: Path, name: str, value: Any) -> None:
    """Write JSON below ``private/``, readable by its owner alone."""
    import json

    path = private_folder(cohort) / name
    with atomic_path(path) as part:
        part.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    path.chmod(0o600)


def read_subjects(cohort: Path) -> dict[str, str]:
    """Raw PatientID to pseudonym, as the last ingest left it; empty where nothing was ingested from DICOM."""
    path = cohort / PRIVATE / "subjects.json"
    return dict(read_json(path)) if path.exists() else {}


class Redactor:
    """Replaces raw identifiers in paths and names by their pseudonyms.

    An identifier is found as a whole path component, between characters that are no letters or digits (from four
    letters on), and anywhere (from eight on).
    """

    def __init__(self, replacements: Mapping[str, str]) -> None:
        self._whole = {
            raw.strip().lower(): new
            for raw, new in replacements.items()
            if raw.strip() and raw.strip().lower() not in OWN_WORDS
        }
        patterns = [
            re.escape(raw) if len(raw) >= MIN_LETTERS_ANYWHERE else rf"(?<![^\W_]){re.escape(raw)}(?![^\W_])"
            for raw in sorted(self._whole, key=len, reverse=True)
            if len(raw) >= MIN_LETTERS_INSIDE
        ]
        self._inside = re.compile("|".join(patterns), re.IGNORECASE) if patterns else None

    def __call__(self, text: str) -> str:
        """``text`` without known identifiers, path component by path component."""
        return "/".join(self._component(part) for part in text.split("/"))

    def _component(self, part: str) -> str:
        whole = self._whole.get(part.strip().lower())
        if whole is not None or self._inside is None:
            return part if whole is None else whole
        return self._inside.sub(lambda match: self._whole[match[0].lower()], part)


def name_forms(raw_name: str) -> Iterable[str]:
    """How a DICOM person name (``Family^Given``) shows in paths: whole, and each part of some length."""
    parts = [part for part in re.split(r"[\^= ,_]+", raw_name) if len(part) >= MIN_LETTERS_INSIDE]
    yield raw_name
    for separator in ("_", " ", "-", ", ", ""):
        yield separator.join(re.split(r"[\^= ,_]+", raw_name.strip("^ ")))
    yield from parts
