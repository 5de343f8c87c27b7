"""C-GET and C-MOVE from a real Orthanc, and from application entities that do not keep their word."""

from __future__ import annotations

import errno
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from fiducial.archive import ingest_dicom, read_image, read_mask
from fiducial.archive.pseudonym import Pseudonyms
from fiducial.archive.refusal import code_of
from fiducial.archive.sources import fetch, remote, survey
from fiducial.archive.sources.dimse import FIND, GET
from fiducial.archive.sources.staging import Staging
from fiducial.cli.main import run
from fiducial.errors import UnreadableFile
from fiducial.records.progress import silent

from .orthanc import CALLED, QUICK, free_port, stalled_front, start_orthanc, stow

pytestmark = [pytest.mark.pacs, pytest.mark.usefixtures("inside")]
KEY = bytes(range(32))
NAMES = Pseudonyms(KEY)
CT = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture(scope="module")
def one(hospital, tmp_path_factory):
    """The PatientID of the patient with a PET, and what the folder's files of that patient become."""
    folder, out = tmp_path_factory.mktemp("files"), tmp_path_factory.mktemp("folder")
    files = [path for path in hospital.rglob("*") if path.is_file()]
    headers = {path: pydicom.dcmread(path, stop_before_pixels=True) for path in files}
    (patient,) = {header.PatientID for header in headers.values() if header.Modality == "PT"}
    for path, header in headers.items():
        if header.PatientID == patient:
            (folder / path.name).symlink_to(path)
    return patient, ingest_dicom(folder, out, key=KEY, workers=1), out


def moved(orthanc, query: str = "", **changes: Any) -> str:
    """An address that has the archive send to the port that it knows for us."""
    options = {"retrieve": "move", "move_port": orthanc.move} | changes
    return orthanc.dimse("&".join([*filter(None, [query]), *(f"{key}={value}" for key, value in options.items())]))


@pytest.mark.parametrize("how", ["get", "move"])
@pytest.mark.usefixtures("dimse_allowed")
def test_the_same_cohort_as_from_the_folder(orthanc, one, tmp_path, how):
    patient, expected, folder = one
    query = f"PatientID={patient}"
    address = orthanc.dimse(query) if how == "get" else moved(orthanc, query)
    made = ingest_dicom(remote(address, QUICK), tmp_path, key=KEY, workers=1)
    assert sorted(made.rows, key=lambda row: row["path"]) == sorted(expected.rows, key=lambda row: row["path"])
    assert {row.status for row in made.report} == {"accepted"}
    assert {row["role"] for row in made.rows} == {"image", "mask"}
    for row in made.rows:
        read = read_mask if row["role"] == "mask" else read_image
        ours, theirs = read(tmp_path / row["path"]), read(folder / row["path"])
        assert np.array_equal(ours.array, theirs.array)
        assert np.array_equal(ours.geometry.affine, theirs.geometry.affine)


@pytest.mark.parametrize("how", ["get", "move"])
@pytest.mark.usefixtures("dimse_allowed")
def test_compressed_instances_come_as_they_are_stored(network, hospital, tmp_path, how):
    originals = []
    (tmp_path / "files").mkdir()
    for path in hospital.rglob("*"):
        if path.is_file() and (dataset := pydicom.dcmread(path)).Modality == "PT" and len(originals) < 4:
            dataset.compress(pydicom.uid.JPEGLSLossless, generate_instance_uid=False)
            dataset.save_as(tmp_path / "files" / path.name)
            originals.append(dataset)
    archive = start_orthanc(tmp_path / "orthanc", network)
    try:
        stow(archive, sorted((tmp_path / "files").iterdir()))
        (tmp_path / "received").mkdir()
        address = archive.dimse() if how == "get" else moved(archive)
        assert fetch(remote(address, QUICK), tmp_path / "received", names=NAMES, progress=silent) == []
    finally:
        archive.stop()
    received = {d.SOPInstanceUID: d for d in map(pydicom.dcmread, (tmp_path / "received").rglob("*.dcm"))}
    assert {d.file_meta.TransferSyntaxUID for d in received.values()} == {pydicom.uid.JPEGLSLossless}
    assert {uid: d.PixelData for uid, d in received.items()} == {d.SOPInstanceUID: d.PixelData for d in originals}


@pytest.mark.usefixtures("dimse_allowed")
def test_filters_choose_patients_and_series(orthanc, hospital):
    patient = pydicom.dcmread(next(p for p in hospital.rglob("*") if p.is_file())).PatientID
    found = survey(remote(orthanc.dimse(f"PatientID={patient}&Modality=CT&Modality=RTSTRUCT"), QUICK), progress=silent)
    assert (found.n_patients, found.n_studies, found.n_series) == (1, 1, 2)
    everything = survey(remote(orthanc.web(), QUICK), progress=silent)
    assert survey(remote(orthanc.dimse(), QUICK), progress=silent) == everything


