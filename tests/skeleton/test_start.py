"""The package starts fast: what a user pays before anything happens."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest


def fastest(command: list[str], repeats: int = 5) -> float:
    """Shortest wall-clock time of a command in seconds: the one least disturbed by other work on the machine."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return min(times)


@pytest.mark.parametrize(
    ("code", "limit_s"), [("import fiducial", 0.3), ("from fiducial.cli.main import main; main(['--help'])", 0.5)]
)
def test_start_times_beyond_the_interpreter(code, limit_s):
    bare = fastest([sys.executable, "-c", "pass"])
    assert fastest([sys.executable, "-c", code]) - bare < limit_s
