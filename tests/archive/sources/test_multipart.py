"""Answers of several parts: the same parts however they are cut; nothing is taken for whole that is not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiducial.archive.refusal import code_of
from fiducial.archive.sources.multipart import media_type, split_parts
from fiducial.errors import UnreadableFile

BY_HAND = b"--x\r\nContent-Type: application/dicom\r\n\r\none\r\n--x\r\n\r\n\r\n--x\r\n"
BY_HAND += b"A: b\r\nC: d\r\n\r\nth\r\nree\r\n--x--\r\n"


def parts(message: list[bytes], boundary: bytes = b"x") -> list[bytes]:
    return [b"".join(body) for body in split_parts(message, boundary)]


def test_three_parts_by_hand():
    assert parts([BY_HAND]) == [b"one", b"", b"th\r\nree"]


def test_a_preamble_and_an_epilogue_say_nothing():
    assert parts([b"hello\r\n" + BY_HAND + b"good-bye --x"]) == [b"one", b"", b"th\r\nree"]


def test_an_answer_without_parts():
    assert parts([b"--x--\r\n"]) == []


def test_a_body_that_is_not_read_is_passed_over():
    bodies = split_parts([BY_HAND], b"x")
    assert next(bodies)
    assert next(bodies)
    assert b"".join(next(bodies)) == b"th\r\nree"


@settings(max_examples=40)
@given(data=st.data(), bodies=st.lists(st.binary(max_size=60), max_size=5))
def test_the_parts_do_not_depend_on_where_the_message_is_cut(data, bodies):
    bodies = [body for body in bodies if b"--cut" not in body]
    message = b"".join(b"--cut\r\nContent-Type: application/dicom\r\n\r\n" + body + b"\r\n" for body in bodies)
    message += b"--cut--\r\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(message)), max_size=12)))
    pieces = [message[a:b] for a, b in zip([0, *cuts], [*cuts, len(message)], strict=True)]
    assert parts(pieces, b"cut") == bodies


@settings(max_examples=40)
@given(st.integers(0, len(BY_HAND) - 5))
def test_a_message_that_ends_early_is_never_whole(length):
    with pytest.raises(UnreadableFile) as refused:
        parts([BY_HAND[:length]])
    assert code_of(refused.value) == "pacs-cut"


def test_against_dicomweb_client():
    import requests
    from dicomweb_client import DICOMwebClient

    answer = requests.Response()
    answer.headers["content-type"] = 'multipart/related; type="application/dicom"; boundary="x"'
    answer._content = BY_HAND.replace(b"\r\n--x\r\n\r\n\r\n", b"\r\n--x\r\nE: f\r\n\r\ntwo\r\n")
    theirs = [
        bytes(part) for part in DICOMwebClient("http://localhost")._decode_multipart_message(answer, stream=False)
    ]
    assert parts([answer._content])[:2] == theirs[:2] == [b"one", b"two"]


def test_a_large_body_is_held_in_pieces():
    piece = bytes(2**16)
    sizes = [len(p) for body in split_parts([b"--x\r\n\r\n", *[piece] * 64, b"\r\n--x--"], b"x") for p in body]
    assert sum(sizes) == 64 * 2**16
    assert max(sizes) <= 2 * 2**16


def test_an_endless_header_is_refused():
    with pytest.raises(UnreadableFile, match="pacs-answer: a part's header"):
        parts([b"--x\r\n", *[b"A: " + b"b" * 1000] * 80])


@pytest.mark.parametrize(
    ("text", "is_read_as"),
    [
        ('multipart/related; type="application/dicom"; boundary=a-b', ("multipart/related", b"a-b")),
        ('Multipart/Related; boundary="a b"; start="x"', ("multipart/related", b"a b")),
        ("application/dicom", ("application/dicom", b"")),
        ("", ("text/plain", b"")),
        ("nonsense;;;boundary", ("text/plain", b"")),
    ],
)
def test_content_types(text, is_read_as):
    assert media_type(text) == is_read_as
