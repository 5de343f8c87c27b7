"""Identifiers planted wherever a DICOM file can hold one: none of them is in any byte outside the pixels."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)

from fiducial.archive.deidentify import Options, deidentify_dicom
from fiducial.archive.deidentify.file import Cleaned, FileJob, NeedsReviewError, deidentify_file
from fiducial.archive.dicom.values import quiet_pydicom
from fiducial.archive.pseudonym import Pseudonyms
from fiducial.errors import UnreadableFile

KEY = b"a key of thirty-two bytes, no le"
SUBJECT = Pseudonyms(KEY).subject("QX-7781-ZW")
FAMILY, GIVEN, ID, ORDER = "Unverwechselbar", "Amalia", "QX-7781-ZW", "ACC99812X"
BIRTH, STUDY, PLACE = "19560317", "20240511", "Saint Elsewhere"
UID = "1.2.826.0.1.3680043.8.498.77123456789012345"
SECRETS = (FAMILY, GIVEN, ID, ORDER, BIRTH, STUDY, PLACE, "Doctor-Quillfeather", "+49-555-0199", "Elm-Street-77")
SENTENCE = f"{FAMILY}, {GIVEN} ({ID}) born {BIRTH}, seen {STUDY} at {PLACE}, order {ORDER}, {UID}.9, {UID}"
SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]


def plain(rows: int = 4, columns: int = 6) -> Dataset:
    """A CT slice that says who it is."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", UID + ".1"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = UID + ".2", UID + ".3", UID + ".4"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate = f"{FAMILY}^{GIVEN}", ID, BIRTH
    ds.Modality, ds.StudyDate, ds.StudyTime, ds.AccessionNumber = "CT", STUDY, "101530.25", ORDER
    ds.InstitutionName, ds.ReferringPhysicianName = PLACE, "Doctor-Quillfeather^^^Dr"
    ds.PatientAge, ds.PatientSex, ds.PatientWeight = "093Y", "F", "71.5"
    ds.PatientTelephoneNumbers, ds.PatientAddress = "+49-555-0199", "Elm-Street-77"
    ds.Manufacturer, ds.StationName = "Phantom Works", f"CT-{ID}"[:16]
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = rows, columns, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0
    ds.PixelData = np.arange(rows * columns, dtype="<u2").tobytes()
    return ds


