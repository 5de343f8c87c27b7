"""How an archive is reached, how much is taken from it, and a source that is one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fiducial.archive.sources.address import Address, parse_address

GIBIBYTE = 2**30


@dataclass(frozen=True)
class PacsAccess:
    """How an archive is reached and how much is taken from it. Credentials never show in `repr`.

    Args:
        credentials: ``USER:PASSWORD`` or ``Bearer TOKEN``; empty for none.
        ca: file of the certificates (PEM) that are trusted instead of the usual authorities.
        insecure: plain HTTP is allowed to other machines than this one.
        max_series: a query that matches more is refused.
        max_bytes: of everything that is received; also never more than the disk has free.
        max_instance_bytes: of one instance.
        timeout_s: for connecting, and between two pieces of an answer.
        n_attempts: without anything new received, before a series is given up.
        backoff_s: wait before the second attempt; doubled before each further one.
    """

    credentials: str = field(default="", repr=False)
    ca: Path | None = None
    insecure: bool = False
    max_series: int = 1000
    max_bytes: int = 200 * GIBIBYTE
    max_instance_bytes: int = 4 * GIBIBYTE
    timeout_s: float = 30.0
    n_attempts: int = 4
    backoff_s: float = 1.0


@dataclass(frozen=True)
class Remote:
    """A source that is an archive's address; as text it is what may be shown."""

    address: Address
    access: PacsAccess = PacsAccess()

    def __str__(self) -> str:
        return str(self.address)


def remote(text: str, access: PacsAccess | None = None) -> Remote:
    """The archive at an address.

    Raises:
        UnreadableFile: ``pacs-address``.
    """
    return Remote(parse_address(text), access or PacsAccess())
