"""PyRadiomics' profile: its settings, its definitions and its names, for a table that can take the place of one of its.

Stated of version 3.0.1 (van Griethuysen et al. 2017). Where a definition differs from the standard's, the row says so.
"""

from fiducial.features.radiomics.pyradiomics.parameters import parameters_of, read_parameters
from fiducial.features.radiomics.pyradiomics.settings import PyRadiomicsSettings

__all__ = ["PyRadiomicsSettings", "parameters_of", "read_parameters"]
