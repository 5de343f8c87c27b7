"""DICOMweb from a real Orthanc: what comes over the network is what lies in the folder, or is refused by name."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from fiducial.archive import ingest_dicom, read_image, read_mask
from fiducial.archive.pseudonym import Pseudonyms
from fiducial.archive.refusal import code_of
from fiducial.archive.sources import dicomweb as module
from fiducial.archive.sources import fetch, remote, survey
from fiducial.cli.main import run
from fiducial.errors import UnreadableFile
from fiducial.phantom.hospital import make_patients, write_hospital
from fiducial.records.progress import silent

from .orthanc import PASSWORD, QUICK, USER, Orthanc, start_orthanc, stow, tls_front, write_certificate

pytestmark = [pytest.mark.pacs, pytest.mark.usefixtures("inside")]
KEY = bytes(range(32))
NAMES = Pseudonyms(KEY)


def digests(folder: Path) -> set[str]:
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def from_folder(hospital, tmp_path_factory):
    """The same patients ingested from the folder."""
    out = tmp_path_factory.mktemp("folder")
    return ingest_dicom(hospital, out, key=KEY, workers=1), out


def assert_same(made, out, from_folder):
    """Equal rows, voxels, affines and masks."""
    expected, folder = from_folder
    key = lambda row: row["path"]  # noqa: E731
    assert repr(sorted(made.rows, key=key)) == repr(sorted(expected.rows, key=key))  # NaN is no NaN's equal
    assert made.subjects == expected.subjects
    assert {row.status for row in made.report} == {"accepted"}
    assert len(made.report) == len(expected.report)
    for row in made.rows:
        read = read_mask if row["role"] == "mask" else read_image
        ours, theirs = read(out / row["path"]), read(folder / row["path"])
        assert np.array_equal(ours.array, theirs.array)
        assert np.array_equal(ours.geometry.affine, theirs.geometry.affine)


# what comes over the network is what lies in the folder


def test_the_same_cohort_as_from_the_folder(orthanc, from_folder, tmp_path):
    made = ingest_dicom(orthanc.source(), tmp_path, key=KEY, workers=1)
    assert_same(made, tmp_path, from_folder)
    assert {row["role"] for row in made.rows} == {"image", "mask"}
    assert not [path for path in (tmp_path / "private").iterdir() if path.is_dir()], "the staging stays"


def test_every_file_byte_for_byte_under_counted_names(orthanc, hospital, tmp_path):
    told = []
    rows = fetch(orthanc.source(), tmp_path, names=NAMES, progress=lambda *step: told.append(step))
    assert rows == []
    assert digests(tmp_path) == digests(hospital)
    assert all(path.stem.isdecimal() for path in tmp_path.rglob("*"))
    assert told[-1] == ("receiving instances", len(digests(hospital)), len(digests(hospital)))


def test_the_instances_are_those_of_dicomweb_client(orthanc, tmp_path):
    from dicomweb_client import DICOMwebClient
    from requests import Session

    session = Session()
    session.auth = (USER, PASSWORD)
    client = DICOMwebClient(f"http://localhost:{orthanc.http}/dicom-web", session=session)
    entry = client.search_for_series(search_filters={"Modality": "PT"})[0]
    study, series = entry[module.STUDY]["Value"][0], entry[module.SERIES]["Value"][0]
    theirs = {d.SOPInstanceUID: d for d in client.iter_series(study, series, media_types=(("application/dicom", "*"),))}
    fetch(orthanc.source(f"SeriesInstanceUID={series}"), tmp_path, names=NAMES, progress=silent)
    ours = {d.SOPInstanceUID: d for d in map(pydicom.dcmread, tmp_path.rglob("*.dcm"))}
    assert ours == theirs


def test_filters_choose_patients_and_series(orthanc, hospital, tmp_path):
    patient = pydicom.dcmread(next(p for p in hospital.rglob("*") if p.is_file())).PatientID
    source = orthanc.source(f"PatientID={patient}&Modality=CT&Modality=RTSTRUCT")
    found = survey(source, progress=silent)
    assert (found.n_patients, found.n_studies) == (1, 1)
    assert {name: n for name, n, _ in found.modalities} == {"CT": 1, "RTSTRUCT": 1}
    fetch(source, tmp_path, names=NAMES, progress=silent)
    datasets = [pydicom.dcmread(path, stop_before_pixels=True) for path in tmp_path.rglob("*.dcm")]
    assert {d.PatientID for d in datasets} == {patient}
    assert len(datasets) == found.n_instances


def test_short_pages_lose_nothing(orthanc, hospital, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PAGE", 2)
    found = survey(orthanc.source(), progress=silent)
    assert (found.n_series, found.n_instances) == (7, len(digests(hospital)))


def test_compressed_instances_come_as_they_are_stored(network, tmp_path):
    patient = make_patients(1, seed=9)
    files = write_hospital(patient, tmp_path / "hospital", workers=1)
    for path in sorted(p for p in files.rglob("*") if p.is_file()):
        dataset = pydicom.dcmread(path)
        if dataset.Modality == "CT":
            dataset.compress(pydicom.uid.JPEGLSLossless, generate_instance_uid=False)
            dataset.save_as(path)
    plain = ingest_dicom(files, tmp_path / "plain", key=KEY, workers=1)
    archive = start_orthanc(tmp_path / "orthanc", network)
    try:
        stow(archive, [path for path in files.rglob("*") if path.is_file()])
        made = ingest_dicom(archive.source(), tmp_path / "out", key=KEY, workers=1)
    finally:
        archive.stop()
    assert_same(made, tmp_path / "out", (plain, tmp_path / "plain"))


# the command line


def test_the_command_line_takes_an_address_and_says_nothing_of_patients(
    orthanc, hospital, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("PACS_LOGIN", f"{USER}:{PASSWORD}")
    patient = pydicom.dcmread(next(p for p in hospital.rglob("*") if p.is_file())).PatientID
    source = orthanc.web(f"PatientID={patient}")
    options = ["--credentials-from", "PACS_LOGIN", "--json"]
    assert run(["ingest", source, "--out", str(tmp_path / "cohort"), *options, "--workers", "1"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["n_subjects"] == 1
    assert run(["ingest", source, "--out", str(tmp_path / "none"), *options, "--dry-run"]) == 0
    counted = capsys.readouterr()
    assert json.loads(counted.out)["modalities"][0][0] == "CT"
    assert not (tmp_path / "none").exists()
    for text in (printed.out, printed.err, counted.out, counted.err, (tmp_path / "cohort/ingest.json").read_text()):
        assert patient not in text
        assert PASSWORD not in text


def test_the_count_that_the_documentation_shows(orthanc, tmp_path, monkeypatch, capsys, root):
    monkeypatch.setenv("PACS_LOGIN", f"{USER}:{PASSWORD}")
    assert run(["ingest", orthanc.web(), "--out", str(tmp_path), "--credentials-from", "PACS_LOGIN", "--dry-run"]) == 0
    assert f"```\n{capsys.readouterr().out}```" in (root / "docs" / "how-to" / "ingest-from-a-pacs.md").read_text()


def test_nothing_is_logged_whatever_the_level(orthanc, hospital, tmp_path, caplog):
    patient = pydicom.dcmread(next(p for p in hospital.rglob("*") if p.is_file())).PatientID
    with caplog.at_level(logging.DEBUG):
        for name in ("urllib3", "urllib3.connectionpool", "dicomweb_client", "dicomweb_client.web", "requests"):
            caplog.set_level(logging.DEBUG, logger=name)
        fetch(orthanc.source(f"PatientID={patient}&Modality=RTSTRUCT"), tmp_path, names=NAMES, progress=silent)
        logging.getLogger("urllib3.connectionpool").debug("heard again")
    assert [record.getMessage() for record in caplog.records] == ["heard again"]


# refusals


def refused(source, tmp_path: Path) -> UnreadableFile:
    with pytest.raises(UnreadableFile) as error:
        ingest_dicom(source, tmp_path / "out", key=KEY, workers=1)
    said = f"{error.value} {error.value!r}"
    assert PASSWORD not in said
    assert "wrong" not in said
    assert error.value.__suppress_context__ or error.value.__context__ is None, "a traceback would show the address"
    return error.value


@pytest.mark.parametrize("credentials", ["", f"{USER}:wrong", "Bearer wrong"])
def test_wrong_credentials(orthanc, tmp_path, credentials):
    error = refused(orthanc.source(credentials=credentials), tmp_path)
    assert code_of(error) == "pacs-credentials"
    assert "HTTP status 401" in error.given


def test_credentials_that_are_none(orthanc, tmp_path):
    assert code_of(refused(orthanc.source(credentials="wrong"), tmp_path)) == "pacs-credentials"


def test_an_empty_answer(orthanc, tmp_path):
    assert code_of(refused(orthanc.source("PatientID=NOBODY"), tmp_path)) == "pacs-empty"


def test_more_series_than_wanted(orthanc, tmp_path):
    error = refused(orthanc.source(max_series=6), tmp_path)
    assert code_of(error) == "pacs-too-many-series"
    assert survey(orthanc.source(max_series=7), progress=silent).n_series == 7


def test_more_bytes_than_wanted(orthanc, tmp_path):
    assert code_of(refused(orthanc.source(max_bytes=10**6), tmp_path)) == "pacs-too-large"


def test_a_service_that_is_no_dicomweb(orthanc, tmp_path):
    source = remote(orthanc.web().replace("dicom-web", "nothing-here"), QUICK)
    assert code_of(refused(source, tmp_path)) == "pacs-answer"


def test_nobody_there(orthanc, tmp_path):
    source = remote(orthanc.web().replace(str(orthanc.http), "1"), QUICK)
    assert code_of(refused(source, tmp_path)) == "pacs-unreachable"


def test_refused_on_the_command_line_with_2(orthanc, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PACS_LOGIN", f"{USER}:wrong")
    argv = ["ingest", orthanc.web("PatientID=QX-7781"), "--out", str(tmp_path / "out"), "--quiet", "--debug"]
    assert run([*argv, "--credentials-from", "PACS_LOGIN"]) == 2
    said = capsys.readouterr()
    assert "refused: dicomweb+http://localhost" in said.err
    assert "pacs-credentials: HTTP status 401" in said.err
    assert "QX-7781" not in said.err + said.out
    assert run([*argv, "--credentials-from", "NOT_SET"]) == 2
    assert "no such environment variable" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# encryption


@pytest.fixture(scope="module")
def encrypted(network, orthanc, tmp_path_factory):
    """Orthanc behind TLS with a certificate of its own authority: its address, and that authority's certificate."""
    ca, server = write_certificate(tmp_path_factory.mktemp("tls"), "localhost")
    with network.entered(), tls_front(orthanc.http, server) as port:
        yield f"dicomweb+https://localhost:{port}/dicom-web", ca


