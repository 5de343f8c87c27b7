"""A real archive: Debian's Orthanc on loopback, in a network of its own that holds nothing else.

This Orthanc listens on every interface, so it is started in a network namespace whose only interface is loopback, and
the tests that talk to it enter the same namespace. Where that is not allowed (no root), DICOMweb is tested on the
machine's own loopback with remote access off and the DICOM port closed, and DIMSE is skipped.
"""

from __future__ import annotations

import ctypes
import json
import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fiducial.archive.sources import PacsAccess, Remote, remote

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
USER, PASSWORD = "reader", "correct horse battery"
CALLED, CALLING = "ORTHANC", "FIDUCIAL"
CLONE_NEWNET = 0x40000000
# A process that ends with this one, also where this one is killed.
MORTAL = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
QUICK = PacsAccess(credentials=f"{USER}:{PASSWORD}", timeout_s=5, n_attempts=2, backoff_s=0.05)


@dataclass(frozen=True)
class Network:
    """A network namespace with loopback alone, held by a process; without one, the machine's own."""

    holder: int | None

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread, and every thread and process that it starts, inside the namespace."""
        if self.holder is None:
            yield
            return
        with Path("/proc/thread-self/ns/net").open() as home, Path(f"/proc/{self.holder}/ns/net").open() as there:
            _setns(there.fileno())
            try:
                yield
            finally:
                _setns(home.fileno())


def _setns(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@dataclass
class Orthanc:
    """A running Orthanc and how it is reached."""

    folder: Path
    process: subprocess.Popen[bytes]
    http: int
    dicom: int
    move: int

    def web(self, query: str = "", *, host: str = "localhost") -> str:
        """Its DICOMweb address."""
        return f"dicomweb+http://{host}:{self.http}/dicom-web{query and '?'}{query}"

    def dimse(self, query: str = "", *, called: str = CALLED) -> str:
        """Its DIMSE address."""
        return f"dimse://{called}@127.0.0.1:{self.dicom}{query and '?'}{query}"

    def source(self, query: str = "", **access: object) -> Remote:
        """Its DICOMweb address as a source with quick timeouts."""
        return remote(self.web(query), replace(QUICK, **access))

    def stop(self) -> None:
        """End the process at once: asked politely, it waits for associations that nobody will end."""
        self.process.kill()
        self.process.wait(timeout=20)


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_orthanc(folder: Path, network: Network) -> Orthanc:
    """Start an empty Orthanc and wait until it answers."""
    http, dicom, move = free_port(), free_port(), free_port()
    settings = {
        "Name": "test",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [str(PLUGIN)],
        "HttpPort": http,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {USER: PASSWORD},
        "DicomServerEnabled": network.holder is not None,
        "DicomPort": dicom,
        "DicomAet": CALLED,
        "DicomCheckCalledAet": True,
        "DicomModalities": {"tests": {"AET": CALLING, "Host": "127.0.0.1", "Port": move, "AllowTranscoding": False}},
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        "ConcurrentJobs": 1,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with network.entered(), (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen([*MORTAL, "Orthanc", str(folder / "orthanc.json")], stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if process.poll() is not None:
                break
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", http)) == 0:
                    return Orthanc(folder, process, http, dicom, move)
            time.sleep(0.05)
    process.kill()
    raise RuntimeError(f"Orthanc did not start:\n{(folder / 'orthanc.log').read_text()[-2000:]}")


def stow(orthanc: Orthanc, files: list[Path]) -> None:
    """Store files over STOW-RS, byte for byte."""
    import requests

    for start in range(0, len(files), 50):
        body = b"".join(
            b"--cut\r\nContent-Type: application/dicom\r\n\r\n" + path.read_bytes() + b"\r\n"
            for path in files[start : start + 50]
        )
        answer = requests.post(
            f"http://localhost:{orthanc.http}/dicom-web/studies",
            data=body + b"--cut--\r\n",
            headers={"Content-Type": 'multipart/related; type="application/dicom"; boundary=cut'},
            auth=(USER, PASSWORD),
            timeout=60,
        )
        answer.raise_for_status()


def write_certificate(folder: Path, host: str) -> tuple[Path, Path]:
    """A certificate authority of one's own, and key and certificate of a server that it signed, in one file each."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import NameOID

    def signed(name: str, issuer: str, key: rsa.RSAPrivateKey, by: rsa.RSAPrivateKey, *, ca: bool) -> x509.Certificate:
        now = datetime.now(UTC)
        names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in (name, issuer)]
        return (
            x509.CertificateBuilder()
            .subject_name(names[0])
            .issuer_name(names[1])
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
            .sign(by, hashes.SHA256())
        )

    keys = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)]
    authority = signed("Test Authority", "Test Authority", keys[0], keys[0], ca=True)
    server = signed(host, "Test Authority", keys[1], keys[0], ca=False)
    pem = serialization.Encoding.PEM
    private = keys[1].private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    (folder / "ca.pem").write_bytes(authority.public_bytes(pem))
    (folder / "server.pem").write_bytes(private + server.public_bytes(pem))
    return folder / "ca.pem", folder / "server.pem"


@contextmanager
def tls_front(port: int, certificate: Path) -> Iterator[int]:
    """A port that speaks TLS before a port that does not, as a reverse proxy does.

    Debian's Orthanc cannot serve TLS itself here: its web server calls a function that OpenSSL 3 has no longer.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                with context.wrap_socket(self.request, server_side=True) as outer:
                    relay(outer, socket.create_connection(("127.0.0.1", port)))
            except OSError:
                return

    def relay(outer: socket.socket, inner: socket.socket) -> None:
        back = threading.Thread(target=pump, args=(inner, outer), daemon=True)
        back.start()
        pump(outer, inner)
        back.join()
        inner.close()

    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(2**16):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Relay) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()


@contextmanager
def stalled_front(port: int, n_bytes: int) -> Iterator[int]:
    """A port before another that passes on so many bytes of each answer, and then nothing, and never closes."""
    ended = threading.Event()

    def pump(source: socket.socket, sink: socket.socket, most: float) -> None:
        try:
            while data := source.recv(1024):
                most -= len(data)
                if most < 0:
                    ended.wait(60)
                    return
                sink.sendall(data)
        except OSError:
            return

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", port)) as inner:
                threading.Thread(target=pump, args=(self.request, inner, float("inf")), daemon=True).start()
                pump(inner, self.request, n_bytes)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Relay) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield int(server.server_address[1])
        finally:
            ended.set()
            server.shutdown()
