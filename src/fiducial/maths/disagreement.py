"""How far the members of an ensemble disagree about a case."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def disagreement(members: NDArray[np.float32], *, exclusive: bool) -> NDArray[np.float32]:
    """How far members differ: entropy of their mean less their mean entropy, as a share of the largest possible.

    This is the mutual information of answer and member (Houlsby et al., 2011; Depeweg et al., ICML 2018), divided by
    the logarithm of the number of classes: 0 where all say the same, 1 where each is sure of another class.

    Args:
        members: [member, class] probabilities.
        exclusive: whether the classes of a member sum to 1 (one value), or are yes or no each (one value per class).

    Returns:
        [target] in [0, 1].
    """
    p = members.astype(np.float64)
    p = p[:, None, :] if exclusive else np.stack([1 - p, p], axis=-1)  # [member, target, class]

    def entropy(q: NDArray[np.float64]) -> NDArray[np.float64]:
        inside: NDArray[np.float64] = -(q * np.log(np.clip(q, 1e-12, 1))).sum(axis=-1)
        return inside

    shared = entropy(p.mean(axis=0)) - entropy(p).mean(axis=0)
    result: NDArray[np.float32] = np.clip(shared / np.log(p.shape[-1]), 0, 1).astype(np.float32)
    return result
