"""Ed25519 signatures of a run's statement: keys in PEM files, signatures in ``signature.json`` beside what they sign.

A signature proves that whoever holds the private key signed exactly this statement. Whose key it is, a verifier must
know from elsewhere: that is why verification takes the public key from a path and not from the run.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial.errors import InputRefused, IntegrityError, UnreadableFile
from fiducial.records.files import write_json
from fiducial.records.untrusted import read_json_strictly

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIGNATURE = "signature.json"
SCHEMA = 1
DOMAIN = b"fiducial statement 1\n"
"""Stands before the statement in what is signed, so that no signature made for another purpose fits."""
MAX_KEY_BYTES = 64 * 2**10
_LEGAL = "Ed25519, in PEM (made by `fiducial keys --out DIR`)"


@dataclass(frozen=True)
class Signature:
    """One signature: the statement, the public key that it names (64 hexadecimal digits), and whether the two fit."""

    statement: dict[str, Any]
    public_key: str
    valid: bool

    @property
    def name(self) -> str:
        """Whom the signer says to be."""
        return str(self.statement["signer"])

    @property
    def signed_at(self) -> str:
        """When the signer says to have signed (ISO 8601, UTC)."""
        return str(self.statement["signed_at"])

    @property
    def key(self) -> str:
        """The key's fingerprint."""
        return key_fingerprint(self.public_key)


