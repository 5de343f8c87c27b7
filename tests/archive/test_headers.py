"""The lean walk over a header gives what pydicom gives, or leaves the file to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from fiducial.archive import ingest_dicom
from fiducial.archive.dicom.headers import FileHeader, parse_header, read_header, walk_header
from fiducial.archive.dicom.walk import TooShort, Unsure, items, walk
from fiducial.archive.dicom.wanted import wanted_tags
from fiducial.errors import UnreadableFile

ROWS, NAME, PIXELS = (wanted for wanted in (b"\x28\0\x10\0", b"\x10\0\x10\0", b"\xe0\x7f\x10\0"))
LIBRARY = Path(pydicom.__file__).parent / "data"
FILES = sorted(p for folder in ("test_files", "charset_files") for p in (LIBRARY / folder).rglob("*") if p.is_file())
ARBITRARY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_two_elements_and_the_place_of_the_pixels_by_hand() -> None:
    """(0010,0010) PN "A^B " of 4 bytes, (0028,0010) US 7, then 6 bytes of pixels."""
    data = NAME + b"PN\x04\0A^B " + ROWS + b"US\x02\0\x07\0" + PIXELS + b"OW\0\0\x06\0\0\0abcdef"
    found = walk(data, wanted_tags())
    assert found.elements == {"PatientName": ("PN", b"A^B "), "Rows": ("US", b"\x07\0")}
    assert (found.pixel_offset, found.pixel_bytes, found.pixel_end) == (34, 6, 40)
    assert data[34:40] == b"abcdef"
    implicit = NAME + b"\x04\0\0\0A^B " + ROWS + b"\x02\0\0\0\x07\0" + PIXELS + b"\x06\0\0\0abcdef"
    assert walk(implicit, wanted_tags(), implicit=True).elements == found.elements


def test_a_sequence_of_undefined_length_is_stepped_over_and_its_inside_is_not_the_files() -> None:
    """A sequence with one item of undefined length that holds Rows 9; then the file's own Rows 7."""
    inner = b"\xfe\xff\0\xe0\xff\xff\xff\xff" + ROWS + b"US\x02\0\x09\0" + b"\xfe\xff\x0d\xe0\0\0\0\0"
    sequence = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff" + inner + b"\xfe\xff\xdd\xe0\0\0\0\0"
    data = sequence + ROWS + b"US\x02\0\x07\0"
    assert walk(data, wanted_tags(), stop=len(data)).elements == {"Rows": ("US", b"\x07\0")}
    assert [inner[begin:end] for begin, end in items(inner, implicit=False)] == [ROWS + b"US\x02\0\x09\0"]


def test_an_unknown_vr_an_overrun_and_a_break_are_told_apart() -> None:
    with pytest.raises(Unsure):
        walk(NAME + b"ZZ\x04\0A^B ", wanted_tags())
    with pytest.raises(TooShort):
        walk(NAME + b"PN\x40\0A^B ", wanted_tags())
    with pytest.raises(Unsure):
        walk(NAME + b"PN\x40\0A^B ", wanted_tags(), stop=12)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_every_file_of_the_library_reads_alike(path: Path) -> None:
    assert_alike(path)


def test_most_of_them_need_no_library() -> None:
    dicom = [path for path in FILES if path.suffix == ".dcm"]
    assert sum(walked(path) is not None for path in dicom) > 0.75 * len(dicom)


def walked(path: Path) -> FileHeader | None:
    try:
        return walk_header(path)
    except UnreadableFile:
        return None


def assert_alike(path: Path) -> None:
    found = walked(path)
    if found is not None:
        assert found == parse_header(path)[0]


TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="\\"), max_size=12)
BEYOND = st.text(st.characters(min_codepoint=0xC0, max_codepoint=0xFF, exclude_characters="\xd7\xf7"), max_size=8)
NUMBER = st.floats(-1e6, 1e6).map(lambda v: f"{v:.6g}")
PLAIN = st.fixed_dictionaries(
    {},
    optional={
        # A name has three forms at most; the library warns of a fourth.
        "PatientName": TEXT.filter(lambda name: name.count("=") < 3) | BEYOND,
        "PatientID": TEXT,
        "InstitutionName": TEXT | BEYOND,
        "ImageType": st.lists(st.sampled_from(["ORIGINAL", "PRIMARY", "M", "ND"]), max_size=5),
        "ImagePositionPatient": st.lists(NUMBER, min_size=3, max_size=3),
        "PixelSpacing": st.lists(NUMBER, max_size=3),
        "EchoTime": NUMBER,
        "RescaleSlope": NUMBER,
        "InstanceNumber": st.integers(-5, 10**6).map(str),
        "Rows": st.integers(0, 65535),
        "PixelRepresentation": st.sampled_from([0, 1]),
        "DiffusionBValue": st.floats(0, 5000),
        "TriggerTime": NUMBER,
    },
)
DOSES = st.lists(
    st.fixed_dictionaries({}, optional={"RadionuclideTotalDose": NUMBER, "RadiopharmaceuticalStartTime": TEXT}),
    max_size=2,
)


