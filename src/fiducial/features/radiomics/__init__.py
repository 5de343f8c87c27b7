"""Radiomics by the Image Biomarker Standardisation Initiative, part 1: a region of an image as named numbers."""

from fiducial.features.radiomics.engine import radiomics
from fiducial.features.radiomics.maps import FeatureMaps, radiomics_map
from fiducial.features.radiomics.pyradiomics.settings import PyRadiomicsSettings
from fiducial.features.radiomics.settings import AGGREGATIONS, FAMILIES, Settings

__all__ = [
    "AGGREGATIONS",
    "FAMILIES",
    "FeatureMaps",
    "PyRadiomicsSettings",
    "Settings",
    "radiomics",
    "radiomics_map",
]
