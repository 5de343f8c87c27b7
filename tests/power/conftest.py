"""The harness of power, loaded from tools/."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from fiducial.audit import CHECKS

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture(scope="session")
def tools() -> Iterator[Path]:
    """The folder of tools, importable while the tests run."""
    if not (TOOLS / "power.py").is_file():
        pytest.skip("tools/power.py is not here")
    sys.path.insert(0, str(TOOLS))
    yield TOOLS
    sys.path.remove(str(TOOLS))


@pytest.fixture(scope="session")
def power(tools: Path) -> ModuleType:
    """tools/power.py."""
    return importlib.import_module("power")


@pytest.fixture(scope="session")
def interval_coverage(tools: Path) -> ModuleType:
    """tools/interval_coverage.py."""
    return importlib.import_module("interval_coverage")


@pytest.fixture(params=list(CHECKS))
def check(request: pytest.FixtureRequest) -> str:
    """Every check in turn."""
    return str(request.param)