def loaded() -> Dataset:
    """The same, with identifiers in every VR and every place that takes one."""
    ds = plain()
    texts = {"LO": SENTENCE[:60], "SH": ID, "ST": SENTENCE, "LT": SENTENCE, "UT": SENTENCE, "UC": SENTENCE, "UR": ID}
    for tag, vr in {0x00081030: "LO", 0x0008103E: "LO", 0x00204000: "LT"}.items():
        ds.add_new(tag, vr, texts[vr])  # listed
    ds.PerformingPhysicianName = ["Doctor-Quillfeather^Ada", f"{FAMILY}^{GIVEN}"]
    ds.SequenceName, ds.ProtocolName, ds.SegmentLabel = f"*{ID}", f"chest {GIVEN}", f"node of {GIVEN}"  # some unlisted
    ds.BodyPartExamined = GIVEN.upper()
    ds.ContrastBolusRoute = f"by {FAMILY} on {STUDY}"
    ds.FilterType = ID
    ds.SpecimenDescriptionTrial = SENTENCE  # unlisted ST
    ds.DetectorDescription = SENTENCE  # unlisted LT
    ds.StrainAdditionalInformation = SENTENCE  # unlisted UT
    ds.StrainDescription = SENTENCE  # unlisted UC
    ds.RetrieveURL = f"https://pacs/{ID}"
    ds.add_new(0x00400241, "AE", ID)
    ds.add_new(0x00080055, "AE", ID)
    ds.add_new(0x0018A002, "DT", STUDY + "101530+0100")
    ds.add_new(0x00189074, "DT", STUDY + "101530.5")
    ds.DateOfLastCalibration = [STUDY, BIRTH]
    ds.add_new(0x00420011, "OB", SENTENCE.encode() + b"\0" * (len(SENTENCE) % 2))
    ds.add_new(0x00282000, "OB", SENTENCE.encode() + b"\0" * (len(SENTENCE) % 2))  # an ICC profile's description
    ds.add_new(0x00091002, "UN", SENTENCE.encode())
    ds.add_new(0x00090010, "LO", FAMILY)
    ds.add_new(0x00091003, "SQ", [item(PatientName=FAMILY)])
    ds.add_new(0x00291010, "OB", SENTENCE.encode("utf-16-le"))
    for group in (0x5000, 0x5002):
        ds.add_new((group, 0x0022), "LO", FAMILY)
        ds.add_new((group, 0x3000), "OW", SENTENCE.encode() + b"\0" * (len(SENTENCE) % 2))
    for group in (0x6000, 0x601E):
        ds.add_new((group, 0x0010), "US", 4)
        ds.add_new((group, 0x0022), "LO", FAMILY)
        ds.add_new((group, 0x1500), "LO", GIVEN)
        ds.add_new((group, 0x4000), "LT", SENTENCE)
        ds.add_new((group, 0x3000), "OW", SENTENCE.encode() + b"\0" * (len(SENTENCE) % 2))
    ds.add_new(0x40104001, "LO", FAMILY)
    ds.add_new(0xFFFAFFFA, "SQ", [item(DigitalSignatureDateTime=STUDY, CertificateOfSigner=FAMILY.encode() + b"\0")])
    ds.add_new(0xFFFCFFFC, "OB", SENTENCE.encode() + b"\0" * (len(SENTENCE) % 2))
    deep = item(PatientID=ID, OperatorsName=FAMILY, ReferencedSOPInstanceUID=UID + ".7", StudyDate=STUDY)
    deep.add_new(0x00091001, "LO", FAMILY)
    ds.ReferencedImageSequence = [item(ReferencedSOPClassUID=ds.SOPClassUID, ReferencedSOPInstanceUID=UID + ".5")]
    # Three sequences deep, through ones that the table does not list.
    ds.AnatomicRegionSequence = [
        item(
            CodeValue="T-1",
            CodingSchemeDesignator="99" + ID[:6],
            CodeMeaning=f"chest of {FAMILY}",
            AnatomicRegionModifierSequence=[item(CodeMeaning=GIVEN, SourceImageSequence=[deep])],
        )
    ]
    ds.RequestAttributesSequence = [item(RequestedProcedureID=ID, ScheduledProcedureStepDescription=SENTENCE[:60])]
    ds.OriginalAttributesSequence = [item(ModifiedAttributesSequence=[item(PatientName=f"{FAMILY}^{GIVEN}")])]
    ds.IconImageSequence = [item(Rows=1, Columns=2, PixelData=FAMILY.encode() + b"\0")]
    return ds


def item(**values: Any) -> Dataset:
    """A sequence item."""
    ds = Dataset()
    for keyword, value in values.items():
        if keyword == "PixelData":
            ds.add(DataElement(0x7FE00010, "OW", value))
        else:
            setattr(ds, keyword, value)
    return ds