@pytest.mark.usefixtures("dimse_allowed")
def test_the_command_line_and_the_log_say_nothing_of_patients(orthanc, hospital, tmp_path, capsys, caplog):
    patient = pydicom.dcmread(next(p for p in hospital.rglob("*") if p.is_file())).PatientID
    with caplog.at_level(logging.DEBUG):
        for name in ("pynetdicom", "pynetdicom.assoc", "pynetdicom.events", "pynetdicom.acse"):
            caplog.set_level(logging.DEBUG, logger=name)
        argv = ["ingest", orthanc.dimse(f"PatientID={patient}&Modality=RTSTRUCT"), "--out", str(tmp_path / "out")]
        assert run([*argv, "--dry-run"]) == 0
    said = capsys.readouterr()
    assert "1 patient, 1 series, 1 instance" in said.out
    assert patient not in said.out + said.err
    assert not caplog.records


# refusals by Orthanc


def refused(address: str, tmp_path: Path, **access: Any) -> UnreadableFile:
    with pytest.raises(UnreadableFile) as error:
        ingest_dicom(remote(address, replace(QUICK, **access)), tmp_path / "out", key=KEY, workers=1)
    assert "QX-7781" not in f"{error.value} {error.value!r}"
    return error.value


@pytest.mark.usefixtures("dimse_allowed")
def test_a_wrong_called_title(orthanc, tmp_path):
    error = refused(orthanc.dimse("PatientID=QX-7781", called="NOBODY"), tmp_path)
    assert code_of(error) == "pacs-rejected"
    assert "Called AE title not recognised" in error.given


@pytest.mark.usefixtures("dimse_allowed")
def test_a_calling_title_that_the_archive_does_not_know(orthanc, tmp_path):
    # This Orthanc accepts the association, and ends it at the first query.
    for address in (orthanc.dimse("calling=STRANGER"), moved(orthanc, calling="STRANGER")):
        error = refused(address, tmp_path)
        assert code_of(error) == "pacs-cut"
        assert "does not know the calling AE title" in error.given


@pytest.mark.usefixtures("dimse_allowed")
def test_an_empty_answer(orthanc, tmp_path):
    assert code_of(refused(orthanc.dimse("PatientID=QX-7781"), tmp_path)) == "pacs-empty"


@pytest.mark.usefixtures("dimse_allowed")
def test_a_port_that_the_archive_does_not_send_to(orthanc, tmp_path):
    error = refused(moved(orthanc, "Modality=RTSTRUCT", move_port=free_port()), tmp_path, n_attempts=1)
    assert code_of(error) in {"pacs-move", "pacs-busy", "pacs-cut"}


@pytest.mark.usefixtures("dimse_allowed")
def test_a_port_that_is_taken(orthanc, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        error = refused(moved(orthanc, move_port=taken.getsockname()[1]), tmp_path)
    assert code_of(error) == "pacs-move"
    assert "cannot listen" in error.given


def test_nobody_there(tmp_path):
    assert code_of(refused(f"dimse://A@127.0.0.1:{free_port()}?PatientID=QX-7781", tmp_path)) == "pacs-unreachable"
    assert code_of(refused("dimse://A@no-such-host.invalid", tmp_path)) == "pacs-unreachable"


def test_a_port_that_speaks_something_else(tmp_path):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def greet() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connection.sendall(b"220 this is no DICOM\r\n")
                connection.close()

        threading.Thread(target=greet, daemon=True).start()
        error = refused(f"dimse://A@127.0.0.1:{listener.getsockname()[1]}", tmp_path, timeout_s=2)
        assert code_of(error) == "pacs-rejected"
        listener.shutdown(socket.SHUT_RDWR)


# interruptions


@pytest.mark.parametrize(("n_bytes", "what"), [(1500, "C-FIND"), (60_000, "C-GET")])
@pytest.mark.usefixtures("dimse_allowed")
def test_an_archive_that_falls_silent_within_a_message_is_given_up(orthanc, tmp_path, n_bytes, what):
    before = set(threading.enumerate())
    with stalled_front(orthanc.dicom, n_bytes) as port:
        address = orthanc.dimse("Modality=PT").replace(str(orthanc.dicom), str(port))
        error = refused(address, tmp_path, timeout_s=1, n_attempts=1)
        assert code_of(error) == "pacs-timeout"
        assert what in error.given
        assert not [t for t in set(threading.enumerate()) - before if not t.daemon], "a thread would keep the process"


@pytest.mark.parametrize("how", ["get", "move"])
@pytest.mark.usefixtures("dimse_allowed")
def test_an_archive_that_dies_within_a_series(network, hospital, tmp_path, how):
    archive = start_orthanc(tmp_path / "orthanc", network)
    files = sorted(path for path in hospital.rglob("*") if path.is_file())
    stow(archive, [path for path in files if pydicom.dcmread(path, stop_before_pixels=True).Modality == "PT"])

    def kill_midway(title: str, n_done: int, n_total: int) -> None:
        if title == "receiving instances" and 5 < n_done < n_total and archive.process.poll() is None:
            archive.stop()

    address = archive.dimse() if how == "get" else moved(archive)
    (tmp_path / "in").mkdir()
    with pytest.raises(UnreadableFile) as error:
        fetch(remote(address, QUICK), tmp_path / "in", names=NAMES, progress=kill_midway)
    assert archive.process.poll() is not None
    assert code_of(error.value) in {"pacs-cut", "pacs-unreachable"}
    assert not list((tmp_path / "in").rglob("*.dcm")), "a part of a series is not left to be read"


@pytest.mark.usefixtures("dimse_allowed")
def test_a_full_disk_is_said_as_what_it_is(orthanc, tmp_path, monkeypatch):
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Staging, "write", full)
    with pytest.raises(OSError, match="No space left"):
        fetch(remote(orthanc.dimse("Modality=RTSTRUCT"), QUICK), tmp_path, names=NAMES, progress=silent)


