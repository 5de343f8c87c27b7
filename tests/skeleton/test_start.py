"""The package starts lightly: what a user pays before anything happens. `benchmarks/06_start_up.py` measures it."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("numpy", "pandas", "scipy", "torch", "monai", "pydicom", "SimpleITK", "matplotlib", "skimage", "numba")


@pytest.mark.parametrize(
    "code", ["import fiducial", "from fiducial.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass"]
)
def test_nothing_heavy_is_loaded(code):
    shown = "import sys\n" + code + f"\nprint('LOADED', *[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", shown], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1].split() == ["LOADED"]
