"""What the core does not bring: said before work begins, with the command that installs it."""

from __future__ import annotations

from importlib.util import find_spec

from fiducial.errors import InputRefused

EXTRAS = {
    "torch": "train",
    "monai": "train",
    "lightning_fabric": "train",
    "safetensors": "train",
    "highdicom": "objects",
    "numba": "radiomics",
    "pywt": "radiomics",
    "yaml": "radiomics",
    "sklearn": "radiomics",
    "ray": "cluster",
}
"""The extra that installs a module."""


def require_modules(*names: str) -> None:
    """Refuse to begin where a module of an extra is not installed.

    Raises:
        InputRefused: the first module that is absent, and what installs it.
    """
    for name in names:
        if find_spec(name) is None:
            raise InputRefused(
                f"this needs {name}, which is not installed", action=f"pip install 'fiducial[{EXTRAS[name]}]'"
            )
