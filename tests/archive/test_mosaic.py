"""Siemens' mosaics: the tiles of one picture are slices, in the places that nibabel's reader gives them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.archive.slices import plane, write_slice

from fiducial.archive.dicom import find_series, read_series
from fiducial.archive.dicom.mosaic import csa_numbers

TILES, SIZE, APART = 7, (6, 4), 3.5


def csa(**entries: list[Any]) -> bytes:
    """A CSA header of the second kind: whole numbers as US, others as FD, texts as SH."""
    raw = b"SV10\4\3\2\1" + struct.pack("<II", len(entries), 77)
    for name, values in entries.items():
        vr = {int: b"US\0\0", float: b"FD\0\0", str: b"SH\0\0"}[type(values[0])]
        raw += name.encode().ljust(64, b"\0") + struct.pack("<i4siii", len(values), vr, 4, 6, 77)
        for value in [*(str(v) + "\0" for v in values), *[""] * 6][:6]:
            text = value.encode()
            raw += struct.pack("<4i", len(text), len(text), 77, len(text)) + text.ljust((len(text) + 3) // 4 * 4, b"\0")
    return raw


def mosaic(volume: NDArray[Any]) -> NDArray[Any]:
    """Slices [z, row, column] as tiles of a square."""
    side = int(np.ceil(np.sqrt(len(volume))))
    picture = np.zeros((side * SIZE[0], side * SIZE[1]), volume.dtype)
    for k, one in enumerate(volume):
        row, column = divmod(k, side)
        picture[row * SIZE[0] : (row + 1) * SIZE[0], column * SIZE[1] : (column + 1) * SIZE[1]] = one
    return picture


def write(
    path: Path, volume: NDArray[Any], normal: NDArray[np.float64], turn: NDArray[np.float64], **tags: Any
) -> Path:
    picture = mosaic(volume)
    geometry = plane((-12.5, 20.25, 7.0), row=turn[0], column=turn[1], shape=picture.shape)
    said = csa(
        AcquisitionMatrixText=["4*6"],
        NumberOfImagesInMosaic=[len(volume)],
        SliceNormalVector=[float(v) for v in normal],
    )
    private = [
        (0x0019, "SIEMENS MR HEADER", 0x0A, "US", len(volume)),
        (0x0029, "SIEMENS CSA HEADER", 0x10, "OB", said),
    ]
    own = {"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"], "SpacingBetweenSlices": APART, "private": private}
    return write_slice(path, geometry, picture, **{**own, **tags})


def body(seed: int = 0) -> NDArray[np.uint16]:
    return np.random.default_rng(seed).integers(0, 4000, (TILES, *SIZE)).astype(np.uint16)


def test_an_entry_is_found_by_hand() -> None:
    raw = csa(First=[1, 2], Second=[0.5], Words=["a"])
    assert csa_numbers(raw, "First") == (1, 2)
    assert csa_numbers(raw, "Second") == (0.5,)
    assert csa_numbers(raw, "Third") == csa_numbers(raw[:100], "Second") == csa_numbers(b"", "First") == ()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_tiles_lie_where_nibabel_puts_them(sign: int, seed: int | None, tmp_path: Path) -> None:
    """Along the vendor's normal, which may run against row x column; oblique ones too."""
    wrapper = pytest.importorskip("nibabel.nicom.dicomwrappers")
    turn = np.eye(3) if seed is None else np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    volume = body()
    path = write(tmp_path / "a.dcm", volume, sign * np.cross(turn[0], turn[1]), turn)
    image = read_series(find_series(path)[0])
    theirs = wrapper.wrapper_from_file(path)
    places = {}
    for (i, j, k), value in np.ndenumerate(theirs.get_data()):
        lps = theirs.affine @ [i, j, k, 1]
        places[tuple(np.round([-lps[0], -lps[1], lps[2]], 2) + 0.0)] = int(value)
    found = {}
    for (x, y, z), value in np.ndenumerate(image.array[0]):
        found[tuple(np.round((image.geometry.affine @ [x, y, z, 1])[:3], 2) + 0.0)] = int(value)
    assert image.geometry.shape == (SIZE[1], SIZE[0], TILES)
    assert found == places


def test_a_time_series_of_mosaics_is_a_volume_for_each(tmp_path: Path) -> None:
    for k in range(3):
        write(tmp_path / f"{k}.dcm", body(k), np.array([0, 0, 1.0]), np.eye(3), AcquisitionNumber=k + 1, number=k + 1)
    series = find_series(tmp_path)
    assert [one.part for one in series] == ["acq1", "acq2", "acq3"]
    for k, one in enumerate(series):
        np.testing.assert_array_equal(read_series(one).array[0], body(k).transpose(2, 1, 0))
        assert len(one.files) == 1
