"""Signing and verifying a run: what is proven, and what is named when something was changed."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime

import pytest

from fiducial.audit.given import AuditSettings
from fiducial.errors import InputRefused, IntegrityError
from fiducial.flows import audit, keys, report, sign, verify
from fiducial.flows.report import report_input
from fiducial.phantom.vendor import vendor_table
from fiducial.records.chain import chain_of
from fiducial.records.files import sha256_file
from fiducial.records.runs import RECORD, seal

NOW = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
QUICK = AuditSettings(n_replicates=100)


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """An audited vendor's table and a file that stands for a model, and two key pairs; no report, not signed."""
    folder = tmp_path_factory.mktemp("signed")
    vendor_table(120, seed=1)[0].to_csv(folder / "vendor.csv", index=False)
    run = folder / "run"
    audit(folder / "vendor.csv", run, settings=QUICK)
    (run / "model.safetensors").write_bytes(b"weights")
    seal(run, "model.safetensors", seed=7, study_name="nodules", fingerprint="f" * 64)
    keys(folder / "ada")
    keys(folder / "eve")
    return folder


@pytest.fixture(scope="module")
def signed_once(audited, tmp_path_factory):
    """The same, signed by Ada."""
    copy = tmp_path_factory.mktemp("once") / "copy"
    shutil.copytree(audited, copy)
    sign(copy / "run", copy / "ada" / "private.pem", name="Dr. Ada", now=NOW)
    return copy


