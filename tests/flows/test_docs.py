"""The documentation does what it says: every Python, console and TOML block of a page is run, in order, in one folder.

``python`` blocks of a page share their names. A block ``toml NAME`` or ``yaml NAME`` becomes that file. In a
``console`` block each line that starts with ``$`` is run; the lines under it must be in what it prints (``...`` for
anything). A block after ``<!-- slow -->`` runs in the slow suite only.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    p for p in (ROOT / "docs").rglob("*.md") if "```python" in p.read_text() or "```console" in p.read_text()
)
TRAINS = {"demo.md", "train-on-your-images.md"}
FENCE = re.compile(r"(<!-- slow -->\n)?^```(\w+)[ ]?([^\n]*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, what stands after it, its text and whether it is slow."""

    language: str
    name: str
    text: str
    slow: bool


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = FENCE.findall(page.read_text(encoding="utf-8"))
    return [Block(language, name.strip(), text, bool(slow)) for slow, language, name, text in found]


def run_console(text: str) -> None:
    """Run each command and look for the lines under it in its output."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, *expected = part.splitlines()
        done = subprocess.run(
            ["bash", "-c", command],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PATH": path, "COLUMNS": "120", "OMP_NUM_THREADS": "1"},
        )
        said = done.stdout
        assert done.returncode == 0, f"$ {command}\n{said}\n{done.stderr}"
        for line in expected:
            wanted = line.strip().removesuffix("...").strip()
            assert " ".join(wanted.split()) in " ".join(said.split()), f"$ {command}\nwanted {wanted!r} in\n{said}"


def run_page(page: Path, folder: Path, *, slow: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a page's blocks in a folder."""
    monkeypatch.chdir(folder)
    names: dict[str, object] = {"__name__": "__docs__"}
    for number, block in enumerate(blocks(page), start=1):
        if block.slow and not slow:
            continue
        if block.language == "python":
            exec(compile(block.text, f"{page.name}, block {number}", "exec"), names)  # noqa: S102
        elif block.language == "console":
            run_console(block.text)
        elif block.language in ("toml", "yaml") and block.name:
            Path(block.name).write_text(block.text, encoding="utf-8")


def test_the_reader_of_pages_finds_each_kind_of_block(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```python\nx = 1\n```\n\n<!-- slow -->\n```console\n$ true\n```\n```toml a.toml\nx = 1\n```\n")
    assert blocks(page) == [
        Block("python", "", "x = 1\n", slow=False),
        Block("console", "", "$ true\n", slow=True),
        Block("toml", "a.toml", "x = 1\n", slow=False),
    ]


@pytest.mark.parametrize("text", ["$ false\n", "$ echo one\ntwo\n"])
def test_a_block_that_does_not_do_what_it_says_fails(text):
    with pytest.raises(AssertionError):
        run_console(text)


def test_the_main_pages_are_among_those_that_run():
    assert {"demo.md", "audit-a-vendor.md", "audit-masks.md", "train-on-your-images.md", "data-model.md"} <= {
        page.name for page in PAGES
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_does_what_it_says(page, tmp_path, monkeypatch):
    run_page(page, tmp_path, slow=False, monkeypatch=monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in PAGES if p.name in TRAINS], ids=lambda page: page.stem)
def test_a_page_does_what_it_says_training_included(page, tmp_path, monkeypatch):
    run_page(page, tmp_path, slow=True, monkeypatch=monkeypatch)


def test_every_link_between_pages_leads_somewhere():
    broken = []
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        broken += [f"{page.relative_to(ROOT)} -> {t}" for t in targets if not (page.parent / t).exists()]
    assert not broken


def test_the_index_names_every_page_once():
    folder = ROOT / "docs"
    named = re.findall(r"\]\(([a-z][^)#]*\.md)\)", (folder / "index.md").read_text(encoding="utf-8"))
    pages = {
        str(page.relative_to(folder))
        for kind in ("tutorial", "how-to", "concepts", "reference")
        for page in (folder / kind).glob("*.md")
    }
    assert pages <= set(named), pages - set(named)
    assert len(named) == len(set(named)), sorted(named)


def test_files_that_the_path_of_an_image_names_exist():
    text = (ROOT / "docs" / "concepts" / "path-of-an-image.md").read_text(encoding="utf-8")
    names = re.findall(r"`([a-z_]+/[a-z_/]*(?:\.py)?)`", text)
    assert len(names) >= 10
    assert not [name for name in names if not (ROOT / "src" / "fiducial" / name).exists()]


@pytest.mark.parametrize("name", ["tables.md", "commands.md"])
def test_reference_pages_that_are_made_from_the_code_are_not_stale(name):
    script = f"import sys; sys.path.insert(0, 'tools'); import tables; sys.stdout.write(tables.PAGES[{name!r}]())"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8"), "run `make docs-tables`"
