"""A spin-echo MR of a phantom patient, drawn from the CT: two tissue constants for each density."""

from __future__ import annotations

import numpy as np

from fiducial.records.image import Image

ECHOES_MS = (12.0, 96.0)
_HU = (-1000.0, -850.0, -100.0, 0.0, 50.0, 300.0, 1000.0)
_PROTONS = (0.0, 0.15, 0.90, 1.00, 0.80, 0.40, 0.10)
_T2_MS = (30.0, 30.0, 70.0, 200.0, 45.0, 40.0, 20.0)
_GREY = 1000.0


def render_mr(ct: Image, echo_ms: float) -> Image:
    """The signal 1000 · protons · exp(-TE / T2) of each voxel, as whole numbers [1, x, y, z] on the CT's grid.

    Proton density and T2 are piecewise linear in HU (air, lung, fat, water, muscle, spongy and dense bone), with
    values of the order that 1.5 T tissue has; they are drawn to tell echoes apart, not measured.
    """
    hu = ct.array.astype(np.float32)
    signal = _GREY * np.interp(hu, _HU, _PROTONS) * np.exp(-echo_ms / np.interp(hu, _HU, _T2_MS))
    return Image(np.rint(signal).astype(np.int16), ct.geometry, "MR", "")