@pytest.fixture
def folder(signed_once, tmp_path):
    """A signed copy that a test may change."""
    shutil.copytree(signed_once, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture(scope="module")
def reported_once(audited, tmp_path_factory):
    """A copy with a report that says unsigned, and another that was signed after it was drawn."""
    copy = tmp_path_factory.mktemp("reported") / "copy"
    shutil.copytree(audited, copy)
    report(copy / "run")
    shutil.copytree(copy / "run", copy / "unsigned")
    sign(copy / "run", copy / "ada" / "private.pem", name="Dr. Ada", now=NOW)
    return copy


@pytest.fixture
def reported(reported_once, tmp_path):
    """A copy of it that a test may change."""
    shutil.copytree(reported_once, tmp_path / "reported")
    return tmp_path / "reported"


@pytest.fixture
def run(folder):
    return folder / "run"


@pytest.fixture
def key(folder):
    return folder / "ada" / "public.pem"


def rewrite(run, edit, *, chain=True):
    """Edit the rows of evidence.json by hand and, as a careful forger would, its chain and its digest in run.json."""
    path = run / "evidence.json"
    held = json.loads(path.read_text())
    edit(held["rows"])
    if chain:
        held["chain"] = chain_of(held["rows"], held["chain"]["columns"]).to_json()
    path.write_text(json.dumps(held))
    reseal(run, "evidence.json")


def reseal(run, name):
    record = json.loads((run / RECORD).read_text())
    record["files"][name] = sha256_file(run / name)
    (run / RECORD).write_text(json.dumps(record))


def said(result):
    return [f"{change.kind} {change.what}: {change.how}" for change in result.changes]


# what is proven


def test_a_signed_run_is_proven(run, key):
    result = verify(run, key)
    assert (result.state, result.sound, result.changes) == ("proven", True, ())
    (who,) = result.signatures
    assert (who.name, who.signed_at, who.holds, who.by_key) == ("Dr. Ada", "2026-11-24T10:30:00+00:00", True, True)


def test_the_statement_names_study_model_files_head_and_use(run):
    statement = json.loads((run / "signature.json").read_text())["signatures"][0]["statement"]
    evidence = json.loads((run / "evidence.json").read_text())
    assert statement["study"] == "nodules"
    assert statement["study_fingerprint"] == "f" * 64
    assert statement["model_sha256"] == sha256_file(run / "model.safetensors")
    assert statement["evidence"]["head"] == evidence["chain"]["head"]
    assert "research use only" in statement["research_use"]
    assert set(statement["files"]) == set(json.loads((run / RECORD).read_text())["files"]) - {"report.html"}


def test_the_report_says_who_signed_and_may_be_drawn_again(reported_once):
    run = reported_once / "run"
    text = (run / "report.html").read_text()
    assert "Signed</strong> by Dr. Ada, 2026-11-24, 10:30 UTC" in text
    assert json.loads((run / "evidence.json").read_text())["chain"]["head"] in text
    assert "<strong>unsigned</strong>" in (reported_once / "unsigned" / "report.html").read_text()
    # Signing drew the report again, after the signature.
    result = verify(run, reported_once / "ada" / "public.pem")
    assert result.state == "proven"
    assert any("report.html is drawn from what is signed" in note for note in result.notes)


def test_without_a_key_a_signature_is_not_said_to_prove_anything(run):
    result = verify(run)
    assert result.state == "signed"
    assert not result.signatures[0].by_key


def test_an_unsigned_run_is_said_to_be_unsigned(audited):
    assert verify(audited / "run").state == "unsigned"
    result = verify(audited / "run", audited / "ada" / "public.pem")
    assert (result.state, result.sound) == ("not_proven", False)
    assert "unsigned: there is no signature" in said(result)[0]


def test_several_people_sign_and_each_is_proven_by_their_own_key(folder, run, key):
    done = sign(run, folder / "eve" / "private.pem", name="Dr. Eve", now=NOW)
    assert done.n_signatures == 2
    for name in ("ada", "eve"):
        assert verify(run, folder / name / "public.pem").state == "proven"


def test_a_signature_after_another_audit_stands_and_the_old_one_does_not(folder, run, key):
    audit(folder / "vendor.csv", run, settings=AuditSettings(n_replicates=100, seed=9))
    assert verify(run, key).state == "not_proven"
    (who,) = report_input(run).signatures
    assert not who.holds
    sign(run, folder / "ada" / "private.pem", name="Dr. Ada", now=NOW)
    result = verify(run, key)
    assert result.state == "proven"
    assert [who.holds for who in result.signatures] == [False, True]


# evidence edited by hand


@pytest.mark.parametrize("chain", [True, False], ids=["chain renewed", "chain left"])
@pytest.mark.parametrize(
    ("edit", "wanted"),
    [
        (lambda rows: rows[4].update(value=0.999), "row evidence.json, row 5: changed"),
        (lambda rows: rows.pop(6), "row evidence.json, row 7: removed"),
        (lambda rows: rows.insert(1, {"check": "auc", "metric": "auc"}), "row evidence.json, row 2: added"),
        (lambda rows: rows.insert(1, rows.pop(5)), "row evidence.json, row 2: moved"),
    ],
    ids=["edited", "removed", "added", "moved"],
)
def test_a_row_that_was_changed_is_named(run, key, edit, wanted, chain):
    rewrite(run, edit, chain=chain)
    result = verify(run, key)
    assert (result.state, result.sound) == ("not_proven", False)
    assert said(result)[0].startswith(wanted)
    assert any(text.startswith("file evidence.json: changed") for text in said(result))


def test_the_column_and_the_new_value_are_named(run, key):
    rewrite(run, lambda rows: rows[4].update(value=0.999))
    assert "column value: value is now 0.999" in said(verify(run, key))[0]


def test_a_forger_who_renews_chain_and_digest_is_found_by_the_signature_only(run, key):
    rewrite(run, lambda rows: rows[4].update(value=0.999))
    assert verify(run).state == "changed"
    (run / "signature.json").unlink()
    assert verify(run).state == "unsigned"
    assert verify(run, key).state == "not_proven"


def test_an_edited_unsigned_run_is_found_by_its_chain(audited, tmp_path):
    shutil.copytree(audited / "run", tmp_path / "run")
    rewrite(tmp_path / "run", lambda rows: rows[4].update(value=0.999), chain=False)
    result = verify(tmp_path / "run")
    assert result.state == "changed"
    assert said(result)[0].startswith("row evidence.json, row 5: changed")
    with pytest.raises(IntegrityError, match="row 5 was edited after the audit"):
        report(tmp_path / "run")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1, "rows": []}', "[" * 99_999])
def test_evidence_that_cannot_be_read_is_a_change(run, key, text):
    (run / "evidence.json").write_text(text)
    result = verify(run, key)
    assert result.state == "not_proven"
    assert any(text.startswith("file evidence.json") for text in said(result))


# other changes


@pytest.mark.parametrize("name", ["model.safetensors", "cases.parquet", "curves.parquet"])
def test_a_changed_file_is_named(run, key, name):
    (run / name).write_bytes(b"other weights")
    reseal(run, name)
    assert [text for text in said(verify(run, key)) if text.startswith(f"file {name}: changed")]


def test_a_missing_file_is_named(run, key):
    (run / "model.safetensors").unlink()
    assert "file model.safetensors: missing" in said(verify(run, key))


