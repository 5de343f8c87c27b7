"""``multipart/related`` answers, part by part and piece by piece: nothing is held that could be on disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from email.message import Message

from fiducial.archive.refusal import refuse

MAX_HEADER = 2**16


def media_type(content_type: str) -> tuple[str, bytes]:
    """Media type in lower case, and the boundary (empty where none is stated)."""
    message = Message()
    message["content-type"] = content_type
    boundary = message.get_param("boundary", "")
    return message.get_content_type(), (boundary if isinstance(boundary, str) else "").encode("latin-1", "replace")


def split_parts(pieces: Iterable[bytes], boundary: bytes) -> Iterator[Iterator[bytes]]:
    """The body of each part as an iterator of pieces; what is not read of a body is passed over.

    Args:
        pieces: the message, cut anywhere.
        boundary: as the Content-Type states it.

    Raises:
        UnreadableFile: ``pacs-cut`` if the message ends before its closing boundary, ``pacs-answer`` if a part's
            header is larger than any.
    """
    delimiter = b"\r\n--" + boundary
    stream = _Stream(pieces)
    for _ in stream.until(delimiter):  # a preamble says nothing
        continue
    while not stream.closes():
        size = 0
        for piece in stream.until(b"\r\n\r\n"):
            size += len(piece)
            if size > MAX_HEADER:
                raise refuse("pacs-answer", "a part's header is larger than 64 KiB")
        body = stream.until(delimiter)
        yield body
        for _ in body:
            continue


class _Stream:
    """A message that is read up to marks, whatever its pieces."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        # A first boundary may stand at the very beginning, without the line break that is part of every other.
        self._held = bytearray(b"\r\n")

    def until(self, mark: bytes) -> Iterator[bytes]:
        """The bytes before the next mark; it is taken too."""
        while (place := self._held.find(mark)) < 0:
            sure = len(self._held) - len(mark) + 1
            if sure > 0:
                yield bytes(self._held[:sure])
                del self._held[:sure]
            self._more()
        if place:
            yield bytes(self._held[:place])
        del self._held[: place + len(mark)]

    def closes(self) -> bool:
        """Whether the boundary just taken is the closing one (two hyphens follow)."""
        while len(self._held) < 2:
            self._more()
        return self._held[:2] == b"--"

    def _more(self) -> None:
        piece = next(self._pieces, None)
        if piece is None:
            raise refuse("pacs-cut", "the answer ended before its closing boundary")
        self._held += piece
