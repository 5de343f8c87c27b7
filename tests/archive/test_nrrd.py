"""NRRD: axes and places by hand, against SimpleITK and real files, segmentations in layers, and hostile headers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fiducial.archive import Segment, read_image, read_mask, read_segments
from fiducial.archive.refusal import REFUSALS
from fiducial.errors import UnreadableFile

VOXELS = np.arange(4 * 3 * 2, dtype=np.int16).reshape(4, 3, 2)


# By hand.


@pytest.mark.parametrize("encoding", ["raw", "gzip", "ascii"])
def test_axes_and_places(nrrd_files: Any, tmp_path: Path, encoding: str) -> None:
    image = read_image(nrrd_files.nrrd(tmp_path / "a.nrrd", VOXELS, encoding=encoding), modality="MR")
    assert image.array.dtype == np.int16
    assert np.array_equal(image.array[0], VOXELS)
    assert image.geometry.affine.tolist() == [[-1, 0, 0, -10], [0, -2, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1]]
    assert (image.modality, image.unit) == ("MR", "")


@pytest.mark.parametrize(
    ("space", "signs"),
    [("RAS", (1, 1, 1)), ("left-anterior-superior", (-1, 1, 1)), ("left-posterior-superior", (-1, -1, 1))],
)
def test_each_space_of_a_patient(nrrd_files: Any, tmp_path: Path, space: str, signs: tuple[int, int, int]) -> None:
    image = read_image(nrrd_files.nrrd(tmp_path / "a.nrrd", VOXELS, space=space))
    assert image.geometry.affine[:3, 3].tolist() == [10 * signs[0], 20 * signs[1], 30]
    assert np.diag(image.geometry.affine)[:3].tolist() == [signs[0], 2 * signs[1], 3]


def test_a_file_without_a_space_has_its_spacing(nrrd_files: Any, tmp_path: Path) -> None:
    plain = {"space": None, "space_directions": None, "space_origin": None}
    image = read_image(nrrd_files.nrrd(tmp_path / "a.nrrd", VOXELS, **plain, spacings="0.5 0.7 2"))
    assert image.geometry.spacing_mm == (0.5, 0.7, 2.0)
    flat = read_image(nrrd_files.nrrd(tmp_path / "b.nrrd", VOXELS[:, :, 0], **plain, spacings="0.5 0.7"))
    assert flat.geometry.shape == (4, 3, 1)
    assert flat.geometry.spacing_mm == (0.5, 0.7, 1.0)


def test_one_slice_in_space(nrrd_files: Any, tmp_path: Path) -> None:
    one = nrrd_files.nrrd(tmp_path / "a.nrrd", VOXELS[:, :, 0], space_directions="(0,0.5,0) (0,0,0.5)")
    image = read_image(one)
    assert image.array.shape == (1, 4, 3, 1)
    assert np.allclose(image.geometry.affine[:3, 2], [-1, 0, 0])


@pytest.mark.parametrize(
    ("axis", "kinds"),
    [(0, "list domain domain domain"), (3, "domain domain domain time"), (1, "domain vector domain domain")],
)
def test_the_axis_that_is_none_of_space_is_the_channels(nrrd_files: Any, tmp_path: Path, axis: int, kinds: str) -> None:
    stack = np.stack([VOXELS, VOXELS + 100, VOXELS + 200])
    directions = nrrd_files.LPS["space directions"].split()
    directions.insert(axis, "none")
    path = nrrd_files.nrrd(
        tmp_path / "a.nrrd", np.moveaxis(stack, 0, axis), kinds=kinds, space_directions=" ".join(directions)
    )
    image = read_image(path)
    assert np.array_equal(image.array, stack)
    assert image.geometry.spacing_mm == (1.0, 2.0, 3.0)


# Reference implementation and real files.


def test_simpleitk_writes_what_is_read(tmp_path: Path) -> None:
    import SimpleITK as sitk  # noqa: N813 - its own documentation's name

    turned = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    for dtype in ("uint8", "int16", "uint16", "int32", "float32", "float64"):
        written = sitk.GetImageFromArray(VOXELS.transpose(2, 1, 0).astype(dtype))
        written.SetSpacing((0.9, 1.1, 2.5))
        written.SetOrigin((-12.5, 20.25, 7.0))
        written.SetDirection(turned.ravel().tolist())
        written.SetMetaData("a key", "a value: of two parts")
        for suffix, compressed in (("nrrd", True), ("nrrd", False), ("nii.gz", True)):
            sitk.WriteImage(written, str(tmp_path / f"a.{suffix}"), compressed)
        one, other = read_image(tmp_path / "a.nrrd"), read_image(tmp_path / "a.nii.gz")
        assert one.array.dtype == dtype
        assert np.array_equal(one.array, other.array)
        one.geometry.require_match(other.geometry)


@pytest.mark.real_data
def test_a_real_image_and_its_label_map(data: Path) -> None:
    image = read_image(data / "pyradiomics/brain1_image.nrrd")
    mask = read_mask(data / "pyradiomics/brain1_label.nrrd", label=1)
    image.geometry.require_match(mask.geometry)
    assert image.geometry.shape == (256, 256, 25)
    assert mask.array.sum() == 4137


# Segmentations.


def layers() -> list[np.ndarray]:
    first, second = np.zeros((2, 6, 5, 4), np.uint8)
    first[1:4, 1:4, 1:3] = 1
    first[5, 4, 3] = 2
    second[2:5, 2:4, 1:3] = 1
    return [first, second]


def test_layers_that_overlap(nrrd_files: Any, tmp_path: Path) -> None:
    named = {"Tumour core": (0, 1), "edema": (0, 2), "whole": (1, 1)}
    path = nrrd_files.segments(tmp_path / "a.seg.nrrd", layers(), named)
    assert read_segments(path) == (Segment("Tumour core", 0, 1), Segment("edema", 0, 2), Segment("whole", 1, 1))
    for number, layer in enumerate(layers()):
        assert np.array_equal(read_mask(f"{path}#{number}").array[0], layer)
    assert read_mask(f"{path}#1", label=1).array.sum() == 12
    with pytest.raises(UnreadableFile, match=r"2 channels; of layers that may overlap name one, as in a\.seg\.nrrd#0"):
        read_mask(path)
    with pytest.raises(UnreadableFile, match="no-such-entry: layer 2 of 2"):
        read_mask(f"{path}#2")


def test_one_layer_needs_no_number(nrrd_files: Any, tmp_path: Path) -> None:
    path = nrrd_files.segments(tmp_path / "a.seg.nrrd", layers()[:1], {"a": (0, 1), "b": (0, 2)})
    assert np.array_equal(read_mask(path).array[0], layers()[0])
    assert read_mask(f"{path}#0", label=2).array.sum() == 1


def test_names_are_single_and_of_one_line(nrrd_files: Any, tmp_path: Path) -> None:
    pairs = {"Segment0_Name": "x " * 80, "Segment1_Name": "a\tb", "Segment1_LabelValue": "2", "Segment2_Name": "a b"}
    pairs |= {"Segment2_LabelValue": "3", "Segment3_LabelValue": "4", "Segment0_LabelValue": "1"}
    found = read_segments(nrrd_files.nrrd(tmp_path / "a.seg.nrrd", layers()[0], pairs=pairs))
    assert [s.name for s in found] == [("x " * 32).strip() + " ", "a b", "a b 2", "segment_3"] or len(
        found[0].name
    ) <= 64
    assert [s.name for s in found][1:] == ["a b", "a b 2", "segment_3"]


def test_segments_without_values_are_layers(nrrd_files: Any, tmp_path: Path) -> None:
    pairs = {"Segment0_Name": "a", "Segment1_Name": "b"}
    fields = {"space_directions": f"none {nrrd_files.LPS['space directions']}", "kinds": "list domain domain domain"}
    path = nrrd_files.nrrd(tmp_path / "a.seg.nrrd", np.stack(layers()), pairs=pairs, **fields)
    assert read_segments(path) == (Segment("a", 0, 1), Segment("b", 1, 1))


def test_a_plain_file_has_no_segments(nrrd_files: Any, tmp_path: Path) -> None:
    assert read_segments(nrrd_files.nrrd(tmp_path / "a.seg.nrrd", layers()[0])) == ()


# Refusals, of which a header decides: nothing of the voxels is read.

CHANGED: dict[str, tuple[dict[str, Any], str]] = {
    "data file": ({"data_file": "/etc/passwd"}, "nrrd-detached: a header whose voxels are in other files"),
    "datafile list": ({"datafile": "LIST"}, "nrrd-detached"),
    "bzip2": ({"encoding": "bzip2"}, "nrrd-encoding: encoding 'bzip2'"),
    "hex": ({"encoding": "hex"}, "nrrd-encoding"),
    "no encoding": ({"encoding": None}, "nrrd-encoding: encoding ''"),
    "skipped": ({"byte_skip": "-1"}, "nrrd-encoding"),
    "block": ({"type": "block"}, "voxel-type: voxels of type 'block'"),
    "no type": ({"type": None}, "voxel-type"),
    "no sizes": ({"sizes": None}, "format: no sizes"),
    "sizes of words": ({"sizes": "4 x 2"}, "format"),
    "negative sizes": ({"sizes": "4 -3 2"}, "format"),
    "another dimension": ({"dimension": "4"}, "format"),
    "more than is there": ({"sizes": "40000 40000 40000"}, "truncated: 128,000,000,000,000 bytes declared"),
    "bomb": ({"sizes": "40000 40000 40000", "encoding": "gzip"}, "truncated: 128,000,000,000,000 bytes declared"),
    "no voxel": ({"sizes": "4 0 2"}, "voxel-type: 3 axes"),
    "two that are none": ({"kinds": "list list domain"}, "voxel-type: 3 axes, 1 of them of space"),
    "scanner": ({"space": "scanner-xyz"}, "nrrd-space: space 'scanner-xyz'"),
    "no space": ({"space": None}, "nrrd-space: directions in a space without a name"),
    "too few directions": ({"space_directions": "(1,0,0) (0,1,0)"}, "nrrd-space: 2 directions of 3 axes"),
    "flat": ({"space_directions": "(1,0,0) (1,0,0) (0,0,1)"}, "nrrd-space: directions that span no space"),
    "not a number": ({"space_origin": "(nan,0,0)"}, "nrrd-space: 3 numbers where 3 finite ones"),
    "words": ({"space_directions": "(1,0,0) (0,a,0) (0,0,1)"}, "nrrd-space: directions or distances that are no"),
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_header_that_is_wrong(nrrd_files: Any, tmp_path: Path, name: str) -> None:
    changed, says = CHANGED[name]
    path = nrrd_files.nrrd(tmp_path / "a.nrrd", VOXELS, **changed)
    with pytest.raises(UnreadableFile) as refused:
        read_image(path)
    assert refused.value.given.startswith(says)
    assert refused.value.action == REFUSALS[refused.value.given.partition(":")[0]]
    assert str(path) in str(refused.value)


def test_a_detached_header(nrrd_files: Any, tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="nrrd-detached"):
        read_image(nrrd_files.nrrd(tmp_path / "a.nhdr", VOXELS))


def test_a_header_without_an_end(nrrd_files: Any, tmp_path: Path) -> None:
    (tmp_path / "a.nrrd").write_bytes(b"NRRD0004\ntype: short\n")
    with pytest.raises(UnreadableFile, match="truncated: the header does not end"):
        read_image(tmp_path / "a.nrrd")
    (tmp_path / "b.nrrd").write_bytes(b"NRRD0004\n" + b"# again and again\n" * 100_000)
    with pytest.raises(UnreadableFile, match="truncated: the header does not end"):
        read_image(tmp_path / "b.nrrd")


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
@pytest.mark.parametrize("lost", [1, 20, 40])
def test_voxels_that_end_early(nrrd_files: Any, tmp_path: Path, encoding: str, lost: int) -> None:
    path = nrrd_files.nrrd(tmp_path / "a.nrrd", VOXELS, encoding=encoding)
    path.write_bytes(path.read_bytes()[:-lost])
    with pytest.raises(UnreadableFile, match="truncated"):
        read_image(path)


def test_gzip_that_unpacks_to_more_is_cut_and_a_wrong_sum_is_refused(nrrd_files: Any, tmp_path: Path) -> None:
    bomb = nrrd_files.nrrd(
        tmp_path / "a.nrrd", np.zeros(2**24, np.uint8), encoding="gzip", dimension="3", sizes="4 3 2"
    )
    assert read_image(bomb).array.size == 24
    path = nrrd_files.nrrd(tmp_path / "b.nrrd", VOXELS, encoding="gzip")
    content = bytearray(path.read_bytes())
    content[-6] ^= 1
    path.write_bytes(content)
    with pytest.raises(UnreadableFile, match="truncated: the voxels end early or are damaged"):
        read_image(path)


def test_big_endian(nrrd_files: Any, tmp_path: Path) -> None:
    path = nrrd_files.nrrd(tmp_path / "a.nrrd", VOXELS.byteswap(), endian="big")
    assert np.array_equal(read_image(path).array[0], VOXELS)


def test_a_segment_in_no_layer(nrrd_files: Any, tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="no-such-entry: segment 0 in layer 3 of 1"):
        read_segments(nrrd_files.segments(tmp_path / "a.seg.nrrd", layers()[:1], {"a": (3, 1)}))
    for value in ("0", "one"):
        pairs = {"Segment0_Name": "a", "Segment0_LabelValue": value}
        with pytest.raises(UnreadableFile, match="format: segment 0 has no whole number as layer or value"):
            read_segments(nrrd_files.nrrd(tmp_path / "b.seg.nrrd", layers()[0], pairs=pairs))


def test_every_code_of_nrrd_is_provoked_here() -> None:
    text = Path(__file__).read_text()
    assert all(f'"{code}' in text for code in REFUSALS if code.startswith("nrrd-"))
