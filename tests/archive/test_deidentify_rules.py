"""The table of the standard, the options, and the values that replace values."""

from __future__ import annotations

import re
import string
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.datadict import DicomDictionary, dictionary_VR, keyword_dict, keyword_for_tag, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.valuerep import VR

from fiducial.archive.deidentify.clean import Subject, clean
from fiducial.archive.deidentify.elements import encoded
from fiducial.archive.deidentify.file import method
from fiducial.archive.deidentify.identity import Identity
from fiducial.archive.deidentify.profile import (
    ALSO_DEVICES,
    ALSO_REMOVED,
    CODES,
    KNOWN_SAFE,
    Action,
    Options,
    Rules,
    rows,
)
from fiducial.archive.deidentify.values import DUMMIES, age, dummy, moved
from fiducial.archive.deidentify.vocabulary import cleaned
from fiducial.archive.pseudonym import Pseudonyms

KEY = b"a key of thirty-two bytes, no le"
DEFAULT = Rules(Options())


def action(keyword: str, rules: Rules = DEFAULT) -> Action:
    tag = tag_for_keyword(keyword)
    assert tag is not None
    return rules.of(tag, dictionary_VR(tag))


@pytest.mark.parametrize(
    ("keyword", "expected"),
    [
        ("PatientName", Action.SUBJECT),
        ("PatientID", Action.SUBJECT),
        ("PatientBirthDate", Action.EMPTY),
        ("PatientBirthTime", Action.REMOVE),
        ("PatientSex", Action.EMPTY),
        ("PatientWeight", Action.REMOVE),
        ("StudyDate", Action.SHIFT),
        ("StudyTime", Action.SHIFT),
        ("TimezoneOffsetFromUTC", Action.SHIFT),
        ("SOPInstanceUID", Action.UID),
        ("SOPClassUID", Action.SEARCH),
        ("AccessionNumber", Action.EMPTY),
        ("StudyDescription", Action.REMOVE),
        ("StationName", Action.DUMMY),
        ("InstitutionName", Action.SITE),
        ("ReferencedImageSequence", Action.ITEMS),
        ("RequestAttributesSequence", Action.REMOVE),
        ("OriginalAttributesSequence", Action.REMOVE),
        ("ContentSequence", Action.DUMMY),
        ("AnatomicRegionSequence", Action.ITEMS),
        ("Manufacturer", Action.SEARCH),
        ("Rows", Action.SEARCH),
        ("DateOfGainCalibration", Action.SHIFT),
        ("EvaluatorName", Action.REMOVE),
        ("DetectorDescription", Action.REMOVE),
        ("MultiFrameSourceSOPInstanceUID", Action.UID),
        ("LUTData", Action.SEARCH),
        ("ICCProfile", Action.SEARCH),
        ("DetectorCalibrationData", Action.REMOVE),
    ],
)
def test_what_the_basic_profile_with_moved_dates_does(keyword: str, expected: Action) -> None:
    assert action(keyword) is expected


@pytest.mark.parametrize("tag", [0x00091001, 0x00090010, 0x50003000, 0x60203000, 0xFFFCFFFC, 0x00020016, 0x00080000])
def test_whole_groups_go(tag: int) -> None:
    assert DEFAULT.of(tag, "LO") is Action.REMOVE


def test_options_keep_what_they_name_and_nothing_else() -> None:
    patient, device = Rules(Options(patient_characteristics=True)), Rules(Options(device_identity=True))
    kept = {"PatientSex", "PatientSize", "PatientWeight", "EthnicGroup", "SmokingStatus", "PregnancyStatus"}
    assert {k for k in kept if action(k, patient) in (Action.KEEP, Action.SEARCH)} == kept
    assert action("PatientAge", patient) is Action.AGE
    assert action("DeviceSerialNumber", device) is Action.SEARCH
    assert action("DeviceUID", device) is Action.KEEP
    for rules in (patient, device):
        for keyword in ("PatientName", "PatientID", "PatientBirthDate", "AccessionNumber", "StudyDescription"):
            assert action(keyword, rules) is action(keyword)
    assert action("Allergies", patient) is Action.REMOVE  # would have to be cleaned by a person
    assert action("StudyDate", Rules(Options(dates="removed"))) is Action.EMPTY
    assert action("SeriesDate", Rules(Options(dates="removed"))) is Action.DUMMY


