"""DICOMweb services that do not keep their word, are broken, or mean harm: refused by name, within bounds."""

from __future__ import annotations

import gzip
import itertools
import json
import logging
import re
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pydicom
import pytest
import requests

from fiducial.archive.pseudonym import Pseudonyms
from fiducial.archive.refusal import REFUSALS, code_of
from fiducial.archive.sources import PacsAccess, fetch, remote, survey
from fiducial.archive.sources import session as session_module
from fiducial.errors import UnreadableFile
from fiducial.records.progress import silent

# A service that breaks off leaves a socket to the collector, whose word then falls into whichever test is running.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

NAMES = Pseudonyms(bytes(range(32)))
QUICK = PacsAccess(timeout_s=5, n_attempts=2, backoff_s=0.01)
STUDY, SERIES = "2.25.1", "2.25.1.1"
JSON = "application/dicom+json"
PARTS = 'multipart/related; type="application/dicom"; boundary=cut'
NAME = "Unverwechselbar"


def part(number: int, *, series: str = SERIES, n_bytes: int = 100) -> bytes:
    """One instance as a part of an answer; its header tries to name a file."""
    dataset = pydicom.Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", f"{SERIES}.{number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.PatientName = STUDY, series, NAME
    dataset.ImageComments = "x" * n_bytes
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    header = (
        b'Content-Type: application/dicom\r\nContent-Location: ../../../up.dcm\r\nContent-Disposition: filename="/x"'
    )
    return b"--cut\r\n" + header + b"\r\n\r\n" + file.getvalue() + b"\r\n"


def uids(tag: str, values: list[str], **more: Any) -> bytes:
    """A DICOM JSON answer."""
    return json.dumps([{tag: {"vr": "UI", "Value": [value]}} | more for value in values]).encode()


class Service:
    """A DICOMweb service of one series of three instances; each answer may be replaced by a test's own."""

    def __init__(self) -> None:
        self.n_asked: dict[str, int] = {}
        self.answers: dict[str, Callable[[BaseHTTPRequestHandler, int], None]] = {}

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        url = urlsplit(handler.path)
        what = "get" if "dicom+json" not in handler.headers["Accept"] else url.path.rsplit("/", 1)[-1]
        self.n_asked[what] = self.n_asked.get(what, 0) + 1
        if what in self.answers:
            self.answers[what](handler, self.n_asked[what])
            return
        first = parse_qs(url.query).get("offset", ["0"]) == ["0"]
        if what == "studies":
            send(handler, uids("0020000D", [STUDY] if first else []))
        elif what == "series":
            send(handler, uids("0020000E", [SERIES] if first else []))
        elif what == "instances":
            send(handler, uids("00080018", [f"{SERIES}.{n}" for n in range(3)] if first else []))
        else:
            single = re.search(r"/instances/[\d.]+\.(\d+)$", url.path)
            numbers = [int(single[1])] if single else range(3)
            send(handler, b"".join(map(part, numbers)) + b"--cut--", kind=PARTS)


def send(handler: Any, body: bytes, *, kind: str = JSON, status: int = 200, **headers: str) -> None:
    """One whole answer."""
    handler.send_response(status)
    for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


@contextmanager
def serving(service: Service) -> Iterator[str]:
    """The address of a running service."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            try:
                service.answer(self)
            except OSError:
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield f"dicomweb+http://127.0.0.1:{server.server_address[1]}/web"
        finally:
            server.shutdown()  # else the thread goes on asking a closed socket, as fast as it can


@pytest.fixture
def service() -> Service:
    return Service()


def got(service: Service, folder: Path, **access: Any) -> tuple[list[Any], set[str]]:
    """Rows of what did not arrive, and the numbers of the instances that did."""
    folder.mkdir(exist_ok=True)
    with serving(service) as address:
        rows = fetch(remote(address, replace(QUICK, **access)), folder, names=NAMES, progress=silent)
    return rows, {str(pydicom.dcmread(path).SOPInstanceUID)[-1] for path in folder.rglob("*.dcm")}


def refused(service: Service, tmp_path: Path, **access: Any) -> UnreadableFile:
    with pytest.raises(UnreadableFile) as error:
        got(service, tmp_path / "in", **access)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()], "something half-received was left"
    said = f"{error.value} {error.value!r}"
    assert NAME not in said
    assert "/studies" not in said
    assert error.value.action == REFUSALS[code_of(error.value)]
    return error.value


def test_the_service_is_good_where_nothing_is_replaced(service, tmp_path):
    rows, numbers = got(service, tmp_path / "in")
    assert rows == []
    assert numbers == {"0", "1", "2"}
    assert {path.name for path in (tmp_path / "in").rglob("*.dcm")} == {f"{n:07d}.dcm" for n in (1, 2, 3)}
    assert {path.name for path in tmp_path.iterdir()} == {"in"}, "no name is taken from an answer"


# instances that do not come


def test_what_is_missing_is_asked_for_one_by_one(service, tmp_path):
    def first_two(handler: Any, asked: int) -> None:
        numbers = [0, 1] if asked == 1 else [2]
        send(handler, b"".join(map(part, numbers)) + b"--cut--", kind=PARTS)

    service.answers["get"] = first_two
    assert got(service, tmp_path / "in") == ([], {"0", "1", "2"})
    assert service.n_asked["get"] == 2


def test_a_broken_connection_is_resumed_with_what_is_missing(service, tmp_path):
    def breaks(handler: Any, _: int) -> None:
        del service.answers["get"]
        whole = b"".join(map(part, range(3))) + b"--cut--"
        handler.send_response(200)
        handler.send_header("Content-Type", PARTS)
        handler.send_header("Content-Length", str(len(whole)))
        handler.end_headers()
        handler.wfile.write(whole[: len(part(0)) + 50])
        handler.close_connection = True

    service.answers["get"] = breaks
    assert got(service, tmp_path / "in") == ([], {"0", "1", "2"})
    assert service.n_asked["get"] == 3, "once for all, and once for each of the two that are missing"


def test_more_announced_than_sent(service, tmp_path):
    service.answers["get"] = lambda handler, _: send(handler, part(0) + b"--cut--", kind=PARTS)
    error = refused(service, tmp_path)
    assert code_of(error) == "pacs-cut"
    assert service.n_asked["get"] <= 6


def test_one_series_of_two_stays_incomplete(service, tmp_path):
    other = "2.25.1.2"
    service.answers["series"] = lambda h, n: send(h, uids("0020000E", [SERIES, other] if n == 1 else []))

    def instances(handler: Any, _: int) -> None:
        here = SERIES if f"/{SERIES}/" in handler.path else other
        first = "offset=0" in handler.path
        send(handler, uids("00080018", [f"{here}.{n}" for n in range(3)] if first else []))

    service.answers["instances"] = instances
    service.answers["get"] = lambda h, _: send(h, b"".join(map(part, range(3))) + b"--cut--", kind=PARTS)
    ((row,), numbers) = got(service, tmp_path / "in")
    assert numbers == {"0", "1", "2"}
    assert row.reason.startswith("pacs-series-incomplete: 0 of 3 instances arrived; ")
    assert row.series == NAMES.of("series", other)
    assert row.status == "rejected"
    assert other not in repr(row)


# answers that are none of the protocol


@pytest.mark.parametrize(
    ("what", "body", "kind"),
    [
        ("studies", b"<html>log in</html>", "text/html"),
        ("studies", b"[" * 100_000, JSON),
        ("studies", b'{"error": 1}', JSON),
        ("studies", b"7", JSON),
        ("series", b'[1, null, "x", {"0020000E": 5}, {"0020000E": {"Value": [{}]}}]', JSON),
        ("series", uids("0020000E", ["../../etc", "1.2/3", "1" * 65, ""]), JSON),
        ("instances", b'[{"00080018": {"Value": []}}]', JSON),
        ("get", b"<html>log in</html>", "text/html"),
        ("get", b"{}", JSON),
        ("get", b"no boundary", "multipart/related"),
        ("get", b"--cut\r\n\r\nno DICOM\r\n--cut--", PARTS),
        ("get", b"\xff" * 1000, "application/dicom"),
    ],
)
def test_an_answer_that_is_none(service, tmp_path, what, body, kind):
    service.answers[what] = lambda handler, _: send(handler, body, kind=kind)
    assert code_of(refused(service, tmp_path)) in {"pacs-answer", "pacs-empty", "pacs-cut"}


@pytest.mark.parametrize(
    ("what", "status", "code"),
    [
        ("studies", 401, "pacs-credentials"),
        ("studies", 403, "pacs-credentials"),
        ("studies", 404, "pacs-answer"),
        ("studies", 429, "pacs-busy"),
        ("studies", 500, "pacs-busy"),
        ("instances", 503, "pacs-busy"),
        ("get", 403, "pacs-credentials"),
        ("get", 406, "pacs-answer"),
        ("get", 502, "pacs-busy"),
    ],
)
def test_statuses(service, tmp_path, what, status, code):
    service.answers[what] = lambda handler, _: send(handler, NAME.encode(), kind="text/plain", status=status)
    error = refused(service, tmp_path)
    assert code_of(error) == code
    assert f"HTTP status {status}" in error.given
    assert service.n_asked[what] == (QUICK.n_attempts if code == "pacs-busy" else 1)


def test_busy_once_is_no_refusal(service, tmp_path):
    def once(handler: Any, asked: int) -> None:
        if asked == 1:
            send(handler, b"", status=503)
        else:
            del service.answers["studies"]
            service.answer(handler)

    service.answers["studies"] = once
    assert got(service, tmp_path / "in") == ([], {"0", "1", "2"})


@pytest.mark.parametrize("what", ["studies", "get"])
def test_redirects_are_not_followed(service, tmp_path, what):
    elsewhere = f"http://127.0.0.1:1/{NAME}"
    service.answers[what] = lambda handler, _: send(handler, b"", status=302, Location=elsewhere)
    error = refused(service, tmp_path)
    assert code_of(error) == "pacs-answer"
    assert "redirects" in error.given


# answers without an end


def endless(handler: Any, piece: bytes, *, kind: str, first: bytes = b"", pause_s: float = 0.0) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", kind)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for data in itertools.chain([first], itertools.repeat(piece)):
        if data:
            handler.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        time.sleep(pause_s)


@pytest.mark.parametrize("first", [b"", b"--cut\r\nA: b\r\n\r\n", b"--cut\r\n"], ids=["preamble", "body", "header"])
def test_an_endless_answer(service, tmp_path, first):
    service.answers["get"] = lambda handler, _: endless(handler, bytes(2**16), kind=PARTS, first=first)
    error = refused(service, tmp_path, timeout_s=10, max_bytes=4 * 2**20, max_instance_bytes=2 * 2**20)
    assert code_of(error) in {"pacs-too-large", "pacs-answer"}


def test_an_endless_answer_is_not_held_in_memory(service, tmp_path):
    service.answers["get"] = lambda h, _: endless(h, bytes(2**16), kind=PARTS, first=b"--cut\r\nA: b\r\n\r\n")
    tracemalloc.start()
    try:
        refused(service, tmp_path, timeout_s=10, max_bytes=2**40, max_instance_bytes=32 * 2**20)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


def test_endless_instances(service, tmp_path):
    service.answers["get"] = lambda handler, _: endless(handler, part(0), kind=PARTS)
    error = refused(service, tmp_path, timeout_s=10)
    assert code_of(error) == "pacs-answer"
    assert "more instances than were announced" in error.given


def test_an_endless_search(service, tmp_path, monkeypatch):
    monkeypatch.setattr(session_module, "MAX_JSON", 10**6)
    service.answers["studies"] = lambda handler, _: endless(handler, b" " * 2**16, kind=JSON, first=b"[")
    assert code_of(refused(service, tmp_path, timeout_s=10)) == "pacs-too-large"


def test_endless_pages(service, tmp_path):
    service.answers["series"] = lambda h, n: send(h, uids("0020000E", [f"2.25.{n}.{k}" for k in range(200)]))
    assert code_of(refused(service, tmp_path, max_series=300)) == "pacs-too-many-series"


def test_a_search_that_repeats_its_page_for_ever(service, tmp_path):
    service.answers["studies"] = lambda handler, _: send(handler, uids("0020000D", [STUDY]))
    assert got(service, tmp_path / "in") == ([], {"0", "1", "2"})
    assert service.n_asked["studies"] == 2


def test_a_small_answer_that_grows(service, tmp_path, monkeypatch):
    monkeypatch.setattr(session_module, "MAX_JSON", 10**6)
    packed = gzip.compress(b"[" + b" " * (4 * 2**20) + b"]")
    service.answers["studies"] = lambda handler, _: send(handler, packed, Content_Encoding="gzip")
    assert code_of(refused(service, tmp_path)) == "pacs-too-large"


def test_a_trickle_is_given_up(service, tmp_path, monkeypatch):
    monkeypatch.setattr(session_module, "GRACE_S", 0.3)
    service.answers["get"] = lambda handler, _: endless(handler, b"x", kind=PARTS, pause_s=0.05)
    error = refused(service, tmp_path)
    assert code_of(error) == "pacs-timeout"


@pytest.mark.parametrize("what", ["studies", "get"])
def test_silence(service, tmp_path, what):
    service.answers[what] = lambda *_: time.sleep(1)
    assert code_of(refused(service, tmp_path, timeout_s=0.2)) == "pacs-timeout"
    assert service.n_asked[what] == QUICK.n_attempts


# what is sent to a service


def test_nothing_is_logged_of_what_fails(service, tmp_path, caplog):
    service.answers["studies"] = lambda handler, _: send(handler, b"", status=503)
    with caplog.at_level(logging.DEBUG):
        for name in ("retrying", "urllib3.connectionpool", "dicomweb_client.web"):
            caplog.set_level(logging.DEBUG, logger=name)
        for address in (
            None,
            "dicomweb+http://127.0.0.1:1/web?PatientID=QX-7781",
            "dimse://A@127.0.0.1:1?PatientID=QX-7781",
        ):
            with serving(service) as there, pytest.raises(UnreadableFile):
                survey(remote(address or f"{there}?PatientID=QX-7781", QUICK), progress=silent)
    assert not caplog.records


def test_credentials_go_where_they_belong_and_the_environment_is_not_read(service, monkeypatch, tmp_path):
    seen: list[dict[str, str]] = []
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password else\n")
    answer = service.answer

    def look(handler: Any) -> None:
        seen.append(dict(handler.headers))
        answer(handler)

    monkeypatch.setattr(service, "answer", look)
    with serving(service) as address:
        for credentials in ("", "a:b:c", "Bearer t.o.k", "ü:ß"):
            survey(remote(address, replace(QUICK, credentials=credentials)), progress=silent)
            shown = {headers.get("Authorization", "") for headers in seen}
            assert {headers["Host"] for headers in seen} == {address.split("/")[2]}
            seen.clear()
            expected = {
                "": "",
                "a:b:c": "Basic YTpiOmM=",
                "Bearer t.o.k": "Bearer t.o.k",
                "ü:ß": "Basic w7w6w58=",
            }[credentials]
            assert shown == {expected}


@pytest.mark.parametrize("credentials", ["no-colon", "a:b\r\nX: y", "Bearer "])
def test_credentials_that_are_none(credentials):
    with pytest.raises(UnreadableFile) as error:
        survey(remote("dicomweb+http://127.0.0.1:1", replace(QUICK, credentials=credentials)), progress=silent)
    assert code_of(error.value) == "pacs-credentials"
    assert credentials.strip() not in str(error.value).replace("Bearer TOKEN", "")


def test_a_package_that_is_not_installed(monkeypatch):
    import sys

    for name, address in (("dicomweb_client", "dicomweb+http://127.0.0.1:1"), ("pynetdicom", "dimse://A@127.0.0.1:1")):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(UnreadableFile) as error:
            survey(remote(address, QUICK), progress=silent)
        assert code_of(error.value) == "pacs-not-installed"
        assert "fiducial[pacs]" in error.value.action


def test_every_error_of_the_library_has_a_name():
    from urllib3 import exceptions as low

    for kind in (requests.exceptions.RequestException, low.HTTPError):
        for error in _subclasses(kind):
            raised = error.__new__(error)
            raised.args = (NAME,)
            if isinstance(raised, requests.exceptions.RequestException):
                raised.response = None
            with pytest.raises(UnreadableFile) as refusal, session_module.named_errors("here"):
                raise raised
            assert code_of(refusal.value).startswith("pacs-")
            assert NAME not in str(refusal.value)
            assert refusal.value.__suppress_context__


def _subclasses(kind: type[Exception]) -> set[type[Exception]]:
    return {kind}.union(*(_subclasses(child) for child in kind.__subclasses__()))
