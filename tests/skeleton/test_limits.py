"""Sizes of files, functions and signatures, and what stands in no file of ours."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

MAX_FILE, MAX_BODY, MAX_PARAMETERS = 600, 80, 9
ROOM_NAMES = {"utils", "common", "helpers", "misc", "util", "helper"}
CALLS = {"eval", "exec", "__import__"}
MODULES = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal"}
# Written in pieces, so that this file does not hold what it forbids.
TEXT = [
    r"\bTO" + r"DO\b",
    r"\bFIX" + r"ME\b",
    r"(?<![\w.])/work" + r"/",
    r"(?<![\w.])/home" + r"/\w+/",
    r"(?<![\w.])/root" + r"/",
    r"/opt/" + r"(pypi|wheels)",
    r"files\.python" + r"hosted",
]


def offences(tree: ast.AST) -> list[str]:
    """Forbidden imports and calls in a syntax tree, with their lines."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [a.name for a in node.names] + [getattr(node, "module", None) or ""]
            found += [f"{node.lineno} imports {n}" for n in names if n.split(".")[0] in MODULES]
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "id", "")
            if name in CALLS:
                found.append(f"{node.lineno} calls {name}")
            for keyword in node.keywords:
                shell = keyword.arg == "shell" and getattr(keyword.value, "value", None) is True
                unsafe = keyword.arg == "allow_pickle" and getattr(keyword.value, "value", None) is not False
                unsafe |= keyword.arg == "weights_only" and getattr(keyword.value, "value", None) is not True
                if shell or unsafe:
                    found.append(f"{node.lineno} passes {keyword.arg}")
        elif isinstance(node, ast.ExceptHandler) and all(isinstance(s, ast.Pass) for s in node.body):
            found.append(f"{node.lineno} swallows an error with pass")
    return found


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import dump",
        "eval('1')",
        "run('ls', shell=True)",
        "load(f, allow_pickle=True)",
        "try:\n    f()\nexcept ValueError:\n    pass",
    ],
)
def test_the_finder_of_offences_finds_each(code):
    assert offences(ast.parse(code))


def tracked(root: Path) -> list[Path]:
    """The project's own text files: what git knows or would add, else every file under the usual folders."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listing, cwd=root, capture_output=True, text=True, check=False)
    names = done.stdout.splitlines() if done.returncode == 0 else []
    paths = [root / n for n in names] or [p for d in ("src", "tests", "docs") for p in (root / d).rglob("*")]
    return [p for p in paths if p.is_file() and p.suffix in {".py", ".md", ".toml", ".txt", ".html", ".css", ".js", ""}]


def test_no_file_is_longer_than_the_limit(modules):
    lengths = {m.path.name: len(m.path.read_text(encoding="utf-8").splitlines()) for m in modules}
    assert not {name: n for name, n in lengths.items() if n > MAX_FILE}


def test_no_function_is_longer_or_wider_than_the_limit(sizes):
    # A command's options are its parameters (Typer reads the signature), so their number is not limited there.
    wrong = [
        f"{size.name}: {size.n_lines} lines, {size.n_parameters} parameters"
        for size in sizes
        if size.n_lines > MAX_BODY or (size.n_parameters > MAX_PARAMETERS and not size.name.startswith("fiducial.cli."))
    ]
    assert not wrong, wrong


def test_no_room_is_a_drawer(modules):
    wrong = [m.dotted for m in modules if set(m.dotted.split(".")) & ROOM_NAMES]
    assert not wrong, wrong


def test_no_forbidden_import_or_call(modules):
    wrong = [f"{m.dotted}:{offence}" for m in modules for offence in offences(m.tree)]
    assert not wrong, wrong


def test_input_is_never_checked_by_assert(modules):
    wrong = [f"{m.dotted}:{n.lineno}" for m in modules for n in ast.walk(m.tree) if isinstance(n, ast.Assert)]
    assert not wrong, wrong


def test_nothing_is_left_undone_and_no_machine_is_named(root):
    wrong = []
    for path in tracked(root):
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            wrong += [f"{path.relative_to(root)}:{number} {line.strip()[:80]}" for p in TEXT if re.search(p, line)]
    assert not wrong, wrong


def test_every_public_function_says_what_it_does(modules):
    wrong = [
        f"{m.dotted}.{node.name}"
        for m in modules
        for node in m.tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert not wrong, wrong
