"""Photograph reports in a headless Chromium, and fail where a page is not what it should be.

    python tools/screenshots.py --demo demo --out screenshots
    python tools/screenshots.py report.html index.html --out screenshots

Every page is opened at 1280 and at 400 pixels, and printed to PDF at the end. A page fails if it is wider than the
window, asks for anything but itself, prints to the console, or carries a script. Chromium is found by
``FIDUCIAL_CHROMIUM`` or on the search path.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WIDTHS = (1280, 400)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# What reaches past the right edge although its own container does not scroll.
_OVERFLOW = """() => {
  const width = document.documentElement.clientWidth;
  const wide = document.documentElement.scrollWidth - width;
  const inside = e => { for (let p = e.parentElement; p; p = p.parentElement)
      if (getComputedStyle(p).overflowX !== 'visible') return true; return false; };
  const guilty = [...document.querySelectorAll('body *')]
      .filter(e => e.getBoundingClientRect().right > width + 1 && !inside(e) && !e.closest('svg'))
      .slice(0, 5).map(e => e.tagName.toLowerCase() + '.' + e.className);
  return wide > 0 ? [wide, guilty] : [0, guilty];
}"""


def chromium() -> str:
    """Path of a Chromium binary.

    Raises:
        SystemExit: there is none.
    """
    given = os.environ.get("FIDUCIAL_CHROMIUM", "")
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    path = given or next((found for name in names if (found := shutil.which(name))), "")
    if not path:
        sys.exit("no Chromium: install the package chromium, or set FIDUCIAL_CHROMIUM to its path")
    return path


def look(browser: Browser, page_file: Path, out: Path, width: int) -> list[str]:
    """Open one page at one width, write its picture, and say what is wrong with it."""
    problems: list[str] = []
    url = page_file.resolve().as_uri()
    context = browser.new_context(viewport={"width": width, "height": 900}, offline=True, device_scale_factor=1)
    page = context.new_page()
    page.on("request", lambda request: _judge_request(request.url, url, problems))
    page.on("console", lambda message: problems.append(f"console {message.type}: {message.text}"))
    page.on("pageerror", lambda error: problems.append(f"error: {error}"))
    page.goto(url, wait_until="load")
    problems += _faults(page)
    page.screenshot(path=out / f"{page_file.stem}-{width}.png", full_page=True)
    page.evaluate("() => document.querySelectorAll('details').forEach(d => d.open = true)")
    problems += [f"opened: {fault}" for fault in _faults(page)]
    context.close()
    return problems


def _faults(page: Page) -> list[str]:
    wide, guilty = page.evaluate(_OVERFLOW)
    problems = [f"{wide} pixels wider than the window: {', '.join(guilty)}"] if wide else []
    if not wide and guilty:
        problems.append(f"cut off at the right edge: {', '.join(guilty)}")
    if page.locator("script").count():
        problems.append("the page carries a script")
    return problems


def _judge_request(asked: str, own: str, problems: list[str]) -> None:
    if asked.split("#", maxsplit=1)[0] != own and not asked.startswith("data:"):
        problems.append(f"asks for {asked}")


def photograph(pages: list[Path], out: Path, *, pdf: bool = True) -> dict[str, list[str]]:
    """Problems by page and width; pictures lie in ``out``."""
    from playwright.sync_api import sync_playwright

    out.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[str]] = {}
    options: dict[str, Any] = {"executable_path": chromium(), "args": FLAGS}
    with sync_playwright() as driver:
        browser = driver.chromium.launch(**options)
        for place, page_file in enumerate(pages):
            target = out / f"{place:02d}-{page_file.parent.name}"
            target.mkdir(exist_ok=True)
            for width in WIDTHS:
                found[f"{page_file} at {width}"] = look(browser, page_file, target, width)
            if pdf:
                page = browser.new_page()
                page.goto(page_file.resolve().as_uri())
                page.pdf(path=target / f"{page_file.stem}.pdf", format="A4", print_background=True)
                page.close()
        browser.close()
    return found


def main() -> int:
    """Photograph the pages that the command line names; 1 if any has a fault."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pages", nargs="*", type=Path, help="HTML files")
    parser.add_argument("--demo", type=Path, help="a folder: every HTML page in it")
    parser.add_argument("--out", type=Path, default=Path("screenshots"), help="folder for the pictures")
    parser.add_argument("--no-pdf", action="store_true", help="do not print to PDF")
    given = parser.parse_args()
    pages = [*given.pages, *(sorted(given.demo.rglob("*.html")) if given.demo else [])]
    missing = [str(page) for page in pages if not page.is_file()]
    if missing or not pages:
        sys.exit(f"no such page: {', '.join(missing)}" if missing else "no page to look at: run `make demo` first")
    found = photograph(pages, given.out, pdf=not given.no_pdf)
    for name, problems in found.items():
        print(f"{'wrong' if problems else 'right'}  {name}")
        for problem in problems:
            print(f"       {problem}")
    print(f"pictures in {given.out}")
    return int(any(found.values()))


if __name__ == "__main__":
    sys.exit(main())
