"""Segmentation: which voxels belong to a structure."""
