"""Show written objects on their images in OHIF, on this machine alone, and photograph and count what it shows.

    npm pack @ohif/app@3.13 && tar xzf ohif-app-*.tgz        # its prebuilt pages: package/dist
    python tools/ohif.py DICOM OBJECTS --dist package/dist --out ohif.png
    python tools/ohif.py DICOM OBJECTS --dist package/dist --serve    # stay open, for a person

Starts Debian's Orthanc (packages orthanc, orthanc-dicomweb) on loopback with an empty storage and no DICOM port, stores
the files in it over DICOMweb, and serves OHIF and DICOMweb from one origin, as OHIF wants it. A headless Chromium
(Playwright; FIDUCIAL_CHROMIUM or the search path) opens the study, loads each SEG as a person would, and prints one
JSON object: the voxels of each segment in OHIF beside those in the file, and whether the images that the archive gives
back still have the pixels of the files. Exit code 1 where one differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import mimetypes
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

sys.path.insert(0, str(Path(__file__).parent))
from screenshots import chromium

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
CONFIG = """window.config = {
  routerBasename: null, extensions: [], modes: [], customizationService: {}, showStudyList: true,
  maxNumberOfWebWorkers: 2, showLoadingIndicator: true, showCPUFallbackMessage: false,
  showWarningMessageForCrossOrigin: false, strictZSpacingForVolumeViewport: true,
  investigationalUseDialog: { option: 'never' },
  maxNumRequests: { interaction: 20, thumbnail: 5, prefetch: 10 },
  defaultDataSourceName: 'archive',
  dataSources: [{
    namespace: '@ohif/extension-default.dataSourcesModule.dicomweb', sourceName: 'archive',
    configuration: {
      friendlyName: 'Archive', name: 'archive',
      qidoRoot: '/dicom-web', wadoRoot: '/dicom-web', wadoUriRoot: '/dicom-web',
      qidoSupportsIncludeField: false, imageRendering: 'wadors', thumbnailRendering: 'wadors',
      enableStudyLazyLoad: true, supportsFuzzyMatching: false, supportsWildcard: true, staticWado: false,
      singlepart: 'bulkdata,video', bulkDataURI: { enabled: true }, omitQuotationForMultipartRequest: true,
    },
  }],
};
"""
FLAGS = ["--headless=new", "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
FLAGS += ["--ignore-gpu-blocklist", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
PASSED = ("Content-Type", "Accept", "Range")
SIZE = {"width": 1280, "height": 800}

# In the page: the voxels of each segment that OHIF holds, by segmentation and segment label.
_COUNTS = """() => {
  const cache = window.cornerstone.cache;
  return window.services.segmentationService.getSegmentations().map(one => {
    const map = one.representationData.Labelmap ?? {};
    const counts = {};
    const add = values => { for (const v of values) if (v) counts[v] = (counts[v] ?? 0) + 1; };
    if (map.volumeId && cache.getVolume(map.volumeId))
      add(cache.getVolume(map.volumeId).voxelManager.getCompleteScalarDataArray());
    else for (const id of map.imageIds ?? []) add(cache.getImage(id).voxelManager.getScalarData());
    const labels = {};
    for (const s of Object.values(one.segments)) if (s) labels[s.label] = counts[s.segmentIndex] ?? 0;
    return labels;
  });
}"""
_READY = """() => {
  const { viewportGridService: grid, cornerstoneViewportService: views } = window.services ?? {};
  try { return views.getCornerstoneViewport(grid.getActiveViewportId()).getImageIds().length > 1; }
  catch { return false; }
}"""
# In the page: the slice on which the segments together have the most voxels.
_JUMP = """() => {
  const { viewportGridService: grid, cornerstoneViewportService: views, segmentationService } = window.services;
  const viewport = views.getCornerstoneViewport(grid.getActiveViewportId());
  const cache = window.cornerstone.cache;
  const map = segmentationService.getSegmentations()[0].representationData.Labelmap;
  const sizes = (map.imageIds ?? []).map(id => {
    const own = {};
    for (const v of cache.getImage(id).voxelManager.getScalarData()) if (v) own[v] = (own[v] ?? 0) + 1;
    return [Object.keys(own).length, Object.values(own).reduce((a, b) => a + b, 0)];
  });
  const best = sizes.reduce((b, s, k) => s[0] > sizes[b][0] || (s[0] === sizes[b][0] && s[1] > sizes[b][1]) ? k : b, 0);
  const of = cache.getImage(map.imageIds[best]).referencedImageId;
  viewport.setImageIdIndex(viewport.getImageIds().indexOf(of));
  viewport.setZoom(1.05);
  viewport.render();
  return best;
}"""
# What a first visit shows: tours that lie over the page.
_NO_TOURS = (
    "localStorage.setItem('shownTours', JSON.stringify(['basicViewerTour', 'workflowTour', 'segmentationTour']))"
)


@contextmanager
def orthanc(folder: Path) -> Iterator[int]:
    """An empty Orthanc on loopback; its HTTP port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    settings = {
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "Plugins": [str(PLUGIN)],
        "HttpPort": port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomServerEnabled": False,
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "StudiesMetadata": "Full", "SeriesMetadata": "Full"},
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen(["Orthanc", str(folder / "orthanc.json")], stdout=log, stderr=log)  # noqa: S607
        try:
            deadline = time.monotonic() + 30
            while not _answers(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit("Orthanc did not start:\n" + (folder / "orthanc.log").read_text()[-2000:])
                time.sleep(0.1)
            yield port
        finally:
            process.terminate()
            process.wait(timeout=20)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def one_origin(dist: Path, archive: int) -> Iterator[int]:
    """OHIF's pages and the archive's DICOMweb behind one port on loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path.startswith("/dicom-web/"):
                self._pass_on()
            elif path == "/app-config.js":
                self._answer(200, "text/javascript", CONFIG.encode())
            else:
                self._page(path)

        def _page(self, path: str) -> None:
            file = (dist / path.lstrip("/")).resolve()
            if not file.is_relative_to(dist) or not file.is_file():
                file = dist / "index.html"
            kind = "application/wasm" if file.suffix == ".wasm" else mimetypes.guess_type(file.name)[0] or "text/plain"
            self._answer(200, kind, file.read_bytes())

        def _pass_on(self) -> None:
            headers = {name: self.headers[name] for name in PASSED if name in self.headers}
            headers["Host"] = self.headers["Host"]
            asked = urllib.request.Request(f"http://127.0.0.1:{archive}{self.path}", headers=headers)
            try:
                with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310 - loopback, http
                    self._answer(answer.status, answer.headers.get("Content-Type", ""), answer.read())
            except urllib.error.HTTPError as error:
                self._answer(error.code, error.headers.get("Content-Type", "text/plain"), error.read())

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            # Shared memory between OHIF's workers needs a page that is isolated from other origins.
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
            self.send_header("Cross-Origin-Resource-Policy", "same-origin")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing: a path may hold an identifier."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()


def store(port: int, files: list[Path]) -> None:
    """Store files in the archive."""
    for path in files:
        body = path.read_bytes()
        asked = urllib.request.Request(f"http://127.0.0.1:{port}/instances", data=body, method="POST")
        with urllib.request.urlopen(asked, timeout=60):  # noqa: S310 - loopback, http
            pass


def pixel_digests(files: Iterable[bytes]) -> dict[str, str]:
    """SHA-256 of the pixel data of every file that has some, by SOPInstanceUID."""
    digests = {}
    for content in files:
        dataset = pydicom.dcmread(BytesIO(content))
        if "PixelData" in dataset:
            digests[str(dataset.SOPInstanceUID)] = hashlib.sha256(dataset.PixelData).hexdigest()
    return digests


def fetched(port: int) -> Iterator[bytes]:
    """Every file that the archive holds."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/instances", timeout=60) as answer:
        names = json.load(answer)
    for name in names:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/instances/{name}/file", timeout=60) as answer:
            yield answer.read()


