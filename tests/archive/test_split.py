"""A series of several volumes gives each as an image; what tells them apart is in its id, its row and its report."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.archive.slices import write_slice, write_stack

from fiducial.archive import ingest_dicom
from fiducial.archive.dicom import SeriesFiles, find_series, read_series, stack_series
from fiducial.errors import UnreadableFile

KEY = b"k" * 32
X, Y, Z = np.eye(3)


def by_part(folder: Path) -> dict[str, SeriesFiles]:
    return {one.part: one for one in find_series(folder)}


def values(one: SeriesFiles) -> list[int]:
    """The first voxel of each slice, upwards: it says which volume and which slice."""
    return [int(v) for v in read_series(one).array[0, 0, 0]]


def test_two_echoes_by_hand(tmp_path: Path) -> None:
    """Four places, each with a slice of 12 ms (voxels 0, 100, 200, 300) and one of 96 ms (5000, 5100 ...)."""
    write_stack(tmp_path, name="b", value=5000, EchoTime="96", number=lambda k: 2 * k + 2)
    write_stack(tmp_path, name="a", EchoTime="12", number=lambda k: 2 * k + 1)
    parts = by_part(tmp_path)
    assert {part: values(one) for part, one in parts.items()} == {
        "echo1": [0, 100, 200, 300],
        "echo2": [5000, 5100, 5200, 5300],
    }
    assert parts["echo1"].repairs == ("split: one of 2 images of its series, by EchoTime",)
    made = ingest_dicom(tmp_path, tmp_path / "cohort", key=KEY, workers=1)
    assert {(row["image"].rpartition("-")[2], row["echo_time_ms"]) for row in made.rows} == {
        ("echo1", 12),
        ("echo2", 96),
    }
    assert {(row.status, row.reason) for row in made.report} == {("repaired", parts["echo1"].repairs[0])}


def siemens(k: int) -> Any:
    return [(0x0019, "SIEMENS MR HEADER", 0x0C, "IS", str(k))]


def ge(k: int) -> Any:
    return [(0x0043, "GEMS_PARM_01", 0x39, "IS", [str(1_000_000_000 + k), "8", "0", "0"])]


def philips(k: int) -> Any:
    return [(0x2001, "Philips Imaging DD 001", 0x03, "FL", float(k))]


VENDORS: dict[str, Callable[[int], dict[str, Any]]] = {
    "standard": lambda b: {"DiffusionBValue": float(b)},
    "Siemens": lambda b: {"private": siemens(b)},
    "GE": lambda b: {"private": ge(b)},
    "Philips": lambda b: {"private": philips(b)},
    "unknown as UN": lambda b: {"private": [(0x0019, "SIEMENS MR HEADER", 0x0C, "UN", str(b).encode())]},
}


@pytest.mark.parametrize("vendor", VENDORS)
def test_b_values(vendor: str, tmp_path: Path) -> None:
    for value, b in enumerate((0, 50, 1000)):
        write_stack(tmp_path, name=f"b{b}-", value=1000 * value, **VENDORS[vendor](b))
    assert {part: values(one)[0] for part, one in by_part(tmp_path).items()} == {"b0": 0, "b50": 1000, "b1000": 2000}
    made = ingest_dicom(tmp_path, tmp_path / "cohort", key=KEY, workers=1)
    assert sorted(row["b_value"] for row in made.rows) == [0, 50, 1000]


def types(*words: str) -> dict[str, Any]:
    return {"ImageType": list(words)}


SPLITS: dict[str, tuple[dict[str, dict[str, Any]], set[str], str]] = {
    "magnitude and phase": (
        {"a": types("ORIGINAL", "PRIMARY", "M", "ND"), "b": types("ORIGINAL", "PRIMARY", "P", "ND")},
        {"m", "p"},
        "ImageType",
    ),
    "GE's complex parts": (
        {
            name: {"private": [(0x0043, "GEMS_PARM_01", 0x2F, "SS", code)]}
            for name, code in (("a", 0), ("b", 1), ("c", 2), ("d", 3))
        },
        {"plain", "p", "r", "i"},
        "ImageType",
    ),
    "Dixon": (
        {w: types("DERIVED", "PRIMARY", "DIXON", w) for w in ("WATER", "FAT", "IN_PHASE", "OUT_PHASE")},
        {"water", "fat", "in-phase", "out-phase"},
        "ImageType",
    ),
    "trace and ADC": (
        {"a": types("DERIVED", "PRIMARY", "DIFFUSION", "TRACEW"), "b": types("DERIVED", "PRIMARY", "DIFFUSION", "ADC")},
        {"tracew", "adc"},
        "ImageType",
    ),
    "inversion times": (
        {"a": {"InversionTime": "700"}, "b": {"InversionTime": "2500"}},
        {"ti1", "ti2"},
        "InversionTime",
    ),
    "flip angles": ({"a": {"FlipAngle": "4"}, "b": {"FlipAngle": "18"}}, {"flip4", "flip18"}, "FlipAngle"),
    "echo numbers": ({"a": {"EchoNumbers": 1}, "b": {"EchoNumbers": 2}}, {"echo1", "echo2"}, "EchoNumbers"),
    "stacks": ({"a": {"StackID": "1"}, "b": {"StackID": "2"}}, {"stack1", "stack2"}, "StackID"),
    "times": (
        {f"t{k}": {"TemporalPositionIdentifier": k} for k in (1, 2, 3)},
        {"t001", "t002", "t003"},
        "TemporalPositionIdentifier",
    ),
    "phases": (
        {f"p{k}": {"NominalPercentageOfCardiacPhase": float(k)} for k in (0, 50)},
        {"phase0", "phase50"},
        "NominalPercentageOfCardiacPhase",
    ),
    "acquisitions": (
        {"a": {"AcquisitionNumber": 1}, "b": {"AcquisitionNumber": 4}},
        {"acq1", "acq2"},
        "AcquisitionNumber",
    ),
    "gradient directions": (
        {f"d{k}": {"DiffusionBValue": 700.0, "DiffusionGradientOrientation": list(np.eye(3)[k])} for k in range(3)},
        {"dir01", "dir02", "dir03"},
        "diffusion direction",
    ),
    "frames of reference": (
        {"a": {"FrameOfReferenceUID": "2.25.5"}, "b": {"FrameOfReferenceUID": "2.25.6", "start": (1, 1, 1)}},
        {"frame1", "frame2"},
        "FrameOfReferenceUID",
    ),
    "sizes": ({"a": {}, "b": {"shape": (3, 6)}}, {"4x5", "6x3"}, "rows and columns"),
    "spacings": ({"a": {}, "b": {"spacing": (0.5, 0.5)}}, {"spacing1", "spacing2"}, "PixelSpacing"),
    "planes": (
        {
            "a": {},
            "b": {"row": X, "column": -Z, "step": (0, 3, 0)},
            "c": {"row": Y, "column": -Z, "step": (3, 0, 0), "n": 20},
        },
        {"axial", "coronal", "sagittal"},
        "ImageOrientationPatient",
    ),
    "stations side by side": (
        {"a": {}, "b": {"start": (40, 0, 0)}},
        {"station1", "station2"},
        "ImagePositionPatient within the plane",
    ),
}


@pytest.mark.parametrize("name", SPLITS)
def test_each_tag_tells_volumes_apart(name: str, tmp_path: Path) -> None:
    volumes, parts, by = SPLITS[name]
    expected = []
    for number, (volume, tags) in enumerate(volumes.items()):
        own = dict(tags)
        n = own.pop("n", 4)
        write_stack(
            tmp_path, n, name=volume, value=3000 * number, **{"number": lambda k, m=number: 1 + k + 100 * m, **own}
        )
        expected.append(sorted(3000 * number + 100 * k for k in range(n)))
    found = by_part(tmp_path)
    assert set(found) == parts
    heights = {part: sorted(int(v) for v in np.unique(read_series(one).array[0])) for part, one in found.items()}
    assert sorted(min(v) for v in heights.values()) == sorted(min(v) for v in expected)
    assert {one.repairs for one in found.values()} == {(f"split: one of {len(parts)} images of its series, by {by}",)}


def test_two_tags_together(tmp_path: Path) -> None:
    """Two echoes of magnitude and phase are four volumes."""
    for value, (kind, echo) in enumerate((k, e) for k in "MP" for e in (5, 10)):
        write_stack(
            tmp_path, name=f"{kind}{echo}", value=1000 * value, EchoTime=echo, **types("ORIGINAL", "PRIMARY", kind)
        )
    assert set(by_part(tmp_path)) == {"m-echo1", "m-echo2", "p-echo1", "p-echo2"}


def test_trigger_times_that_differ_from_slice_to_slice_are_ranked_at_each_place(tmp_path: Path) -> None:
    """Three phases of four slices: every one of the twelve trigger times is different."""
    for phase in range(3):
        write_stack(tmp_path, name=f"p{phase}", value=1000 * phase, TriggerTime=lambda k, p=phase: 20 + 40 * p + k)
    found = by_part(tmp_path)
    assert {part: values(one) for part, one in found.items()} == {
        f"t00{p + 1}": [1000 * p + 100 * k for k in range(4)] for p in range(3)
    }
    assert [found[f"t00{k}"].columns["temporal_position"] for k in (1, 2, 3)] == [1, 2, 3]


def test_values_that_differ_from_slice_to_slice_split_nothing(tmp_path: Path) -> None:
    """Acquisition numbers, trigger and acquisition times rise with the slices of one plain volume."""
    write_stack(
        tmp_path,
        AcquisitionNumber=lambda k: k + 1,
        TriggerTime=lambda k: 30.0 * k,
        EchoTime=lambda k: f"{4 + k / 1000:.3f}",
        AcquisitionTime=lambda k: f"1015{k:02d}",
    )
    (one,) = find_series(tmp_path)
    assert (one.part, one.repairs, values(one)) == ("", (), [0, 100, 200, 300])


def test_two_acquisitions_with_a_gap_between_are_two_volumes(tmp_path: Path) -> None:
    write_stack(tmp_path, name="chest", AcquisitionNumber=1)
    write_stack(tmp_path, name="pelvis", value=2000, AcquisitionNumber=2, start=(0, 0, -400), number=lambda k: 50 + k)
    assert {part: values(one)[0] for part, one in by_part(tmp_path).items()} == {"acq1": 0, "acq2": 2000}


def test_a_gap_that_no_tag_explains_is_refused_with_its_place(tmp_path: Path) -> None:
    write_stack(tmp_path)[2].unlink()
    (one,) = find_series(tmp_path)
    with pytest.raises(UnreadableFile, match=r"missing-slices: .* between slice 2 .* and slice 3 \(InstanceNumber 4\)"):
        stack_series(one)


def test_one_repeated_slice_is_refused_although_most_places_have_one(tmp_path: Path) -> None:
    write_stack(tmp_path)
    write_slice_again(tmp_path, AcquisitionTime="101500")
    (one,) = find_series(tmp_path)
    with pytest.raises(UnreadableFile, match=r"duplicate-slices: 1 slice\(s\) at a taken position, first at slice 2"):
        stack_series(one)


def write_slice_again(folder: Path, **tags: Any) -> None:
    write_stack(folder, 1, name="again", value=4000, start=(0, 0, 3), number=9, **tags)


def test_localizers_are_set_aside_although_not_called_so(tmp_path: Path) -> None:
    for name, (row, column, step) in {"a": (X, Y, Z), "b": (X, -Z, Y), "c": (Y, -Z, X)}.items():
        write_stack(tmp_path, 3, name=name, row=row, column=column, step=10 * step)
    (one,) = find_series(tmp_path)
    assert one.refusal is not None
    assert one.refusal.given == "localizer: 9 slices in three orthogonal planes"


def test_a_localizer_inside_a_series_does_not_cost_the_series(tmp_path: Path) -> None:
    write_stack(tmp_path)
    write_stack(tmp_path, 1, name="scout", row=X, column=-Z, number=99, **types("ORIGINAL", "PRIMARY", "LOCALIZER"))
    found = by_part(tmp_path)
    assert found["localizer"].refusal is not None
    assert values(found[""]) == [0, 100, 200, 300]


def test_shuffled_names_and_numbers_change_nothing(tmp_path: Path) -> None:
    files = [p for echo in (1, 2) for p in write_stack(tmp_path, name=f"e{echo}", value=1000 * echo, EchoNumbers=echo)]
    random.Random(0).shuffle(files)
    for number, path in enumerate(files):
        path.rename(tmp_path / f"IM{number:03d}")
    assert {part: values(one)[0] for part, one in by_part(tmp_path).items()} == {"echo1": 1000, "echo2": 2000}


def test_copies_are_left_out_before_volumes_are_told_apart(tmp_path: Path) -> None:
    """Every file twice, one echo each: two volumes, not four."""
    for echo in (1, 2):
        for path in write_stack(tmp_path, name=f"e{echo}", value=1000 * echo, EchoNumbers=echo):
            (tmp_path / "again").mkdir(exist_ok=True)
            (tmp_path / "again" / path.name).write_bytes(path.read_bytes())
    found = by_part(tmp_path)
    assert {(part, len(one.headers), len(one.files)) for part, one in found.items()} == {
        ("echo1", 4, 8),
        ("echo2", 4, 8),
    }
    assert found["echo1"].repairs[1] == "exact-copies: 4 file(s) that repeat another left out"


def test_a_copy_that_another_node_relabelled_is_a_copy(tmp_path: Path) -> None:
    """The same slice with another institution's address in it: nothing that is read differs."""
    write_stack(tmp_path)
    path = tmp_path / "001.dcm"
    import pydicom

    dataset = pydicom.dcmread(path)
    dataset.InstitutionAddress = "Elsewhere 1"
    dataset.save_as(tmp_path / "sent.dcm")
    (one,) = find_series(tmp_path)
    assert (one.refusal, len(one.headers), len(one.files)) == (None, 4, 5)


def test_one_slice_is_as_thick_as_it_says(tmp_path: Path) -> None:
    write_stack(tmp_path / "a", 1)
    image = read_series(find_series(tmp_path / "a")[0])
    assert image.geometry.spacing_mm == (0.75, 1.5, 2.0)
    write_stack(tmp_path / "b", 1, SliceThickness=None)
    with pytest.raises(UnreadableFile, match="single-slice: one slice, and it states no thickness"):
        read_series(find_series(tmp_path / "b")[0])


def test_slice_written_alone_has_a_place(tmp_path: Path) -> None:
    """A patient without a PatientID is nobody, and read all the same."""
    from tests.archive.slices import plane

    write_slice(tmp_path / "a.dcm", plane((1, 2, 3)), np.zeros((5, 4), np.int16), modality="CT", PatientID="")
    made = ingest_dicom(tmp_path / "a.dcm", tmp_path / "cohort", key=KEY, workers=1)
    assert [(row["subject"], row["modality"]) for row in made.rows] == [("", "CT")]
    assert [row.source for row in made.report] == ["a.dcm"]