def test_a_file_that_was_sealed_later_is_named(run, key):
    (run / "more.parquet").write_text("m")
    assert verify(run, key).notes[0] == "not sealed, and read by nothing: more.parquet"
    seal(run, "more.parquet")
    assert said(verify(run, key)) == ["file more.parquet: sealed after the signature: it was not signed"]


def test_a_file_that_left_the_record_is_named(run, key):
    record = json.loads((run / RECORD).read_text())
    del record["files"]["model.safetensors"]
    (run / RECORD).write_text(json.dumps(record))
    assert "file model.safetensors: no longer in run.json's list" in said(verify(run, key))


@pytest.mark.parametrize(
    ("edit", "wanted"),
    [
        (lambda record: record.update(seed=8), "fact seed: changed in run.json"),
        (lambda record: record.pop("seed"), "fact seed: removed in run.json"),
        (lambda record: record.update(approved=True), "fact approved: added in run.json"),
        (lambda record: record["audit"].update(openings=0, notes=["no"]), "fact audit: changed in run.json"),
    ],
)
def test_a_changed_fact_is_named(run, key, edit, wanted):
    record = json.loads((run / RECORD).read_text())
    edit(record)
    (run / RECORD).write_text(json.dumps(record))
    assert [text for text in said(verify(run, key)) if text.startswith(wanted)]


def test_a_changed_report_is_named_by_its_seal(reported):
    (reported / "run" / "report.html").write_text("pass")
    result = verify(reported / "run", reported / "ada" / "public.pem")
    assert result.state == "not_proven"
    assert said(result) == [text for text in said(result) if text.startswith("file report.html: changed")]


def test_a_model_in_another_folder_is_looked_at_too(folder, audited, tmp_path):
    for name in ("model", "predicted"):
        shutil.copytree(audited / "run", folder / name)
    record = json.loads((folder / "predicted" / RECORD).read_text())
    del record["files"]["model.safetensors"]
    (folder / "predicted" / "model.safetensors").unlink()
    (folder / "predicted" / RECORD).write_text(json.dumps(record | {"run_folder": "../model"}))
    sign(folder / "predicted", folder / "ada" / "private.pem", name="Dr. Ada", now=NOW)
    key = folder / "ada" / "public.pem"
    assert verify(folder / "predicted", key).state == "proven"
    (folder / "model" / "model.safetensors").write_bytes(b"other")
    assert "is not the model that was signed" in said(verify(folder / "predicted", key))[0]
    with pytest.raises(IntegrityError, match="changed after it was sealed"):
        sign(folder / "predicted", folder / "ada" / "private.pem", name="Dr. Ada")
    (folder / "model" / "model.safetensors").unlink()
    result = verify(folder / "predicted", key)
    assert result.state == "proven"
    assert "not there to be looked at" in " ".join(result.notes)


# signatures that do not count


def test_a_signature_by_another_key_is_not_proof(folder, run, key):
    entry = json.loads((run / "signature.json").read_text())
    (run / "signature.json").unlink()
    sign(run, folder / "eve" / "private.pem", name="Dr. Ada", now=NOW)
    result = verify(run, key)
    assert result.state == "not_proven"
    assert "none is by the given key; signed by Dr. Ada (key" in said(result)[0]
    forged = json.loads((run / "signature.json").read_text())
    forged["signatures"][0]["public_key"] = entry["signatures"][0]["public_key"]
    (run / "signature.json").write_text(json.dumps(forged))
    result = verify(run, key)
    assert result.state == "not_proven"
    assert "does not fit its statement and its key" in said(result)[0]


def test_a_statement_that_was_changed_is_found(run, key):
    held = json.loads((run / "signature.json").read_text())
    held["signatures"][0]["statement"]["signer"] = "Dr. Eve"
    (run / "signature.json").write_text(json.dumps(held))
    assert "does not fit" in said(verify(run, key))[0]


def test_a_truncated_signature_is_refused(run, key):
    path = run / "signature.json"
    held = json.loads(path.read_text())
    held["signatures"][0]["signature"] = held["signatures"][0]["signature"][:-2]
    path.write_text(json.dumps(held))
    with pytest.raises(IntegrityError, match="cut short"):
        verify(run, key)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(IntegrityError, match="not readable as JSON"):
        verify(run, key)


