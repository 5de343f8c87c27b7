"""The rooms, read from the one table in docs/concepts/rooms.md, and the source files as syntax trees."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "fiducial"
SOFT_FILE, SOFT_BODY = 400, 45


@dataclass(frozen=True)
class Room:
    """One row of the table."""

    name: str
    level: int
    may_import: frozenset[str]
    torch: str

    def may_import_torch(self, module: Path) -> bool:
        """Whether this file of the room may import PyTorch."""
        return self.torch == "yes" or module.name in self.torch.split()


@dataclass(frozen=True)
class Module:
    """One source file: where it is, its room and its syntax tree."""

    path: Path
    room: str
    tree: ast.Module

    @property
    def dotted(self) -> str:
        """The name by which Python imports it."""
        parts = self.path.relative_to(SOURCE.parent).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def read_rooms(text: str) -> dict[str, Room]:
    """The rows of the Markdown table whose first cell is a level."""
    rooms = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 5 and cells[0].isdigit():
            arrows = frozenset(re.findall(r"[a-z]+", cells[3]))
            rooms[cells[1].strip("`")] = Room(cells[1].strip("`"), int(cells[0]), arrows, cells[4])
    return rooms


def read_modules(source: Path = SOURCE) -> list[Module]:
    """Every source file of the package; files beside the rooms have the room ``""``."""
    modules = []
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).parts
        modules.append(Module(path, parts[0] if len(parts) > 1 else "", ast.parse(path.read_text(encoding="utf-8"))))
    return modules


@dataclass(frozen=True)
class Size:
    """One function or method: lines of its body without the docstring, and its parameters."""

    name: str
    n_lines: int
    n_parameters: int


def function_sizes(modules: list[Module]) -> list[Size]:
    """The size of every function and method."""
    sizes = []
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
                n_lines = (body[-1].end_lineno or 0) - body[0].lineno + 1
                n_parameters = len(node.args.posonlyargs) + len(node.args.args) + len(node.args.kwonlyargs)
                sizes.append(Size(f"{module.dotted}.{node.name}", n_lines, n_parameters))
    return sizes


@pytest.fixture(scope="session")
def rooms() -> dict[str, Room]:
    """The rooms by name."""
    return read_rooms((ROOT / "docs" / "concepts" / "rooms.md").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def modules() -> list[Module]:
    """Every source file of the package."""
    return read_modules()


@pytest.fixture(scope="session")
def sizes(modules: list[Module]) -> list[Size]:
    """The size of every function and method of the package."""
    return function_sizes(modules)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what is over the soft limits: no failure, a reason to look."""
    modules = read_modules()
    lengths = {m.dotted: len(m.path.read_text(encoding="utf-8").splitlines()) for m in modules}
    files = [f"{name} {n}" for name, n in lengths.items() if n > SOFT_FILE]
    bodies = [f"{size.name} {size.n_lines}" for size in function_sizes(modules) if size.n_lines > SOFT_BODY]
    terminalreporter.write_line(f"\nfiles over {SOFT_FILE} lines: {', '.join(files) or 'none'}")
    terminalreporter.write_line(f"bodies over {SOFT_BODY} lines: {', '.join(bodies) or 'none'}")
