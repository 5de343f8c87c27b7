"""Compile the loops of the profile, or load them from the cache on disk."""

from __future__ import annotations

import numpy as np


def warm_up_profile() -> None:
    """For images of single and of double precision."""
    from fiducial.features.radiomics.pyradiomics.diameters import diameters
    from fiducial.features.radiomics.pyradiomics.first_order import first_order_of
    from fiducial.features.radiomics.pyradiomics.matrices import several_in_a_line, tones_of
    from fiducial.features.radiomics.pyradiomics.recursive_gaussian import laplacian
    from fiducial.features.radiomics.pyradiomics.wavelets import wavelet_bands

    box = (slice(0, 1), slice(0, 1), slice(0, 1))
    for kind in (np.float32, np.float64):
        image = np.ones((4, 4, 4), dtype=kind)
        laplacian(image, (1.0, 1.0, 1.0), 1.0, box)
        list(wavelet_bands(image, "haar", box, (0, 1, 2), start_level=0, n_levels=1))
    one = np.ones((1, 1, 1), dtype=np.int64)
    first_order_of(np.ones(1), one[0, 0], 1.0, 0.0)
    several_in_a_line(one.astype(np.int32), np.array([1, 0, 0]))
    tones_of(np.ones((1, 1, 2), dtype=np.int64))
    diameters(one == 1, (1.0, 1.0, 1.0))