def save(ds: Dataset, path: Path, syntax: str = ExplicitVRLittleEndian) -> Path:
    """Write with names in preamble, file meta and behind the last element."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.SourceApplicationEntityTitle = ID
    ds.file_meta.PrivateInformationCreatorUID = UID + ".8"
    ds.file_meta.PrivateInformation = SENTENCE.encode()
    ds.preamble = (FAMILY + ID).encode().ljust(128, b"\0")
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    path.write_bytes(buffer.getvalue())
    return path


def job(source: Path, target: Path, options: Options | None = None, **given: Any) -> FileJob:
    settings = {"subject": SUBJECT, "site": "hfroeqsrw2a", "days": -371, "factor": None, "key": KEY} | given
    return FileJob(source, target, options=options or Options(), **settings)


def outside_pixels(path: Path) -> bytes:
    """Every byte of a file but the value of its (7FE0,0010); a deflated one is inflated first."""
    import zlib

    whole = path.read_bytes()
    ds = pydicom.dcmread(path)
    if ds.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian:
        start = 132 + 12 + ds.file_meta.FileMetaInformationGroupLength
        whole = whole[:start] + zlib.decompress(whole[start:], wbits=-zlib.MAX_WBITS)
    value = ds.get_item(0x7FE00010).value
    assert whole.count(value) == 1
    return whole.replace(value, b"")


def forms(secret: str) -> list[bytes]:
    found = []
    for encoding in ("latin-1", "utf-8", "utf-16-le", "utf-16-be"):
        found += [s.encode(encoding) for s in (secret, secret.lower(), secret.upper())]
    return found


def require_none(content: bytes, secrets: tuple[str, ...] = SECRETS) -> None:
    for secret in secrets:
        assert not [form for form in forms(secret) if form in content], secret
    assert not re.search(UID.encode(), content)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.keyword)
@pytest.mark.parametrize(
    "options",
    [
        Options(),
        Options(dates="removed"),
        Options(shift="patient", patient_characteristics=True, device_identity=True, clean_descriptors=True),
    ],
    ids=["default", "no dates", "all that is kept"],
)
def test_no_identifier_survives_in_any_byte(syntax: str, options: Options, tmp_path: Path) -> None:
    ds = loaded()
    if options.device_identity:
        ds.StationName = "CT-ONE"
    if syntax == ExplicitVRBigEndian:
        ds.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()
    source = save(ds, tmp_path / "in.dcm", syntax)
    before = source.read_bytes()
    if syntax != DeflatedExplicitVRLittleEndian:
        assert all(secret.encode() in before for secret in SECRETS)
    made = deidentify_file(job(source, tmp_path / "out.dcm", options))
    assert source.read_bytes() == before
    require_none(outside_pixels(tmp_path / "out.dcm"))
    new = pydicom.dcmread(tmp_path / "out.dcm")
    assert new.file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(new.pixel_array, np.arange(24).reshape(4, 6))
    assert new.PixelData == ds.PixelData
    assert made.uids[UID + ".1"] == new.SOPInstanceUID == new.file_meta.MediaStorageSOPInstanceUID
    assert not [e for e in new.iterall() if e.tag.is_private or e.tag.group >> 8 in (0x50, 0x60)]


def test_what_is_left_says_what_was_done(tmp_path: Path) -> None:
    made = deidentify_file(job(save(loaded(), tmp_path / "in.dcm"), tmp_path / "out.dcm"))
    new = pydicom.dcmread(tmp_path / "out.dcm")
    assert (new.PatientID, str(new.PatientName), new.PatientIdentityRemoved) == (SUBJECT, SUBJECT, "YES")
    assert [i.CodeValue for i in new.DeidentificationMethodCodeSequence] == ["113100", "113107"]
    assert new.LongitudinalTemporalInformationModified == "MODIFIED"
    assert all(len(value) <= 64 for value in new.DeidentificationMethod)
    assert (new.StudyDate, new.StudyTime, new.PatientBirthDate) == ("20230506", "101530.25", "")
    assert new[0x00189074].value == "20230506101530.5"
    assert list(new.DateOfLastCalibration) == ["20230506", "19550312"]
    assert "PatientAge" not in new
    assert new.PatientSex == ""
    assert (new.SegmentLabel, new.ContrastBolusRoute) == ("node of REMOVED", "by REMOVED on REMOVED")
    assert new.BodyPartExamined == ""
    assert new.AnatomicRegionSequence[0].CodeMeaning == "chest of REMOVED"
    deep = new.AnatomicRegionSequence[0].AnatomicRegionModifierSequence[0].SourceImageSequence[0]
    assert deep.PatientID == SUBJECT
    assert deep.ReferencedSOPInstanceUID == Pseudonyms(KEY).uid(UID + ".7")
    assert deep.StudyDate == new.StudyDate
    assert new.ReferencedImageSequence[0].ReferencedSOPInstanceUID == Pseudonyms(KEY).uid(UID + ".5")
    assert new.ReferencedImageSequence[0].ReferencedSOPClassUID == new.SOPClassUID
    assert new.preamble == bytes(128)
    assert {e.keyword for e in new.file_meta} == {
        "FileMetaInformationGroupLength",
        "FileMetaInformationVersion",
        "MediaStorageSOPClassUID",
        "MediaStorageSOPInstanceUID",
        "TransferSyntaxUID",
        "ImplementationClassUID",
        "ImplementationVersionName",
    }
    assert made.counts["private", "removed"] == 5
    assert made.counts["curve or overlay", "removed"] == 14
    assert made.counts["PatientName", "replaced by the pseudonym"] == 1
    assert not any(secret in repr(made.counts) for secret in SECRETS)


def test_kept_characteristics_device_and_full_dates(tmp_path: Path) -> None:
    options = Options(dates="full", patient_characteristics=True, device_identity=True)
    ds = plain()
    ds.StationName, ds.DeviceSerialNumber = "CT-ONE", "SN-4711"
    deidentify_file(job(save(ds, tmp_path / "in.dcm"), tmp_path / "out.dcm", options, days=0))
    new = pydicom.dcmread(tmp_path / "out.dcm")
    assert (new.PatientSex, new.PatientAge, new.PatientWeight, new.PatientBirthDate) == ("F", "090Y", 71.5, "")
    assert (new.StationName, new.DeviceSerialNumber, new.StudyDate) == ("CT-ONE", "SN-4711", STUDY)
    assert new.LongitudinalTemporalInformationModified == "UNMODIFIED"
    codes = [i.CodeValue for i in new.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113106", "113108", "113109"]
    require_none(outside_pixels(tmp_path / "out.dcm"), tuple(s for s in SECRETS if s != STUDY))


@pytest.mark.parametrize(
    ("birth", "stated", "expected"),
    [("19560317", "", "068Y"), ("19560512", "", "067Y"), ("19100101", "", "090Y"), ("19560317", "061Y", "061Y")],
)
def test_an_age_is_stated_before_the_birth_date_goes(birth: str, stated: str, expected: str, tmp_path: Path) -> None:
    ds = plain()
    ds.PatientBirthDate, ds.PatientAge = birth, stated
    source = save(ds, tmp_path / "in.dcm")
    for keep in (True, False):
        deidentify_file(job(source, tmp_path / "out.dcm", Options(patient_characteristics=keep)))
        assert pydicom.dcmread(tmp_path / "out.dcm").get("PatientAge", "") == (expected if keep else "")


def test_dates_removed_are_dummies_only_where_the_profile_wants_a_value(tmp_path: Path) -> None:
    ds = plain()
    ds.SeriesDate, ds.AcquisitionDate, ds.CurveDate = STUDY, STUDY, STUDY
    deidentify_file(job(save(ds, tmp_path / "in.dcm"), tmp_path / "out.dcm", Options(dates="removed")))
    new = pydicom.dcmread(tmp_path / "out.dcm")
    assert (new.StudyDate, new.SeriesDate, new.AcquisitionDate, "CurveDate" in new) == ("", "19000101", "", False)
    assert new.LongitudinalTemporalInformationModified == "REMOVED"
    assert [i.CodeValue for i in new.DeidentificationMethodCodeSequence] == ["113100"]


def test_descriptions_keep_allowed_words_only(tmp_path: Path) -> None:
    ds = plain()
    ds.SeriesDescription = f"T1w SAG post {FAMILY} Dr Miller 3mm"
    ds.StudyDescription = "Schmidt-Meyer"
    deidentify_file(job(save(ds, tmp_path / "in.dcm"), tmp_path / "out.dcm", Options(clean_descriptors=True)))
    new = pydicom.dcmread(tmp_path / "out.dcm")
    assert new.SeriesDescription == "T1w SAG post 3mm"
    assert not new.get("StudyDescription")


@pytest.mark.parametrize("bad", ["2024051", "20240230", "Amalia", "2024.05.11"])
def test_a_malformed_date_is_not_kept(bad: str, tmp_path: Path) -> None:
    ds = plain()
    ds.add(DataElement(0x00080022, "DA", "", already_converted=True))
    path = save(ds, tmp_path / "in.dcm")
    text = bad.encode().ljust(10, b" ")
    path.write_bytes(path.read_bytes().replace(b"\x08\0\x22\0DA\0\0", b"\x08\0\x22\0DA\x0a\0" + text))
    deidentify_file(job(path, tmp_path / "out.dcm"))
    new = pydicom.dcmread(tmp_path / "out.dcm")
    assert new.AcquisitionDate == ""
    assert bad.encode() not in outside_pixels(tmp_path / "out.dcm")


def test_text_after_the_picture_inside_the_pixel_element_is_cut(tmp_path: Path) -> None:
    ds = plain()
    ds.PixelData += SENTENCE.encode() + b"\0" * (len(SENTENCE) % 2)
    deidentify_file(job(save(ds, tmp_path / "in.dcm"), tmp_path / "out.dcm"))
    require_none((tmp_path / "out.dcm").read_bytes())
    assert len(pydicom.dcmread(tmp_path / "out.dcm").PixelData) == 48


def test_numbers_that_are_words_go(tmp_path: Path) -> None:
    path = save(plain(), tmp_path / "in.dcm")
    head = path.read_bytes()
    at = head.index(b"\x28\0\x02\0US")
    thickness = b"\x18\0\x50\0DS" + struct.pack("<H", 10) + b"Feather-77"
    path.write_bytes(head[:at] + thickness + head[at:])
    deidentify_file(job(path, tmp_path / "out.dcm"))
    assert b"Feather" not in (tmp_path / "out.dcm").read_bytes()
    assert pydicom.dcmread(tmp_path / "out.dcm").Rows == 4


def test_a_colour_profile_stays_where_it_is_one(tmp_path: Path) -> None:
    """ICC.1: bytes 0 to 3 are the size, 36 to 39 say ``acsp``. A profile that names the patient is found."""
    for description, kept in ((b"calibrated", True), (FAMILY.encode(), False)):
        ds = plain()
        profile = (128 + len(description)).to_bytes(4, "big") + bytes(32) + b"acsp" + bytes(88) + description
        ds.add_new(0x00282000, "OB", profile + b"\0" * (len(profile) % 2))
        source = save(ds, tmp_path / "in.dcm")
        if kept:
            deidentify_file(job(source, tmp_path / "out.dcm"))
            assert pydicom.dcmread(tmp_path / "out.dcm").ICCProfile == ds.ICCProfile
        else:
            with pytest.raises(NeedsReviewError, match="identifier-left"):
                deidentify_file(job(source, tmp_path / "out.dcm"))


def test_what_must_have_a_value_keeps_a_dummy(tmp_path: Path) -> None:
    """A label without an allowed word, and a sequence that must hold an item (found by a validator of objects)."""
    ds = plain()
    ds.StructureSetLabel, ds.StructureSetName = "Miller", "Miller"
    ds.ReferencedPerformedProcedureStepSequence = [
        item(ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.3", ReferencedSOPInstanceUID=UID + ".6", StudyID=ID)
    ]
    ds.AssigningFacilitySequence = [item(UniversalEntityID=PLACE, UniversalEntityIDType="DNS")]
    deidentify_file(job(save(ds, tmp_path / "in.dcm"), tmp_path / "out.dcm", Options(clean_descriptors=True)))
    new = pydicom.dcmread(tmp_path / "out.dcm")
    assert (new.StructureSetLabel, "StructureSetName" in new) == ("REMOVED", False)
    (step,) = new.ReferencedPerformedProcedureStepSequence
    assert step.ReferencedSOPClassUID == "1.2.840.10008.3.1.2.3.3"
    assert step.ReferencedSOPInstanceUID == Pseudonyms(KEY).uid(UID + ".6")
    assert step.StudyID == "REMOVED"
    assert new.AssigningFacilitySequence[0].UniversalEntityID == "REMOVED"


def encapsulated(extra: bytes = b"") -> Dataset:
    """A compressed slice; ``extra`` stands in its code stream."""
    ds = plain(64, 64)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.compress(JPEG2000Lossless, generate_instance_uid=False)
    if extra:
        frame = next(pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=1))
        ds.PixelData = pydicom.encaps.encapsulate([frame + extra])
    return ds


def test_compressed_pixels_stay_byte_for_byte(tmp_path: Path) -> None:
    ds = encapsulated()
    deidentify_file(job(save(ds, tmp_path / "in.dcm", JPEG2000Lossless), tmp_path / "out.dcm"))
    new = pydicom.dcmread(tmp_path / "out.dcm")
    assert new.PixelData == ds.PixelData
    np.testing.assert_array_equal(new.pixel_array, np.arange(4096).reshape(64, 64))
    require_none((tmp_path / "out.dcm").read_bytes())


def test_a_name_in_the_comment_of_a_compressed_picture_is_set_aside(tmp_path: Path) -> None:
    ds = encapsulated(extra=FAMILY.encode() + b"!")
    with pytest.raises(NeedsReviewError, match="identifier-in-pixels"):
        deidentify_file(job(save(ds, tmp_path / "in.dcm", JPEG2000Lossless), tmp_path / "out.dcm"))
    assert not (tmp_path / "out.dcm").exists()


def test_an_overlay_in_the_bits_of_the_pixels_is_set_aside(tmp_path: Path) -> None:
    ds = plain()
    ds.BitsStored, ds.HighBit = 12, 11
    ds.add_new(0x60000100, "US", 16)
    ds.add_new(0x60000102, "US", 12)
    with pytest.raises(NeedsReviewError, match="overlay-in-pixels"):
        deidentify_file(job(save(ds, tmp_path / "in.dcm"), tmp_path / "out.dcm"))


def test_what_survives_the_rules_is_found_before_it_is_written(tmp_path: Path) -> None:
    """A lookup table, which is kept as it is, whose numbers spell the name."""
    ds = plain()
    ds.add_new(0x00281201, "OW", FAMILY.encode() + b"\0")
    with pytest.raises(NeedsReviewError, match="identifier-left") as refusal:
        deidentify_file(job(save(ds, tmp_path / "in.dcm"), tmp_path / "out.dcm"))
    assert refusal.value.review.found == "after cleaning the header still holds: name"
    assert list(tmp_path.iterdir()) == [tmp_path / "in.dcm"]


def test_fewer_bytes_than_the_picture_needs(tmp_path: Path) -> None:
    ds = plain()
    ds.PixelData = ds.PixelData[:-2]
    with pytest.raises(UnreadableFile, match="truncated: 46 of 48 bytes of pixel data"):
        deidentify_file(job(save(ds, tmp_path / "in.dcm"), tmp_path / "out.dcm"))


@pytest.mark.parametrize(
    ("charset", "name", "word"),
    [
        (["ISO_IR 100"], "Äneas^Buc^Jérôme", "jérôme"),
        (["ISO_IR 144"], "Люкceмбypг", "Люкceмбypг"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう", "山田"),
        (["GB18030"], "Wang^XiaoDong=王^小东=", "小东"),
        (["ISO_IR 192"], "Wang^XiaoDong=王^小東=", "小東"),
    ],
)
def test_names_in_other_scripts(charset: list[str], name: str, word: str, tmp_path: Path) -> None:
    ds = plain()
    ds.SpecificCharacterSet = charset
    ds.PatientName = name
    ds.SegmentLabel = f"x {word} x"
    deidentify_file(job(save(ds, tmp_path / "in.dcm"), tmp_path / "out.dcm"))
    new = pydicom.dcmread(tmp_path / "out.dcm")
    assert new.SegmentLabel == "x REMOVED x"
    content = outside_pixels(tmp_path / "out.dcm")
    encodings = ("utf-8", "latin-1", "utf-16-le", "iso8859_5", "iso2022_jp_2", "gb18030")
    for part in (word, word.title()):
        for encoding in encodings:
            raw = part.encode(encoding, "ignore")
            assert len(raw) < 3 or raw not in content


STATED = {"PatientName": FAMILY, "PatientID": ID, "AccessionNumber": ORDER, "PatientBirthDate": BIRTH}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("syntax", SYNTAXES[:3], ids=lambda uid: uid.keyword)
def test_damaged_files_are_cleaned_or_refused(syntax: str, seed: int, tmp_path: Path) -> None:
    """Bytes changed, lost and added anywhere: no error of ours, and what a file still states does not survive."""
    rng = random.Random(seed)
    whole = save(loaded(), tmp_path / "whole.dcm", syntax).read_bytes()
    n_written = 0
    for _ in range(30):
        content = bytearray(whole)
        for _ in range(rng.choice((1, 2, 4, 16))):
            place, kind = rng.randrange(132, len(content)), rng.random()
            length = 1 if kind < 0.6 else rng.randrange(1, 9)
            content[place : place + (length if kind < 0.8 else 0)] = rng.randbytes(0 if 0.6 <= kind < 0.8 else length)
        (tmp_path / "in.dcm").write_bytes(content)
        try:
            deidentify_file(job(tmp_path / "in.dcm", tmp_path / "out.dcm"))
        except (UnreadableFile, NeedsReviewError):
            continue
        n_written += 1
        out = (tmp_path / "out.dcm").read_bytes()
        with quiet_pydicom():
            before = pydicom.dcmread(tmp_path / "in.dcm")
            stated = [secret for keyword, secret in STATED.items() if secret in str(before.get(keyword, ""))]
        require_none(out, tuple(stated))
    assert n_written > 10


def test_equal_files_give_equal_bytes(tmp_path: Path) -> None:
    source = save(loaded(), tmp_path / "in.dcm")
    made = [deidentify_file(job(source, tmp_path / name)) for name in ("a.dcm", "b.dcm")]
    assert isinstance(made[0], Cleaned)
    assert (tmp_path / "a.dcm").read_bytes() == (tmp_path / "b.dcm").read_bytes()


def test_the_real_writer_series(make_ct: Callable[..., list[Path]], tmp_path: Path) -> None:
    """Files of the archive's own writer, through the whole folder's way."""
    make_ct(tmp_path / "in")
    made = deidentify_dicom(tmp_path / "in", tmp_path / "out", key=KEY, workers=1)
    files = sorted(made.send.rglob("*.dcm"))
    assert len(files) == 5
    for path in files:
        require_none(outside_pixels(path), (FAMILY, GIVEN, ID, "ACC99812", "Elsewhere", BIRTH, STUDY))
