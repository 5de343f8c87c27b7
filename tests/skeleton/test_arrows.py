"""Imports between rooms follow the table, and torch stays where the table says."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

BESIDE = {"errors", "__version__", "RESEARCH_USE"}
TORCH = {"torch", "monai", "lightning_fabric", "torchvision"}
DISTRIBUTION = {
    "PIL": "pillow",
    "skimage": "scikit-image",
    "SimpleITK": "simpleitk",
    "sklearn": "scikit-learn",
    "pywt": "pywavelets",
    "yaml": "pyyaml",
}


def imported(tree: ast.AST, dotted: str, is_package: bool) -> Iterator[tuple[str, int]]:
    """Every imported dotted name with its line, wherever the import stands; relative ones are made absolute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = dotted.split(".")[: None if is_package and node.level == 1 else -(node.level - is_package)]
                base = ".".join([*parts, base]).strip(".")
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)


def rooms_reached(tree: ast.AST, dotted: str = "fiducial.x.y", is_package: bool = False) -> set[str]:
    """The rooms (or names beside them) of the package that a file imports."""
    names = (name.split(".") for name, _ in imported(tree, dotted, is_package))
    return {parts[1] for parts in names if parts[0] == "fiducial" and len(parts) > 1}


@pytest.mark.parametrize(
    ("code", "reached"),
    [
        ("import fiducial.audit.roc", {"audit"}),
        ("from fiducial import audit, errors", {"audit", "errors"}),
        ("def f():\n    from fiducial.train.run import train_study", {"train"}),
        ("from ..audit import roc", {"audit"}),
        ("from . import z", {"x"}),
        ("import numpy", set()),
    ],
)
def test_the_reader_of_imports_finds_each_kind(code, reached):
    assert rooms_reached(ast.parse(code)) == reached


def test_the_table_goes_only_downwards(rooms):
    for room in rooms.values():
        assert room.may_import <= set(rooms), f"{room.name} may import a room that is not in the table"
        for name in room.may_import:
            assert rooms[name].level < room.level, f"{room.name} -> {name} does not go down a level"


def test_every_folder_is_a_room_of_the_table(rooms, modules):
    assert {m.room for m in modules} - {""} <= set(rooms)


def test_every_import_follows_the_table(rooms, modules):
    wrong = []
    for module in modules:
        if not module.room:
            continue
        allowed = rooms[module.room].may_import | {module.room} | BESIDE
        reached = rooms_reached(module.tree, module.dotted, module.path.name == "__init__.py")
        wrong += [f"{module.dotted} -> {name}" for name in sorted(reached - allowed)]
    assert not wrong, "arrows that docs/concepts/rooms.md does not allow: " + ", ".join(wrong)


def test_files_beside_the_rooms_import_none(modules):
    wrong = [m.dotted for m in modules if not m.room and rooms_reached(m.tree, m.dotted, True) - BESIDE]
    assert not wrong


def test_torch_is_imported_only_where_the_table_says(rooms, modules):
    wrong = [
        f"{module.path.name}:{line} imports {name}"
        for module in modules
        for name, line in imported(module.tree, module.dotted, module.path.name == "__init__.py")
        if name.split(".")[0] in TORCH and not (module.room and rooms[module.room].may_import_torch(module.path))
    ]
    assert not wrong, wrong


PARTS = {
    "fiducial.archive.sources.": "pacs",
    "fiducial.archive.export.": "objects",
    "fiducial.phantom.planted": "objects",
    "fiducial.features.radiomics.": "radiomics",
    "fiducial.features.signature.": "radiomics",
    "fiducial.compute.cluster": "cluster",
}
"""Packages whose files may import what their extra installs."""


def test_what_the_core_imports_is_a_core_dependency(rooms, modules, root: Path):
    """The core installs without its extras: `[train]` is for files that may import torch, others for their part."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]

    def names(lines: list[str]) -> set[str]:
        return {re.split(r"[<>=!~\[; ]", line)[0].lower() for line in lines}

    core = names(project["dependencies"])
    extras = {name: core | names(lines) for name, lines in project["optional-dependencies"].items()}
    wrong = []
    for module in modules:
        torch = bool(module.room) and rooms[module.room].may_import_torch(module.path)
        for name, line in imported(module.tree, module.dotted, module.path.name == "__init__.py"):
            top = name.split(".")[0]
            if top in sys.stdlib_module_names or top == "fiducial":
                continue
            part = next((extra for prefix, extra in PARTS.items() if module.dotted.startswith(prefix)), "")
            allowed = extras["train"] if torch else extras.get(part, core)
            if DISTRIBUTION.get(top, top).lower().replace("_", "-") not in allowed:
                wrong.append(f"{module.dotted}:{line} imports {top}")
    assert not wrong, "not among the dependencies of its part: " + ", ".join(wrong)


LOADED = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
    bad = sorted({m.split(".")[0] for m in sys.modules} & %r)
    if bad:
        sys.exit(f"importing {name} loads {', '.join(bad)}")
"""


def loads(names: list[str], forbidden: set[str]) -> str:
    """Import modules one after the other in a fresh interpreter; the first that loads something forbidden, or ''."""
    script = LOADED % (forbidden,)
    done = subprocess.run([sys.executable, "-c", script, *names], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def test_the_torch_probe_can_fail():
    assert loads(["fiducial", "json"], {"json"}) == "importing json loads json" or "json" in loads(["json"], {"json"})


def test_importing_a_torch_free_file_loads_no_torch(rooms, modules):
    names = [
        m.dotted
        for m in modules
        if not m.room or m.path.name == "__init__.py" or not rooms[m.room].may_import_torch(m.path)
    ]
    assert len(names) > 20
    assert loads(names, TORCH) == ""


def test_importing_the_package_and_the_command_line_is_light():
    heavy = TORCH | {"numpy", "pandas", "scipy", "pandera", "pyarrow", "matplotlib", "pydantic"}
    assert loads(["fiducial", "fiducial.errors"], heavy) == ""
    assert loads(["fiducial.cli.main"], heavy) == ""


def test_importing_a_room_loads_nothing_heavy(rooms):
    heavy = TORCH | {"pandas", "matplotlib", "skimage", "pandera", "pyarrow", "SimpleITK", "sklearn"}
    wrong = [answer for name in rooms if (answer := loads([f"fiducial.{name}"], heavy))]
    assert not wrong, wrong
