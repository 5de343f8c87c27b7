"""The wheel: a core without torch that changes no version in somebody's environment."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

TRAIN_ONLY = {"torch", "monai", "lightning-fabric", "safetensors", "torchvision"}


def ran(command: list[str | Path], cwd: Path | None = None) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory) -> Path:
    """The wheel, built from the working tree."""
    out = tmp_path_factory.mktemp("wheel")
    ran([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, root])
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def requirements(wheel: Path) -> list[Requirement]:
    """What the wheel asks for."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(archive.read(name).decode())
    return [Requirement(text) for text in metadata.get_all("Requires-Dist") or []]


def extra_of(requirement: Requirement) -> str:
    """The extra that a requirement belongs to; empty for the core."""
    return "" if requirement.marker is None else str(requirement.marker).split('"')[1]


def test_the_core_needs_no_torch(requirements):
    core = {r.name.lower() for r in requirements if not extra_of(r)}
    assert {"numpy", "pandas", "scipy", "typer"} <= core
    assert not core & TRAIN_ONLY


def test_it_asks_for_ranges_and_never_for_one_version(requirements):
    for requirement in requirements:
        operators = {clause.operator for clause in requirement.specifier}
        assert not operators & {"==", "===", "~="}, str(requirement)


def test_it_holds_what_the_package_reads_at_run_time(wheel, root):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    source = root / "src"
    wanted = {
        p.relative_to(source).as_posix() for p in source.rglob("*") if p.is_file() and "__pycache__" not in p.parts
    }
    assert wanted <= names
    assert "fiducial/py.typed" in names
    assert not [n for n in names if n.startswith("tests")]


def test_installing_it_here_would_change_nothing_else(wheel, tmp_path):
    report = tmp_path / "report.json"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-index", "--report", report, wheel]
    ran(pip)
    changed = {item["metadata"]["name"] for item in json.loads(report.read_text())["install"]}
    assert changed <= {"fiducial"}


def test_constraints_pin_everything_that_is_installed_for_this_project(root):
    """What `make pins` would write stands in the file; a CUDA build's own libraries may come on top."""
    script = "import sys; sys.path.insert(0, 'tools'); import pins; print(pins.constraints())"
    reached = {line for line in ran([sys.executable, "-c", script], root).splitlines() if "==" in line}
    stated = set((root / "constraints.txt").read_text().splitlines())
    of_a_build = ("nvidia", "triton", "cuda")
    assert {pin for pin in reached - stated if not pin.startswith(of_a_build)} == set()


# An older MONAI with the NumPy and pandas of its day, and nnU-Net as it comes; torch first, as their users have it.
ENVIRONMENTS = {
    "older-monai": [
        "monai==1.4.0",
        "numpy==1.26.4",
        "pandas==2.2.3",
        "scipy==1.13.1",
        "matplotlib==3.8.4",
        "nibabel==5.2.1",
    ],
    "nnunet": ["nnunetv2"],
}


def frozen(python: Path) -> dict[str, str]:
    """Installed versions by name."""
    lines = ran([python, "-m", "pip", "list", "--format", "json"])
    return {item["name"].lower(): item["version"] for item in json.loads(lines)}


@pytest.mark.slow
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_installing_the_core_changes_no_version(name, wheel, tmp_path):
    ran([sys.executable, "-m", "venv", tmp_path / "venv"])
    python = tmp_path / "venv" / "bin" / "python"
    ran([python, "-m", "pip", "install", "--quiet", "torch==2.13.0"])
    ran([python, "-m", "pip", "install", "--quiet", *ENVIRONMENTS[name]])
    before = frozen(python)
    ran([python, "-m", "pip", "install", "--quiet", wheel])
    after = frozen(python)
    assert {n: after.get(n) for n in before} == before
    assert "fiducial" in after
    ran([python, "-m", "pip", "check"]) if name == "older-monai" else None
    assert "Audit" in ran([python.parent / "fiducial", "audit", "--help"])
    ran([python, "-c", "import fiducial, sys; sys.exit('torch' in sys.modules)"])


@pytest.mark.slow
def test_the_core_audits_where_there_is_no_torch_at_all(wheel, tmp_path):
    ran([sys.executable, "-m", "venv", tmp_path / "venv"])
    python = tmp_path / "venv" / "bin" / "python"
    ran([python, "-m", "pip", "install", "--quiet", wheel])
    assert not set(frozen(python)) & TRAIN_ONLY
    make = "from fiducial.phantom.vendor import vendor_table; vendor_table(200)[0].to_csv('vendor.csv', index=False)"
    ran([python, "-c", make], tmp_path)
    fiducial = python.parent / "fiducial"
    ran([fiducial, "audit", "vendor.csv", "--out", "audit", "--replicates", "200", "--quiet"], tmp_path)
    ran([fiducial, "report", "audit"], tmp_path)
    assert (tmp_path / "audit" / "report.html").stat().st_size > 10_000
