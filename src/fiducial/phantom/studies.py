"""The study files of the demo, shipped with the package."""

from __future__ import annotations

from importlib.resources import files

from fiducial.errors import InputRefused

STUDIES = ("nodule-segmentation", "nodule-malignancy", "vendor-study")


def study_text(name: str) -> str:
    """The TOML text of a shipped study file.

    Raises:
        InputRefused: an unknown name.
    """
    if name not in STUDIES:
        raise InputRefused(f"study file {name!r}", legal=", ".join(STUDIES))
    return (files("fiducial.phantom") / f"{name}.toml").read_text(encoding="utf-8")
