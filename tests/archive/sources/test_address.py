"""Addresses: what they say, what they never show, and what is refused."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiducial.archive.refusal import code_of
from fiducial.archive.sources import is_address, parse_address
from fiducial.archive.sources.address import (
    SERIES_KEYS,
    STUDY_KEYS,
    DicomwebAddress,
    DimseAddress,
    Filters,
    is_loopback,
    is_uid,
)
from fiducial.errors import UnreadableFile

# by hand


def test_a_dicomweb_address():
    address = parse_address("dicomweb+https://pacs.example.org/dicom-web/?PatientID=A%20B&Modality=CT&Modality=PT")
    assert isinstance(address, DicomwebAddress)
    assert (address.host, address.port, address.path, address.secure) == ("pacs.example.org", 443, "/dicom-web", True)
    assert address.base_url == "https://pacs.example.org/dicom-web"
    assert str(address) == "dicomweb+https://pacs.example.org/dicom-web"
    assert list(address.filters.queries(STUDY_KEYS)) == [{"PatientID": "A B"}]
    assert list(address.filters.queries(SERIES_KEYS)) == [{"Modality": "CT"}, {"Modality": "PT"}]


def test_a_dimse_address():
    address = parse_address(
        "dimse://MAIN%20PACS@127.0.0.1:11112?StudyDate=20240101-20241231&retrieve=move&move_port=11"
    )
    assert isinstance(address, DimseAddress)
    assert (address.called, address.host, address.port) == ("MAIN PACS", "127.0.0.1", 11112)
    assert (address.calling, address.retrieve, address.listen) == ("FIDUCIAL", "move", ("127.0.0.1", 11))
    assert dict(address.filters.values) == {"StudyDate": ("20240101-20241231",)}
    assert str(address) == "dimse://MAIN PACS@127.0.0.1:11112"


@pytest.mark.parametrize(
    ("text", "base_url"),
    [
        ("dicomweb+http://localhost", "http://localhost"),
        ("dicomweb+http://localhost:8042/", "http://localhost:8042"),
        ("DICOMWEB+HTTPS://Pacs:443/a/b", "https://pacs/a/b"),
        ("dicomweb+https://[::1]:8443/web", "https://[::1]:8443/web"),
    ],
)
def test_the_root_of_a_service(text, base_url):
    assert parse_address(text).base_url == base_url


def test_without_a_query_everything_is_asked_for():
    assert list(parse_address("dimse://A@h").filters.queries(STUDY_KEYS)) == [{}]


def test_values_of_two_keys_are_asked_for_in_every_combination():
    filters = Filters({"PatientID": ("1", "2"), "StudyDate": ("2020", "2021"), "Modality": ("CT",)})
    assert len(list(filters.queries(STUDY_KEYS))) == 4


@pytest.mark.parametrize(
    ("source", "is_one"),
    [
        ("dimse://A@h", True),
        ("s3://bucket", True),
        ("dicom/2024", False),
        ("C:\\dicom", False),
        ("C:/dicom", False),
        ("../a://b", False),
    ],
)
def test_a_source_is_an_address_by_its_scheme(source, is_one):
    assert is_address(source) is is_one


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("pacs", False),
    ],
)
def test_loopback(host, here):
    assert is_loopback(host) is here


# laws

values = st.text(
    st.characters(min_codepoint=32, exclude_characters="\\\x7f", exclude_categories=["Cs", "Cc"]), min_size=1
)
values = values.filter(lambda text: text.strip() and len(text) <= 64)
hosts = st.from_regex(r"[a-z][a-z0-9-]{0,20}(\.[a-z]{2,5})?", fullmatch=True)


@settings(max_examples=50)
@given(host=hosts, port=st.integers(1, 65535), patients=st.lists(values, min_size=1, max_size=4, unique=True))
def test_what_is_written_is_read(host, port, patients):
    query = "&".join(f"PatientID={quote(patient, safe='')}" for patient in patients)
    address = parse_address(f"dicomweb+https://{host}:{port}/a/b?{query}")
    assert (address.host, address.port, address.path) == (host, port, "/a/b")
    assert address.filters.values["PatientID"] == tuple(patients)


@settings(max_examples=50)
@given(
    patient=st.from_regex(r"[A-Z]{2}[0-9]{6}", fullmatch=True), name=st.sampled_from(["PatientID", "AccessionNumber"])
)
def test_no_value_is_ever_shown(patient, name):
    for text in (f"dicomweb+https://host/x?{name}={patient}", f"dimse://A@host:1?{name}={patient}"):
        address = parse_address(text)
        assert patient not in f"{address} {address!r} {address.filters!r}"


@settings(max_examples=50)
@given(text=st.text(max_size=80) | st.text(max_size=60).map(lambda end: f"dicomweb+https://host/{end}"))
def test_whatever_is_written_is_read_or_refused(text):
    try:
        parse_address(text)
    except UnreadableFile as error:
        assert code_of(error) == "pacs-address"  # noqa: PT017 - most texts are refused, some are not


@settings(max_examples=50)
@given(st.text(max_size=70))
def test_a_uid_is_numbers_and_points(text):
    assert is_uid(text) == (0 < len(text) <= 64 and all(p.isascii() and p.isdigit() for p in text.split(".")))


# refusals

PATIENT = "QX-7781-ZW"
WRONG = {
    "ftp://host/": "no scheme that is known: ftp://",
    "dicomweb+https://": "the host is no name or number",
    "dicomweb+https://ho st/": "a space",
    "dicomweb+https://host:99999/": "host or port",
    "dicomweb+https://user:pass@host/": "a user or password before the host",
    "dicomweb+https://host/a/../b": "plain segments",
    "dicomweb+https://host/a//b": "plain segments",
    "dicomweb+https://host/#here": "a part after #",
    "dicomweb+https://host/?PatientID": "not Key=value",
    "dicomweb+https://host/?PatientID=": "PatientID has a value that is not legal",
    f"dicomweb+https://host/?PatientID={PATIENT}%0A": "PatientID has a value that is not legal",
    "dicomweb+https://host/?StudyDate=2024": "YYYYMMDD-YYYYMMDD",
    "dicomweb+https://host/?Modality=ct": "Modality has a value that is not legal",
    "dicomweb+https://host/?StudyInstanceUID=1..2": "a UID",
    f"dicomweb+https://host/?SeriesInstanceUID={'1' * 65}": "a UID",
    "dicomweb+https://host/?RequestingPhysician=X": "cannot ask for RequestingPhysician",
    f"dicomweb+https://host/?PatientName=A&{PATIENT}=1": "a key that is no DICOM keyword",
    "dicomweb+https://host/?" + "&".join(f"PatientID={n}&StudyID={n}" for n in range(17)): "289 combinations",
    "dicomweb+https://host/?calling=ME": "a key that is no DICOM keyword",
    "dimse://host:104": "no called AE title",
    "dimse://@host:104": "no AE title",
    "dimse://A-TITLE-OF-17-CHA@host": "no AE title",
    "dimse://A@host/path": "a path after host",
    "dimse://A@host?retrieve=put": "retrieve has a value",
    "dimse://A@host?move_port=70000": "move_port has a value",
    "dimse://A@host?retrieve=move": "retrieve=move without move_port",
    "dimse://A@host?retrieve=move&move_port=11112": "retrieve=move without listen",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_address_is_refused_by_the_part_that_is_wrong(text):
    with pytest.raises(UnreadableFile) as refused:
        parse_address(text)
    assert code_of(refused.value) == "pacs-address"
    said = str(refused.value)
    assert WRONG[text] in said
    assert PATIENT not in said
    assert "pass@" not in said