def dicom_files(paths: list[Path]) -> list[Path]:
    """Every DICOM file among files and below folders."""
    found = [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    return [file for file in found if file.is_file() and file.read_bytes()[128:132] == b"DICM"]


def voxels_in(path: Path) -> dict[str, int]:
    """Voxels of each segment of a SEG file, by label, as the file holds them."""
    dataset = pydicom.dcmread(path)
    frames = np.atleast_3d(dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns))
    counts = {}
    groups = dataset.PerFrameFunctionalGroupsSequence
    shared = dataset.SharedFunctionalGroupsSequence[0]
    numbers = [
        (own if "SegmentIdentificationSequence" in own else shared)["SegmentIdentificationSequence"][
            0
        ].ReferencedSegmentNumber
        for own in groups
    ]
    for segment in dataset.SegmentSequence:
        own = [k for k, number in enumerate(numbers) if number == segment.SegmentNumber]
        counts[str(segment.SegmentLabel)] = int(np.count_nonzero(frames[own]))
    return counts


def shown(url: str, picture: Path | None) -> list[dict[str, int]]:
    """Open a study, load its segmentations, photograph the page; the voxels that OHIF holds."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as library:
        browser = library.chromium.launch(executable_path=chromium(), args=FLAGS)
        try:
            page = browser.new_page(viewport=SIZE)  # type: ignore[arg-type]
            page.add_init_script(_NO_TOURS)
            page.goto(url, wait_until="domcontentloaded", timeout=120_000)
            page.wait_for_function(_READY, timeout=120_000)
            page.wait_for_timeout(3_000)
            thumbnails = page.locator(
                "[data-cy=study-browser-thumbnail-no-image]", has=page.get_by_text("SEG", exact=True)
            )
            thumbnails.first.dblclick()
            page.locator("[data-cy=yes-hydrate-btn]").click(timeout=120_000)
            page.wait_for_timeout(6_000)
            page.wait_for_function(_READY, timeout=120_000)
            counts: list[dict[str, int]] = page.evaluate(_COUNTS)
            if picture is not None:
                page.evaluate(_JUMP)
                page.locator("[data-cy=panelSegmentation-btn]").click()
                page.wait_for_timeout(4_000)
                _save(page.screenshot(), picture)
            return counts
        finally:
            browser.close()


def _save(png: bytes, path: Path) -> None:
    """A picture of few colours: a page for a report, not an image for a reader."""
    from PIL import Image as Picture

    with Picture.open(BytesIO(png)) as picture:
        picture.convert("RGB").quantize(128).save(path, "PNG", optimize=True)


def main() -> int:
    """Parse, serve, show, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, help="folders or files: the images, and the objects on them")
    parser.add_argument("--dist", required=True, type=Path, help="OHIF's prebuilt pages (package/dist)")
    parser.add_argument("--out", type=Path, help="the picture to write (PNG)")
    parser.add_argument("--serve", action="store_true", help="stay open until Ctrl-C")
    given = parser.parse_args()
    dist = given.dist.resolve()
    if not (dist / "index.html").is_file():
        sys.exit(f"no index.html in {given.dist}: give the folder dist of the npm package @ohif/app")
    files = dicom_files(given.files)
    headers = {path: pydicom.dcmread(path, stop_before_pixels=True) for path in files}
    studies = sorted({str(header.StudyInstanceUID) for header in headers.values()})
    if len(studies) != 1:
        sys.exit(f"{len(studies)} studies in these files: give one")
    segmentations = [path for path, header in headers.items() if header.Modality == "SEG"]
    with tempfile.TemporaryDirectory() as folder, orthanc(Path(folder)) as archive, one_origin(dist, archive) as port:
        store(archive, files)
        url = f"http://127.0.0.1:{port}/viewer?StudyInstanceUIDs={studies[0]}"
        if given.serve:
            print(url, flush=True)
            threading.Event().wait()
        counts = shown(url, given.out)
        same = pixel_digests(fetched(archive)) == pixel_digests(path.read_bytes() for path in files)
    expected = sorted((voxels_in(path) for path in segmentations), key=str)
    result = {"in_file": expected, "in_ohif": sorted(counts, key=str), "images_unchanged": same}
    print(json.dumps(result))
    return 0 if same and result["in_file"] == result["in_ohif"] else 1


if __name__ == "__main__":
    sys.exit(main())