def built(plain: dict, doses: list, vendor: tuple[str, int], undefined: bool) -> Dataset:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", "1.2.3"
    for keyword, value in plain.items():
        setattr(dataset, keyword, value)
    dataset.RadiopharmaceuticalInformationSequence = Sequence([])
    for dose in doses:
        item = Dataset()
        for keyword, value in dose.items():
            setattr(item, keyword, value)
        item.is_undefined_length_sequence_item = undefined
        dataset.RadiopharmaceuticalInformationSequence.append(item)
    dataset["RadiopharmaceuticalInformationSequence"].is_undefined_length = undefined
    creator, value = vendor
    block = dataset.private_block(0x0019, creator, create=True)
    block.add_new(0x0C, "IS", str(value))
    block.add_new(0x0E, "FD", [0.5, 0.25, value / 7])
    dataset.PixelData = b"\0\1" * 8
    dataset["PixelData"].VR = "OW"
    return dataset


@pytest.mark.filterwarnings("ignore:(Invalid value|The value length)")
@ARBITRARY
@given(
    plain=PLAIN,
    doses=DOSES,
    vendor=st.tuples(st.sampled_from(["SIEMENS MR HEADER", "SOMEBODY ELSE"]), st.integers(0, 3000)),
    undefined=st.booleans(),
    syntax=st.sampled_from([ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]),
)
def test_arbitrary_headers_read_alike(
    plain: dict, doses: list, vendor: tuple[str, int], undefined: bool, syntax: str, tmp_path: Path
) -> None:
    dataset = built(plain, doses, vendor, undefined)
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    path = tmp_path / "a.dcm"
    dataset.save_as(path, enforce_file_format=True)
    assert_alike(path)
    header = read_header(path)
    assert header.number("SiemensBValue") == (float(vendor[1]) if vendor[0].startswith("SIEMENS") else None)
    if syntax != ExplicitVRBigEndian and "=" not in plain.get("PatientName", ""):
        found = walked(path)
        assert found is not None
        assert path.read_bytes()[found.pixel_offset :][: found.pixel_bytes] == b"\0\1" * 8


@ARBITRARY
@given(changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_headers_never_read_otherwise(
    changes: list[tuple[int, int]], make_ct: Callable[..., list[Path]], tmp_path: Path
) -> None:
    source = tmp_path / "ct" / "slice-0001.dcm"
    if not source.exists():
        make_ct(tmp_path / "ct")
    content = bytearray(source.read_bytes())
    for place, value in changes:
        content[132 + place % (len(content) - 132 - 96)] = value
    damaged = tmp_path / "damaged.dcm"
    damaged.write_bytes(content)
    found = walked(damaged)
    if found is None:
        return
    try:
        expected = parse_header(damaged)[0]
    except UnreadableFile:
        return
    assert found == expected


def test_a_transfer_syntax_is_read_alike_whatever_pads_it(make_ct: Callable[..., list[Path]], tmp_path: Path) -> None:
    """A zero byte in front, where the standard has one at the end alone."""
    (path, *_) = make_ct(tmp_path / "ct")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"1.2.840.10008.1.2.1\0", b"\0.2.840.10008.1.2.1\0", 1))
    assert path.read_bytes() != content
    found = walked(path)
    assert found is None or found == parse_header(path)[0]


def test_a_bare_dataset_is_read_with_the_encoding_that_it_shows(tmp_path: Path) -> None:
    for name, syntax in (
        ("ExplVR_LitEndNoMeta", "1.2.840.10008.1.2.1"),
        ("ExplVR_BigEndNoMeta", "1.2.840.10008.1.2.2"),
    ):
        header = read_header(LIBRARY / "test_files" / f"{name}.dcm")
        assert header.transfer_syntax == syntax
        assert header.text("SOPClassUID")
    (tmp_path / "letter").write_bytes(b"\x08\0 Dear colleague, " * 20)
    with pytest.raises(UnreadableFile, match="not-dicom"):
        read_header(tmp_path / "letter")


def test_a_damaged_uid_is_refused_without_a_word_of_it(
    make_ct: Callable[..., list[Path]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The library's warning would quote the value: neither as a warning (an error here) nor in a log."""
    for keyword, code in (("1.2.840.10008.5.1.4.1.1.2\0", "unsupported-modality"), ("1.2.840.10008.1.2.1\0", "")):
        folder = tmp_path / keyword.strip("\0")
        for path in make_ct(folder):
            path.write_bytes(path.read_bytes().replace(keyword.encode(), keyword.encode()[:-3] + b"X" + b"\0\0"))
        made = ingest_dicom(folder, tmp_path / f"cohort {code}", key=b"k" * 32, workers=1)
        assert {row.status for row in made.report} == {"rejected"}
        assert not any("X" in row.reason for row in made.report)
    assert "X" not in caplog.text
