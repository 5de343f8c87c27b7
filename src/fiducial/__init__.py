"""Fiducial: medical images to a model whose evidence can be signed. For research use only."""

from __future__ import annotations

__version__ = "0.1.0"
RESEARCH_USE = "For research use only. Not a medical device; not for diagnosis or treatment."