def test_tls_with_the_hospitals_own_authority(encrypted, tmp_path):
    address, ca = encrypted
    made = ingest_dicom(remote(f"{address}?Modality=PT", replace(QUICK, ca=ca)), tmp_path, key=KEY, workers=1)
    assert [row["modality"] for row in made.rows] == ["PT"]


def test_tls_is_verified(encrypted, tmp_path):
    address, ca = encrypted
    assert code_of(refused(remote(address, QUICK), tmp_path)) == "pacs-tls"
    assert code_of(refused(remote(address, replace(QUICK, insecure=True)), tmp_path)) == "pacs-tls"
    by_number = remote(address.replace("localhost", "127.0.0.1"), replace(QUICK, ca=ca))
    assert code_of(refused(by_number, tmp_path)) == "pacs-tls", "the certificate is for another name"


def test_tls_to_a_port_that_speaks_none(orthanc, tmp_path):
    source = remote(orthanc.web().replace("+http:", "+https:"), QUICK)
    assert code_of(refused(source, tmp_path)) in {"pacs-tls", "pacs-cut"}


def test_a_file_of_certificates_that_is_none(encrypted, tmp_path):
    (tmp_path / "ca.pem").write_text("no certificate")
    for path in (tmp_path / "ca.pem", tmp_path / "absent.pem"):
        assert code_of(refused(remote(encrypted[0], replace(QUICK, ca=path)), tmp_path)) == "pacs-tls"