def test_codes_are_those_of_the_standard() -> None:
    """PS3.16 as pydicom carries it."""
    standard = {code.value: code.meaning for code in codes.cid7050.concepts.values()}
    assert {code: standard[code] for code in CODES} == CODES
    every = Options(patient_characteristics=True, device_identity=True, clean_descriptors=True)
    assert every.codes == ("113100", "113105", "113107", "113108", "113109")
    assert Options(dates="full").codes == ("113100", "113106")
    assert (Options().temporal, Options(dates="full").temporal) == ("MODIFIED", "UNMODIFIED")


def test_the_table_is_the_standards() -> None:
    """Spot values of Table E.1-1, and no row that the dictionary knows under another name or VR."""
    table = {row.tag: row for row in rows()}
    assert len(table) == len(rows()) == 655
    assert (table["00100010"].basic, table["00100020"].basic, table["00080018"].basic) == ("Z", "Z/D", "U")
    assert (table["00101010"].basic, table["00101010"].patient) == ("X", "K")
    assert (table["00181000"].basic, table["00181000"].device) == ("X/Z/D", "K")
    assert (table["00080020"].full_dates, table["00080020"].modified_dates) == ("K", "C")
    assert table["00081140"].basic == "X/Z/U*"
    assert {row.basic for row in rows()} == {"X", "Z", "D", "U", "Z/D", "X/Z", "X/D", "X/Z/D", "X/Z/U*"}
    for tag, row in table.items():
        if row.vr:
            assert (keyword_for_tag(int(tag, 16)), dictionary_VR(int(tag, 16))) == (row.keyword, row.vr)
    dates = {row.keyword for row in rows() if row.vr in ("DA", "DT", "TM") and not row.full_dates}
    assert dates == {"GPSTimeStamp", "PatientBirthDate", "PatientBirthTime"}


def test_what_we_add_to_the_table_is_in_the_dictionary_and_not_in_the_table() -> None:
    listed = {row.keyword for row in rows()}
    for keyword in ALSO_REMOVED | ALSO_DEVICES | KNOWN_SAFE:
        assert keyword in keyword_dict, keyword
        assert keyword not in listed, keyword


@pytest.mark.parametrize("options", [Options(), Options(dates="removed"), Options(dates="full")])
def test_every_attribute_of_the_dictionary_has_an_action_that_fits_its_vr(options: Options) -> None:
    """No name, free text, address, unknown or binary value stays, whatever the table says of it."""
    rules = Rules(options)
    for tag, (vr, *_) in DicomDictionary.items():
        done = rules.of(tag, vr)
        if vr in ("PN", "AE", "UN"):
            assert done in (Action.REMOVE, Action.EMPTY, Action.DUMMY, Action.SUBJECT), (hex(tag), done)
        if vr in ("ST", "LT", "UT", "UC", "UR", "OB", "OW", "OB or OW") and done is Action.SEARCH:
            assert keyword_for_tag(tag) in KNOWN_SAFE
        if vr in ("DA", "DT") and options.dates == "removed":
            assert done in (Action.REMOVE, Action.EMPTY, Action.DUMMY)
        if vr == "UI" and done in (Action.KEEP, Action.SEARCH):
            assert re.search("ClassUID|TransferSyntaxUID", keyword_for_tag(tag))
        assert (done is Action.ITEMS) <= (vr == "SQ")


@pytest.mark.parametrize(
    ("vr", "text", "expected"),
    [
        ("DA", "20240511", "20230506"),
        ("DA", "2024051", ""),
        ("DT", "20240511", "20230506"),
        ("DT", "20240511101530.123456+0130", "20230506101530.123456+0130"),
        ("DT", "2024051110", "2023050610"),
        ("DT", "202405", ""),
        ("DT", "20240511256000", ""),
        ("DT", "20240511101530+9999", ""),
        ("TM", "101530.5", "101530.5"),
        ("TM", "10", "10"),
        ("TM", "1015.5", ""),
        ("TM", "251530", ""),
        ("TM", "Amalia", ""),
        ("SH", "+0130", "+0130"),
        ("SH", "Berlin", ""),
    ],
)
def test_dates_and_times(vr: str, text: str, expected: str) -> None:
    assert moved(vr, text, -371) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("061Y", "061Y"),
        ("089Y", "089Y"),
        ("090Y", "090Y"),
        ("103Y", "090Y"),
        ("018M", "018M"),
        ("999W", "999W"),
        ("61", ""),
        ("Smith", ""),
        ("", ""),
    ],
)
def test_ages(text: str, expected: str) -> None:
    assert age(text) == expected


