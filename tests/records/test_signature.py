"""Keys and signatures: what is taken, what is refused, and that a signature fits one statement only."""

from __future__ import annotations

import json

import pytest

from fiducial.errors import InputRefused, IntegrityError, UnreadableFile
from fiducial.records.signature import (
    DOMAIN,
    SIGNATURE,
    append_signature,
    key_fingerprint,
    load_private_key,
    load_public_key,
    loose_permissions,
    new_key_pair,
    read_signatures,
    signed,
)

WORD = "sesame"
STATEMENT = {"signer": "Dr. Ada", "signed_at": "2026-11-24T10:00:00+00:00", "files": {"a": "b"}}


@pytest.fixture
def pair(tmp_path):
    """Paths of a private and a public key."""
    private, public = new_key_pair()
    (tmp_path / "private.pem").write_bytes(private)
    (tmp_path / "public.pem").write_bytes(public)
    return tmp_path / "private.pem", tmp_path / "public.pem"


@pytest.fixture
def held(tmp_path, pair):
    """A folder with one signature, and its file."""
    append_signature(tmp_path, signed(STATEMENT, load_private_key(pair[0])))
    return tmp_path


# published value


def test_the_signature_is_ed25519_over_domain_and_canonical_json(tmp_path):
    """The key of RFC 8032, section 7.1, test 1; verified with the library directly."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

    secret = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    entry = signed({"b": 1, "a": "é"}, Ed25519PrivateKey.from_private_bytes(secret))
    assert entry["public_key"] == public
    message = DOMAIN + b'{"a":"\\u00e9","b":1}'
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(entry["signature"]), message)


# laws


def test_keys_come_back_as_they_were_made(pair):
    private, public = pair
    assert load_private_key(private).public_key().public_bytes_raw().hex() == load_public_key(public)
    assert len(key_fingerprint(load_public_key(public)).replace(" ", "")) == 16


def test_signatures_are_appended_and_read_back(held, pair):
    assert append_signature(held, signed(STATEMENT | {"signer": "Dr. Bo"}, load_private_key(pair[0]))) == 2
    first, second = read_signatures(held)
    assert (first.name, second.name) == ("Dr. Ada", "Dr. Bo")
    assert first.valid
    assert second.valid
    assert first.public_key == load_public_key(pair[1])
    assert read_signatures(held / "absent") == ()


@pytest.mark.parametrize("part", ["statement", "public_key", "signature"])
def test_a_change_of_any_of_the_three_is_not_valid(held, part):
    path = held / SIGNATURE
    whole = json.loads(path.read_text())
    entry = whole["signatures"][0]
    if part == "statement":
        entry["statement"]["signer"] = "Dr. Eve"
    elif part == "public_key":
        entry["public_key"] = new_raw_public_key()
    else:
        entry["signature"] = ("0" if entry["signature"][0] != "0" else "1") + entry["signature"][1:]
    path.write_text(json.dumps(whole))
    (found,) = read_signatures(held)
    assert not found.valid


def new_raw_public_key() -> str:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.generate().public_key().public_bytes_raw().hex()


# passphrases and permissions


def test_a_locked_key_needs_its_passphrase(tmp_path):
    private, _ = new_key_pair(WORD)
    path = tmp_path / "private.pem"
    path.write_bytes(private)
    assert b"ENCRYPTED" in private
    load_private_key(path, passphrase=WORD)
    with pytest.raises(UnreadableFile, match=r"no passphrase was given[\s\S]*FIDUCIAL_KEY_PASSPHRASE"):
        load_private_key(path)
    with pytest.raises(UnreadableFile, match="the passphrase does not open it"):
        load_private_key(path, passphrase=WORD[::-1])


def test_a_passphrase_is_no_harm_to_a_key_that_is_not_locked(pair):
    load_private_key(pair[0], passphrase=WORD)


def test_a_key_that_others_may_read_is_warned_of(pair):
    pair[0].chmod(0o600)
    assert loose_permissions(pair[0]) == ""
    pair[0].chmod(0o640)
    assert "chmod 600" in loose_permissions(pair[0])


# other keys


def other_keys() -> dict[str, tuple[bytes, bytes]]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa, x25519

    made = {
        "RSA": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "EC": ec.generate_private_key(ec.SECP256R1()),
        "Ed448": ed448.Ed448PrivateKey.generate(),
        "X25519": x25519.X25519PrivateKey.generate(),
    }
    pem, spki = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    private = (pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {name: (key.private_bytes(*private), key.public_key().public_bytes(pem, spki)) for name, key in made.items()}


def test_keys_of_another_type_are_refused_by_name(tmp_path):
    for name, (private, public) in other_keys().items():
        (tmp_path / "k").write_bytes(private)
        with pytest.raises(InputRefused, match=f"a key of type {name}"):
            load_private_key(tmp_path / "k")
        (tmp_path / "k").write_bytes(public)
        with pytest.raises(InputRefused, match=f"a key of type {name}"):
            load_public_key(tmp_path / "k")


def test_the_two_keys_are_not_taken_for_each_other(pair):
    with pytest.raises(InputRefused, match="a public key cannot sign"):
        load_private_key(pair[1])
    with pytest.raises(InputRefused, match="belongs to its owner alone"):
        load_public_key(pair[0])


@pytest.mark.parametrize("text", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", b"\0" * 100])
def test_what_is_no_key_is_refused(tmp_path, text):
    (tmp_path / "k").write_bytes(text)
    with pytest.raises(UnreadableFile, match="not a private key"):
        load_private_key(tmp_path / "k")
    if b"PRIVATE" not in text:
        with pytest.raises(UnreadableFile, match="not a public key"):
            load_public_key(tmp_path / "k")


def test_a_key_file_that_is_absent_or_huge_is_refused(tmp_path):
    with pytest.raises(UnreadableFile, match="no such key file"):
        load_public_key(tmp_path / "absent.pem")
    (tmp_path / "k").write_bytes(b"x" * 100_000)
    with pytest.raises(UnreadableFile, match="too large for a key"):
        load_private_key(tmp_path / "k")


# broken signature files


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e.update(signature=e["signature"][:64]), "cut short"),
        (lambda e: e.update(signature="zz" * 64), "cut short or not hexadecimal"),
        (lambda e: e.update(public_key=7), "cut short or not hexadecimal"),
        (lambda e: e.pop("statement"), "not a signature"),
        (lambda e: e["statement"].update(signer="a\x1b[31mb"), "without a readable signer"),
        (lambda e: e["statement"].update(signer="a" * 500), "without a readable signer"),
        (lambda e: e["statement"].pop("signed_at"), "without a readable signed_at"),
    ],
)
def test_a_broken_entry_is_refused_and_named(held, change, message):
    path = held / SIGNATURE
    whole = json.loads(path.read_text())
    change(whole["signatures"][0])
    path.write_text(json.dumps(whole))
    with pytest.raises(IntegrityError, match=f"signature 1: .*{message}"):
        read_signatures(held)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1}', '{"schema": 9, "signatures": []}', "[" * 99_999])
def test_what_is_no_file_of_signatures_is_refused_and_left_as_it_is(held, pair, text):
    (held / SIGNATURE).write_text(text)
    with pytest.raises(IntegrityError, match=r"signature\.json"):
        read_signatures(held)
    with pytest.raises(IntegrityError):
        append_signature(held, signed(STATEMENT, load_private_key(pair[0])))
    assert (held / SIGNATURE).read_text() == text


def test_a_link_in_place_of_the_signatures_is_refused(held):
    (held / SIGNATURE).rename(held / "elsewhere")
    (held / SIGNATURE).symlink_to(held / "elsewhere")
    with pytest.raises(IntegrityError, match="a link stands where"):
        read_signatures(held)