def test_plain_http_to_another_machine_needs_a_word(tmp_path):
    source = remote("dicomweb+http://10.255.255.1/dicom-web", QUICK)
    assert code_of(refused(source, tmp_path)) == "pacs-unencrypted"
    allowed = remote(
        "dicomweb+http://10.255.255.1/dicom-web", replace(QUICK, insecure=True, timeout_s=0.2, n_attempts=1)
    )
    assert code_of(refused(allowed, tmp_path)) in {"pacs-unreachable", "pacs-timeout"}


# interruptions


def test_an_archive_that_dies_leaves_what_was_whole_and_names_the_rest(network, hospital, tmp_path):
    archive: Orthanc = start_orthanc(tmp_path / "orthanc", network)
    stow(archive, sorted(path for path in hospital.rglob("*") if path.is_file()))
    (tmp_path / "received").mkdir()

    def kill_midway(title: str, n_done: int, n_total: int) -> None:
        if title == "receiving instances" and n_done > n_total // 4 and archive.process.poll() is None:
            archive.stop()

    rows = fetch(archive.source(), tmp_path / "received", names=NAMES, progress=kill_midway)
    assert 0 < len(rows) < 7
    assert {row.reason.partition(":")[0] for row in rows} == {"pacs-series-incomplete"}
    assert all("pacs-unreachable: no connection" in row.reason for row in rows)
    assert sum(" 0 of " in row.reason for row in rows) >= len(rows) - 1, "only one series can have begun"
    assert all(row.series.startswith("s") and row.modality for row in rows)
    n_received = len(digests(tmp_path / "received"))
    assert 0 < n_received < len(digests(hospital))
    assert digests(tmp_path / "received") < digests(hospital)


