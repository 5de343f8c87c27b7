"""One HTTP session: verified, without redirects, silent, within limits; and every error of it as a refusal."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fiducial.archive.refusal import refuse
from fiducial.archive.sources.access import PacsAccess
from fiducial.archive.sources.multipart import media_type
from fiducial.errors import UnreadableFile

if TYPE_CHECKING:
    import requests

PIECE = 2**16
MAX_JSON = 64 * 2**20
GRACE_S, SLOWEST = 60.0, 1000
"""After this time an answer is given up if it brings fewer bytes per second on average."""
INSTANCES = ("multipart/related", "application/dicom")


def open_session(access: PacsAccess, where: str) -> requests.Session:
    """A session with the access's credentials and trust; it reads nothing from the environment.

    Raises:
        UnreadableFile: ``pacs-credentials`` (neither USER:PASSWORD nor a token), ``pacs-tls`` (a file that holds no
            certificates).
    """
    import requests

    session = requests.Session()
    session.trust_env = False
    session.max_redirects = 0
    session.headers["Accept-Encoding"] = "identity"
    session.auth = _signer(access.credentials, where)
    session.hooks["response"].append(_guard(access, where))
    if access.ca is not None:
        try:
            ssl.create_default_context(cafile=str(access.ca))
        except (OSError, ValueError):
            raise refuse("pacs-tls", "the file of certificates cannot be read as PEM", where=str(access.ca)) from None
        session.verify = str(access.ca)
    return session


def _signer(credentials: str, where: str) -> Callable[[Any], Any]:
    """Adds the credentials to a request, and leaves its Host header to the connection, which knows the port."""
    from requests.auth import HTTPBasicAuth

    token = credentials[len("Bearer ") :] if credentials.startswith("Bearer ") else ""
    if credentials and (not credentials.isprintable() or not (token or ":" in credentials)):
        raise refuse("pacs-credentials", "neither USER:PASSWORD nor Bearer TOKEN, on one line", where=where)
    user, _, password = credentials.partition(":")

    def sign(request: Any) -> Any:
        request.headers.pop("Host", None)
        if token:
            request.headers["Authorization"] = b"Bearer " + token.encode()
        elif credentials:
            request = HTTPBasicAuth(user.encode(), password.encode())(request)
        return request

    return sign


def _guard(access: PacsAccess, where: str) -> Callable[..., None]:
    """Makes every answer count its own bytes and time while it is read, whoever reads it."""

    def guard(response: Any, *_: Any, **__: Any) -> None:
        kind, _boundary = media_type(response.headers.get("Content-Type", ""))
        limit = access.max_bytes if kind in INSTANCES and response.ok else MAX_JSON
        response.iter_content = lambda *_, **__: _pieces(response.raw, limit, where)

    return guard


def _pieces(raw: Any, limit: int, where: str) -> Iterator[bytes]:
    begun, n_bytes = time.monotonic(), 0
    while piece := raw.read1(PIECE, decode_content=True):
        n_bytes += len(piece)
        if n_bytes > limit:
            raise refuse("pacs-too-large", f"an answer of more than {limit:,} bytes", where=where)
        waited_s = time.monotonic() - begun
        if waited_s > GRACE_S + n_bytes / SLOWEST:
            raise refuse("pacs-timeout", f"{n_bytes:,} bytes in {waited_s:.0f} s", where=where)
        yield piece


@contextmanager
def named_errors(where: str) -> Iterator[None]:
    """Errors of a transfer as refusals; the libraries' own messages quote addresses, so they are left out."""
    import requests
    import urllib3.exceptions as low

    try:
        yield
    except UnreadableFile:
        raise
    except requests.exceptions.HTTPError as error:
        raise _status(error, where) from None
    except requests.exceptions.JSONDecodeError:
        raise refuse("pacs-answer", "a search that is not answered in JSON", where=where) from None
    except requests.exceptions.TooManyRedirects:
        raise refuse("pacs-answer", "it redirects to another address", where=where) from None
    except (requests.exceptions.SSLError, low.SSLError, ssl.SSLError):
        raise refuse("pacs-tls", "its certificate or its encryption is not accepted", where=where) from None
    except (requests.exceptions.Timeout, low.TimeoutError, TimeoutError):
        raise refuse("pacs-timeout", "no answer in time", where=where) from None
    except requests.exceptions.ConnectionError as error:
        begun = isinstance(error.args[0] if error.args else None, low.ProtocolError)
        code, found = ("pacs-cut", "the connection was closed") if begun else ("pacs-unreachable", "no connection")
        raise refuse(code, found, where=where) from None
    except (low.ProtocolError, ConnectionError):
        raise refuse("pacs-cut", "the connection was closed", where=where) from None
    except (requests.exceptions.RequestException, low.HTTPError, ValueError, RecursionError) as error:
        found = f"an answer that cannot be used ({type(error).__name__})"
        raise refuse("pacs-answer", found, where=where) from None


def _status(error: requests.exceptions.HTTPError, where: str) -> UnreadableFile:
    status = 0 if error.response is None else error.response.status_code
    found = f"HTTP status {status}"
    if status in (401, 403, 407):
        return refuse("pacs-credentials", found, where=where)
    if status in (408, 429) or status >= 500:
        return refuse("pacs-busy", found, where=where)
    return refuse("pacs-answer", found, where=where)