# archives that do not keep their word

STUDY, SERIES = "2.25.1", "2.25.1.1"


def instance(number: int, *, series: str = SERIES, n_bytes: int = 64) -> pydicom.Dataset:
    """A small CT instance."""
    dataset = pydicom.Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CT, f"2.25.1.1.{number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.PatientID = STUDY, series, "QX-7781"
    dataset.Modality, dataset.ImageComments = "CT", "x" * n_bytes
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    return dataset


@contextmanager
def archive_that(sends: Callable[[int], list[pydicom.Dataset]], *, announces: int = 3) -> Iterator[str]:
    """A pynetdicom archive of one series that announces so many instances and, at each C-GET, sends what it likes."""
    from pynetdicom import AE, AllStoragePresentationContexts, evt

    asked = 0

    def find(event: Any) -> Iterator[tuple[int, pydicom.Dataset]]:
        level = event.identifier.QueryRetrieveLevel
        for number in range(announces if level == "IMAGE" else 1):
            answer = pydicom.Dataset()
            answer.StudyInstanceUID, answer.SeriesInstanceUID, answer.Modality = STUDY, SERIES, "CT"
            if level == "IMAGE":
                answer.SOPInstanceUID, answer.SOPClassUID = f"2.25.1.1.{number}", CT
            yield 0xFF00, answer

    def get(event: Any) -> Iterator[Any]:
        nonlocal asked
        asked += 1
        datasets = sends(asked)
        yield len(datasets)
        for dataset in datasets:
            yield 0xFF00, dataset

    entity = AE(ae_title=CALLED)
    entity.add_supported_context(FIND)
    entity.add_supported_context(GET)
    for context in AllStoragePresentationContexts:
        entity.add_supported_context(str(context.abstract_syntax), scp_role=True, scu_role=True)
    handlers = [(evt.EVT_C_FIND, find), (evt.EVT_C_GET, get)]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        yield f"dimse://{CALLED}@127.0.0.1:{server.socket.getsockname()[1]}"
    finally:
        server.shutdown()


def received(address: str, folder: Path, **access: Any) -> tuple[list[Any], set[str]]:
    folder.mkdir()
    rows = fetch(remote(address, replace(QUICK, **access)), folder, names=NAMES, progress=silent)
    return rows, {str(pydicom.dcmread(path).SOPInstanceUID) for path in folder.rglob("*.dcm")}


def test_what_is_missing_is_asked_for_again(tmp_path):
    with archive_that(lambda asked: [instance(n) for n in range(asked)]) as address:
        rows, uids = received(address, tmp_path / "in")
    assert rows == []
    assert uids == {f"2.25.1.1.{n}" for n in range(3)}


def test_more_announced_than_sent_is_named_and_not_used(tmp_path):
    with archive_that(lambda _: [instance(n) for n in range(2)]) as address, pytest.raises(UnreadableFile) as error:
        received(address, tmp_path / "in")
    assert code_of(error.value) == "pacs-cut"
    assert "less than it announced" in error.value.given
    assert not list((tmp_path / "in").rglob("*.dcm"))


def test_instances_of_another_series_are_not_kept(tmp_path):
    def sends(_: int) -> list[pydicom.Dataset]:
        return [instance(n) for n in range(3)] + [instance(9, series="2.25.2")]

    with archive_that(sends) as address:
        rows, uids = received(address, tmp_path / "in")
    assert rows == []
    assert uids == {f"2.25.1.1.{n}" for n in range(3)}


def test_an_instance_larger_than_any_ends_the_association(tmp_path):
    with (
        archive_that(lambda _: [instance(0, n_bytes=8 * 2**20)], announces=1) as address,
        pytest.raises(UnreadableFile) as error,
    ):
        received(address, tmp_path / "in", max_instance_bytes=2**20)
    assert code_of(error.value) == "pacs-too-large"


def test_more_bytes_than_wanted(tmp_path):
    with (
        archive_that(lambda _: [instance(n, n_bytes=50_000) for n in range(3)]) as address,
        pytest.raises(UnreadableFile) as error,
    ):
        received(address, tmp_path / "in", max_bytes=100_000)
    assert code_of(error.value) == "pacs-too-large"


def test_more_series_than_wanted(tmp_path):
    with archive_that(lambda _: []) as address, pytest.raises(UnreadableFile) as error:
        received(address, tmp_path / "in", max_series=0)
    assert code_of(error.value) == "pacs-too-many-series"
