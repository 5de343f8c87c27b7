"""The first call on a machine compiles, and says so; later ones do not."""

from __future__ import annotations

import os
import subprocess
import sys

CALL = """
from fiducial.features.radiomics import first_time
from fiducial.features.radiomics.kernels import steps_to_border
import numpy as np

print("before", first_time.compiled_before(steps_to_border))
first_time.announce(steps_to_border)
first_time.announce(steps_to_border)
steps_to_border(np.ones((2, 2, 2), dtype=bool), False)
print("after", first_time.compiled_before(steps_to_border))
"""


def run(folder):
    """A process of its own with an empty or filled cache."""
    env = os.environ | {"NUMBA_CACHE_DIR": str(folder)}
    done = subprocess.run([sys.executable, "-c", CALL], env=env, capture_output=True, text=True, check=True)
    return done.stdout.split(), done.stderr


def test_without_the_compiler_nothing_is_compiled():
    env = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", CALL], env=env, capture_output=True, text=True, check=True)
    assert (done.stdout.split(), done.stderr) == (["before", "True", "after", "True"], "")


def test_who_waits_for_the_compiler_is_told_once(tmp_path):
    said, errors = run(tmp_path)
    assert said == ["before", "False", "after", "True"]
    assert errors.count("compiling the loops of radiomics, once on this machine") == 1
    said, errors = run(tmp_path)
    assert said == ["before", "True", "after", "True"]
    assert errors == ""
