"""Write constraints.txt: exact pins of what the extras in `HEADER` and their build need, as installed here.

Run by `make pins` in an environment whose tests are green. Only what the requirements reach is pinned: a package
that happens to lie in the environment is not.
"""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
BUILD = ("hatchling", "editables", "pip")
HEADER = """\
# Exact pins of `.[train,codecs,pacs,radiomics,objects,cluster,dev]` and of its build: one environment, tested together.
# Written by `make pins`. Only this project's own set-up uses it; the wheel itself asks for ranges.
# PyTorch comes first (the Makefile installs it by itself, so that an index for CPU builds can be named).
"""


def reached(requirements: list[Requirement]) -> dict[str, str]:
    """Installed versions of everything that the requirements reach, markers and extras honoured."""
    pins: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(r, e) for r in requirements for e in ("", *r.extras)]
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            found = distribution(name)
        except PackageNotFoundError:
            sys.exit(f"{requirement} is not installed here: run `make setup` first")
        # A local version label (such as +cpu) names one build; the pin must fit every build of that version.
        pins[name] = found.version.split("+")[0]
        for text in found.requires or []:
            child = Requirement(text)
            if child.marker is None or child.marker.evaluate({"extra": extra}):
                waiting += [(child, e) for e in ("", *child.extras)]
    return pins


def constraints() -> str:
    """The text of the constraints file for this environment."""
    pins = reached([Requirement("fiducial[train,codecs,pacs,radiomics,objects,cluster,dev]"), *map(Requirement, BUILD)])
    pins.pop("fiducial")
    torch = pins.pop("torch")
    return HEADER + f"torch=={torch}\n" + "".join(f"{name}=={pins[name]}\n" for name in sorted(pins))


if __name__ == "__main__":
    (ROOT / "constraints.txt").write_text(constraints(), encoding="utf-8")
