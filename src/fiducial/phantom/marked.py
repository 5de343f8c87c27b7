"""Pictures with a burned-in marker: a finding that can be seen, and a corner letter that a model may read instead.

Each picture shows a bright disc on an uneven ground. The disc of an event is larger on average, with overlap: the best
use of its radius has an AUC of 0.83. A letter stands in the corner of some pictures. How much more frequent it is
among events is what is planted; at 0 it says nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

SIDE = 28
RADIUS = (4.0, 6.0)
"""Mean radius in pixels without and with the finding."""
SPREAD = 1.5
"""Standard deviation of the radius; AUC of the radius = Phi(2 / (1.5 sqrt 2)) = 0.83."""
GREY = 22.0
"""Standard deviation of the noise in grey levels."""


def draw_marked(n: int, *, seed: int, association: float) -> tuple[NDArray[np.uint8], pd.DataFrame]:
    """Draw pictures of ``n`` persons, half of them events.

    Args:
        n: number of pictures, one each.
        seed: of everything.
        association: P(marker | event) - P(marker | no event), in [-1, 1]; half of all pictures are marked.

    Returns:
        Pictures [n, x, y], and a table of ``subject``, ``image``, ``finding`` (0 or 1) and ``marker`` (yes or no).
    """
    import pandas as pd

    generator = np.random.default_rng([seed, n])
    event = generator.permutation(np.arange(n) % 2)
    marked = generator.random(n) < 0.5 + association * (event - 0.5)
    radius = np.clip(generator.normal(np.take(RADIUS, event), SPREAD), 1.5, 12.0)
    centre = generator.uniform(SIDE * 0.5, SIDE * 0.65, (n, 2))
    grid = np.arange(SIDE)
    away = np.hypot(grid[:, None] - centre[:, :1, None], grid - centre[:, 1:, None])
    disc = 1 / (1 + np.exp(np.clip(away - radius[:, None, None], -30, 30)))
    ground = np.kron(generator.normal(0, 18, (n, 7, 7)), np.ones((SIDE // 7, SIDE // 7)))
    grey = 80 + ground + 70 * disc + generator.normal(0, GREY, (n, SIDE, SIDE))
    letter = np.zeros((SIDE, SIDE), dtype=bool)
    letter[1:7, 1:3] = letter[5:7, 1:5] = True
    grey[marked[:, None, None] & letter] = 250
    names = [f"m{seed:03d}-{k:04d}" for k in range(n)]
    said = {"subject": names, "image": names, "finding": event, "marker": np.where(marked, "yes", "no")}
    return np.clip(grey, 0, 255).astype(np.uint8), pd.DataFrame(said)


def write_marked(out: Path, n: int, *, seed: int, association: float, split: str = "") -> Path:
    """Write the pictures into ``out/images`` (PNG) and the table as ``out/labels.csv``; ``split`` is that of all."""
    from PIL import Image

    pictures, said = draw_marked(n, seed=seed, association=association)
    (out / "images").mkdir(parents=True)
    for name, picture in zip(said["image"], pictures, strict=True):
        Image.fromarray(picture).save(out / "images" / f"{name}.png")
    (said.assign(split=split) if split else said).to_csv(out / "labels.csv", index=False)
    return out
