"""What a model must offer to be audited or served: one method."""

from __future__ import annotations

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