def key_fingerprint(public_key: str) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the raw public key, to compare over the telephone."""
    text = hashlib.sha256(bytes.fromhex(public_key)).hexdigest()[:16]
    return " ".join(text[k : k + 4] for k in range(0, 16, 4))


def new_key_pair(passphrase: str = "") -> tuple[bytes, bytes]:
    """A fresh private key (PKCS#8, encrypted where there is a passphrase) and its public key, both as PEM."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    locked: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        locked = serialization.BestAvailableEncryption(passphrase.encode())
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private, public


def load_private_key(path: str | Path, *, passphrase: str = "") -> Ed25519PrivateKey:
    """Read a private key.

    Raises:
        UnreadableFile: no such file, or not a PEM private key, or the passphrase is wrong or missing.
        InputRefused: a public key, or a key of another type.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    pem = _pem(path)
    if b"PUBLIC KEY" in pem:
        raise InputRefused("a public key cannot sign", where=str(path), legal=f"a private key, {_LEGAL}")
    encrypted = b"ENCRYPTED" in pem
    try:
        key = load_pem_private_key(pem, passphrase.encode() if passphrase and encrypted else None)
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        if encrypted:
            what = "the passphrase does not open it" if passphrase else "it is locked, and no passphrase was given"
            action = "set FIDUCIAL_KEY_PASSPHRASE to its passphrase"
            raise UnreadableFile(f"the private key cannot be read: {what}", where=str(path), action=action) from error
        raise UnreadableFile("not a private key in PEM", where=str(path), legal=_LEGAL) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InputRefused(f"a key of type {_type_name(key)}", where=str(path), legal=_LEGAL)
    return key


def load_public_key(path: str | Path) -> str:
    """Read a public key as 64 hexadecimal digits.

    Raises:
        UnreadableFile: no such file, or not a PEM public key.
        InputRefused: a private key, or a key of another type.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    pem = _pem(path)
    if b"PRIVATE KEY" in pem:
        raise InputRefused(
            "a private key: it proves nothing that the public one does not, and belongs to its owner alone",
            where=str(path),
            legal=f"a public key, {_LEGAL}",
        )
    try:
        key = load_pem_public_key(pem)
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise UnreadableFile("not a public key in PEM", where=str(path), legal=_LEGAL) from error
    if not isinstance(key, Ed25519PublicKey):
        raise InputRefused(f"a key of type {_type_name(key)}", where=str(path), legal=_LEGAL)
    return key.public_bytes_raw().hex()


def loose_permissions(path: str | Path) -> str:
    """A warning where others than the owner may read a private key, else an empty text."""
    if os.name != "posix" or not Path(path).stat().st_mode & 0o077:
        return ""
    return f"others may read the private key {path}: chmod 600 {path}"


def signed(statement: dict[str, Any], key: Ed25519PrivateKey) -> dict[str, Any]:
    """One entry of ``signature.json``."""
    public = key.public_key().public_bytes_raw().hex()
    return {"statement": statement, "public_key": public, "signature": key.sign(_message(statement)).hex()}


def append_signature(folder: str | Path, entry: dict[str, Any]) -> int:
    """Add a signature to a folder's ``signature.json`` and return how many there are now.

    Raises:
        IntegrityError: the file is there but cannot be read; it is left as it is.
    """
    path = Path(folder) / SIGNATURE
    entries = _entries(path) if path.exists() or path.is_symlink() else []
    write_json(path, {"schema": SCHEMA, "signatures": [*entries, entry]})
    return len(entries) + 1


def read_signatures(folder: str | Path) -> tuple[Signature, ...]:
    """The signatures of a folder, oldest first; none where there is no ``signature.json``.

    Raises:
        IntegrityError: the file is there, but is not a list of signatures.
    """
    path = Path(folder) / SIGNATURE
    if not path.exists() and not path.is_symlink():
        return ()
    return tuple(_checked(entry, f"{path}, signature {n}") for n, entry in enumerate(_entries(path), start=1))


def _checked(entry: Any, where: str) -> Signature:
    """An entry with its types settled and its signature tried under the key that it names."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    legal = "statement (an object), public_key (64 hexadecimal digits) and signature (128)"
    if not isinstance(entry, dict) or not isinstance(entry.get("statement"), dict):
        raise IntegrityError("not a signature", where=where, legal=legal)
    statement, public = entry["statement"], _hexadecimal(entry.get("public_key"), 32, where, legal)
    for name in ("signer", "signed_at"):
        text = statement.get(name)
        if not isinstance(text, str) or not text.isprintable() or len(text) > 200:
            raise IntegrityError(f"a statement without a readable {name}", where=where)
    signature = _hexadecimal(entry.get("signature"), 64, where, legal)
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, _message(statement))
    except InvalidSignature:
        return Signature(statement, public.hex(), valid=False)
    return Signature(statement, public.hex(), valid=True)


def _hexadecimal(text: Any, n_bytes: int, where: str, legal: str) -> bytes:
    try:
        value = bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        value = b""
    if len(value) != n_bytes:
        raise IntegrityError("a signature that is cut short or not hexadecimal", where=where, legal=legal)
    return value


def _entries(path: Path) -> list[Any]:
    if path.is_symlink():
        raise IntegrityError("a link stands where signatures are kept", where=str(path), legal="a file")
    held = read_json_strictly(path)
    if not isinstance(held, dict) or held.get("schema") != SCHEMA or not isinstance(held.get("signatures"), list):
        raise IntegrityError(
            "not a file of signatures", where=str(path), legal=f'{{"schema": {SCHEMA}, "signatures": [...]}}'
        )
    entries: list[Any] = held["signatures"]
    return entries


def _message(statement: dict[str, Any]) -> bytes:
    """What is signed: the domain and the statement's canonical JSON."""
    text = json.dumps(statement, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return DOMAIN + text.encode()


def _pem(path: str | Path) -> bytes:
    path = Path(path)
    if not path.is_file():
        raise UnreadableFile("no such key file", where=str(path), legal=_LEGAL)
    if path.stat().st_size > MAX_KEY_BYTES:
        raise UnreadableFile("too large for a key", where=str(path), legal=_LEGAL)
    return path.read_bytes()


def _type_name(key: object) -> str:
    """``RSA``, ``EC`` ...: the type as people call it."""
    name = type(key).__name__.removeprefix("_")
    for ending in ("PrivateKey", "PublicKey"):
        name = name.removesuffix(ending)
    return {"EllipticCurve": "EC"}.get(name, name)
