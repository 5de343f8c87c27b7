"""The size that a compressed frame states: by hand, against encoders, and on anything at all."""

from __future__ import annotations

import io
import struct

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.encaps import generate_frames
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless

from fiducial.archive.dicom import DicomHeader, write_series
from fiducial.archive.dicom.codestream import stated_size
from fiducial.records.image import Geometry, Image

SIZ = b"\xff\x4f\xff\x51" + struct.pack(">HHIIIIIIIIH", 41, 0, 70, 50, 6, 10, 64, 64, 0, 0, 1)


def test_by_hand():
    assert stated_size(SIZ) == (40, 64)
    frame = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xff\xc3" + struct.pack(">HBHHB", 11, 16, 7, 9, 1)
    assert stated_size(frame) == (7, 9)
    assert stated_size(b"\xff\xd8\xff\xf7" + struct.pack(">HBHHB", 11, 16, 5, 3, 1)) == (5, 3)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
def test_of_real_encoders(syntax, tmp_path):
    grid = Geometry(np.diag([-1.0, -1.0, 2.0, 1.0]), (48, 40, 2))
    voxels = np.arange(48 * 40 * 2, dtype=np.int16).reshape(1, 48, 40, 2)
    dataset = pydicom.dcmread(write_series(Image(voxels, grid, "CT", "HU"), tmp_path, DicomHeader("P"))[0])
    dataset.PixelRepresentation = 0
    dataset.compress(syntax, generate_instance_uid=False)
    (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
    assert stated_size(frame) == (40, 48)


def test_of_a_picture():
    from PIL import Image as Pillow

    buffer = io.BytesIO()
    Pillow.new("RGB", (30, 20)).save(buffer, "JPEG")
    assert stated_size(buffer.getvalue()) == (20, 30)


@given(st.binary(max_size=64), st.sampled_from([b"", b"\xff\xd8", SIZ[:10], SIZ, b"\x00\x00\x00\x0cjP  "]))
def test_anything_ends(tail, head):
    size = stated_size(head + tail)
    assert size is None or len(size) == 2


def test_a_cut_frame_states_nothing():
    assert stated_size(SIZ[:20]) is None
    assert stated_size(b"\xff\xd8\xff\xe0\x00\x10") is None
    assert stated_size(b"") is None
