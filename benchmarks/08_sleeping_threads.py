"""A training step with OpenMP threads that spin, sleep, or do as they please, alone and beside busy processes.

    python benchmarks/08_sleeping_threads.py

``OMP_WAIT_POLICY`` is read when PyTorch is loaded, so each figure is a process of its own: the median of twelve steps
of a small three-dimensional network. The policies take turns three times, so that a drift of the machine shows.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time


def steps() -> float:
    """Median seconds of a training step in this process."""
    import torch
    from torch import nn

    network = nn.Sequential(*[nn.Conv3d(1 if i == 0 else 24, 24, 3, padding=1) for i in range(6)])
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    x = torch.randn(2, 1, 24, 24, 24)
    times = []
    for _ in range(13):
        began = time.perf_counter()
        optimizer.zero_grad()
        network(x).square().mean().backward()
        optimizer.step()
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def main() -> None:
    """Print the four figures."""
    if "--steps" in sys.argv:
        print(steps())
        return
    for n_busy in (0, os.cpu_count() or 1):
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n_busy)]
        try:
            for policy in ("", "ACTIVE", "PASSIVE") * 3:
                run = [sys.executable, __file__, "--steps"]
                environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
                environment |= {"OMP_WAIT_POLICY": policy} if policy else {}
                done = subprocess.run(run, env=environment, check=True, capture_output=True, text=True)
                name = policy.lower() or "default"
                print(f"{n_busy} busy beside, {name:<8}{float(done.stdout) * 1000:8.0f} ms a step", flush=True)
        finally:
            for process in busy:
                process.kill()


if __name__ == "__main__":
    main()