@pytest.mark.parametrize("vr", sorted({str(vr) for vr in VR if len(str(vr)) == 2} - {"SQ", "UI"}))
def test_dummies_are_valid_in_their_vr(vr: str) -> None:
    ds = Dataset()
    ds.add_new(0x00090001, vr, dummy(vr))
    assert encoded(ds, "1.2.840.10008.1.2.1")
    assert (vr in DUMMIES) == (not isinstance(dummy(vr), bytes))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GTV_Lung right", "GTV_Lung right"),
        ("GTV_Miller_lung", "GTV lung"),
        ("Miller", ""),
        ("T1w SAG 3mm of J. Doe", "T1w SAG 3mm of"),
        ("60Gy 1956", ""),
    ],
)
def test_words_that_a_description_keeps(text: str, expected: str) -> None:
    assert cleaned(text) == expected


def test_names_are_found_in_parts_and_not_in_other_words() -> None:
    about = Identity()
    about.add_name("Li^Anna-Maria")
    about.add_id("12345")
    about.add_date("20240511")
    search = about.search()
    assert search.replaced("of Li and anna, not Lithium", "LO") == "of REMOVED and REMOVED, not Lithium"
    assert search.replaced("AnnaMaria 12345 123456", "LO") == "REMOVED REMOVED 123456"
    assert search.replaced("on 11.05.2024 or 2024-05-11", "LO") == "on REMOVED or REMOVED"
    assert search.replaced("LI", "CS") == "LI"  # two letters are a code more often than a name
    assert search.replaced("ANNA", "CS") == ""
    assert "Anna" not in repr(about)


def test_what_is_said_of_the_method_fits_its_vr() -> None:
    for dates in ("modified", "full", "removed"):
        for shift in ("site", "patient"):
            assert all(len(text) <= 64 for text in method(Options(dates=dates, shift=shift)))  # type: ignore[arg-type]


SECRET = st.text(alphabet=string.ascii_uppercase, min_size=9, max_size=12).map(lambda s: "Qz" + s)
DAY = st.dates(min_value=date(1900, 1, 1), max_value=date(2030, 1, 1)).map("{:%Y%m%d}".format)
NUMBERS = st.integers(min_value=10**20, max_value=10**30).map("1.2.826.0.1.{}".format)
LISTED = [
    (int(row.tag, 16), row.vr)
    for row in rows()
    if row.vr in ("PN", "LO", "SH", "DA", "UI", "LT", "ST", "UT") and "x" not in row.tag and int(row.tag[:4], 16) >= 8
]


@st.composite
def listed_datasets(draw: Any, depth: int = 0) -> tuple[Dataset, list[str]]:
    """A dataset of listed attributes with values that are told from everything else, and those values."""
    ds, secrets = Dataset(), []
    for tag, vr in draw(st.lists(st.sampled_from(LISTED), min_size=1, max_size=12, unique=True)):
        value = draw({"DA": DAY, "UI": NUMBERS}.get(vr, SECRET))
        ds.add_new(tag, vr, value)
        secrets.append(value)
    if depth < 3 and draw(st.booleans()):
        inner, more = draw(listed_datasets(depth=depth + 1))
        ds.add_new(draw(st.sampled_from([0x00081140, 0x00082218, 0x00540016, 0x52009229])), "SQ", [inner])
        secrets += more
    return ds, secrets


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(listed_datasets(), st.sampled_from([Options(), Options(dates="removed"), Options(shift="patient")]))
def test_no_value_of_a_listed_attribute_survives(made: tuple[Dataset, list[str]], options: Options) -> None:
    """A moved date may equal another's true one: those are left out of the search."""
    ds, secrets = made
    about = Subject(Pseudonyms(KEY), Rules(options), "psubject", "hsite", -371)
    clean(ds, about)
    body = encoded(ds, "1.2.840.10008.1.2.1")
    for secret in secrets:
        day = f"{date.fromisoformat(secret) + timedelta(days=371):%Y%m%d}" if secret.isdigit() else ""
        if day not in secrets:
            assert secret.encode() not in body
    again = Subject(Pseudonyms(KEY), Rules(options), "psubject", "hsite", -371)
    assert again.uid("1.2.3.4.5.6.7") == about.uid("1.2.3.4.5.6.7") != Pseudonyms(KEY[::-1]).uid("1.2.3.4.5.6.7")