def test_an_archive_that_dies_within_a_series_is_asked_again_when_it_is_back(network, hospital, tmp_path, monkeypatch):
    archive = start_orthanc(tmp_path / "orthanc", network)
    stow(archive, sorted(path for path in hospital.rglob("*") if path.is_file()))
    source = archive.source("Modality=PT", n_attempts=12, backoff_s=0.02)
    stopped = threading.Event()
    pieces = module.split_parts

    def cut_once(stream, boundary):
        for number, body in enumerate(pieces(stream, boundary)):
            if number == 5 and not stopped.is_set():
                archive.process.kill()
                archive.process.wait()
                stopped.set()
                with network.entered():
                    again = ["Orthanc", str(tmp_path / "orthanc" / "orthanc.json")]
                    archive.process = module_popen(again)
            yield body

    monkeypatch.setattr(module, "split_parts", cut_once)
    (tmp_path / "received").mkdir()
    try:
        rows = fetch(source, tmp_path / "received", names=NAMES, progress=silent)
    finally:
        archive.stop()
    assert stopped.is_set()
    assert rows == []
    assert digests(tmp_path / "received") < digests(hospital)
    assert len(digests(tmp_path / "received")) == 38


def module_popen(command: list[str]):
    import subprocess

    time.sleep(0.1)
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
