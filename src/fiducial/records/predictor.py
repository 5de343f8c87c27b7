"""What a model must offer to be audited or served: one method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Predictor(Protocol):
    """Anything that maps prepared voxels to probabilities."""

    def __call__(self, voxels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map ``voxels`` [channel, x, y, z] to probabilities.

        Segmentation gives [class, x, y, z] on the same grid; classification gives [class]. Values lie in [0, 1].
        """
        ...


@dataclass(frozen=True)
class Answer:
    """All that a model says of one case.

    ``probabilities`` [class, ...] is the final answer; ``members`` holds the answers of single networks, draws or
    views by name (empty where nobody asked for them); ``uncertainty`` [target] in [0, 1] is what the model says of its
    own doubt (None: it says nothing); ``embedding`` [coordinate] is where the case lies in the deepest layer (None: not
    asked for).
    """

    probabilities: NDArray[np.float32]
    members: dict[str, NDArray[np.float32]]
    uncertainty: NDArray[np.float32] | None = None
    embedding: NDArray[np.float32] | None = None