def test_a_valid_signature_over_nonsense_is_refused_or_not_proven(folder, run, key):
    """Whoever holds a key may sign anything; a statement that names files outside of the run reads none of them."""
    from fiducial.records.signature import append_signature, load_private_key, signed

    private = load_private_key(folder / "ada" / "private.pem")
    statement = json.loads((run / "signature.json").read_text())["signatures"][0]["statement"]
    (run / "signature.json").unlink()
    append_signature(run, signed(statement | {"files": {"../ada/private.pem": "0" * 64}}, private))
    assert any("leads out of the folder" in text for text in said(verify(run, key)))
    (run / "signature.json").unlink()
    append_signature(run, signed(statement | {"evidence": {"links": 3}}, private))
    with pytest.raises(IntegrityError, match="a chain without its lists"):
        verify(run, key)
    (run / "signature.json").unlink()
    append_signature(run, signed(statement | {"statement": 9}, private))
    with pytest.raises(IntegrityError, match="a statement of version 9"):
        verify(run, key)


def test_files_replaced_by_links_are_named(folder, run, key):
    (run / "cases.parquet").rename(folder / "cases.parquet")
    (run / "cases.parquet").symlink_to(folder / "cases.parquet")
    assert any("leads out of the folder" in text for text in said(verify(run, key)))


# what cannot be signed


def test_what_was_changed_cannot_be_signed(folder, audited, tmp_path):
    private = audited / "ada" / "private.pem"
    shutil.copytree(audited / "run", tmp_path / "run")
    rewrite(tmp_path / "run", lambda rows: rows[4].update(value=0.999), chain=False)
    with pytest.raises(IntegrityError, match="row 5 changed"):
        sign(tmp_path / "run", private, name="Dr. Ada")
    shutil.rmtree(tmp_path / "run")
    shutil.copytree(audited / "run", tmp_path / "run")
    (tmp_path / "run" / "cases.parquet").write_bytes(b"x")
    with pytest.raises(IntegrityError, match=r"cases\.parquet"):
        sign(tmp_path / "run", private, name="Dr. Ada")
    assert not (tmp_path / "run" / "signature.json").exists()


def test_a_key_inside_the_run_is_refused(folder, run):
    shutil.copy(folder / "ada" / "private.pem", run / "key.pem")
    with pytest.raises(InputRefused, match="the private key lies inside the run"):
        sign(run, run / "key.pem", name="Dr. Ada")
    (folder / "linked.pem").symlink_to(run / "key.pem")
    with pytest.raises(InputRefused, match="the private key lies inside the run"):
        sign(run, folder / "linked.pem", name="Dr. Ada")
    shutil.copy(folder / "ada" / "public.pem", run / "public.pem")
    with pytest.raises(InputRefused, match="this public key lies inside the run"):
        verify(run, run / "public.pem")


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 200, "\x1b[2J"])
def test_a_name_must_be_readable(folder, run, name):
    with pytest.raises(InputRefused, match="name"):
        sign(run, folder / "ada" / "private.pem", name=name)


def test_a_run_without_evidence_cannot_be_signed(folder, tmp_path):
    (tmp_path / "bare").mkdir()
    seal(tmp_path / "bare")
    with pytest.raises(InputRefused, match="no evidence to sign"):
        sign(tmp_path / "bare", folder / "ada" / "private.pem", name="Dr. Ada")


def test_a_key_that_others_may_read_is_warned_of(folder, run):
    (folder / "ada" / "private.pem").chmod(0o644)
    assert "chmod 600" in sign(run, folder / "ada" / "private.pem", name="Dr. Ada").warnings[0]


# keys


def test_keys_are_private_and_never_written_over(tmp_path):
    made = keys(tmp_path / "k")
    assert made.private.stat().st_mode & 0o777 == 0o600
    assert not made.locked
    before = made.private.read_bytes()
    with pytest.raises(InputRefused, match="a key is there already"):
        keys(tmp_path / "k")
    made.private.unlink()
    with pytest.raises(InputRefused, match="a key is there already"):
        keys(tmp_path / "k")
    assert not made.private.exists()
    assert before != keys(tmp_path / "other").private.read_bytes()


def test_keys_do_not_go_into_a_run(run):
    with pytest.raises(InputRefused, match="keys do not belong into a run"):
        keys(run / "keys")
    assert not (run / "keys").exists()


def test_a_locked_key_signs_with_its_passphrase(folder, run):
    word = "sesame"
    made = keys(folder / "locked", passphrase=word)
    assert made.locked
    with pytest.raises(InputRefused, match="no passphrase was given"):
        sign(run, made.private, name="Dr. Bo")
    sign(run, made.private, name="Dr. Bo", passphrase=word)
    assert verify(run, made.public).state == "proven"
