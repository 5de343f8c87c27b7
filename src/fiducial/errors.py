"""The error tree: what Fiducial refuses, and how it says so.

FiducialError
 ├── InputRefused            the input cannot be used (command line: exit code 2)
 │    ├── UnreadableFile     a file is truncated, of another format or not supported
 │    ├── TableError         a table breaks its schema
 │    ├── GeometryError      an image and a mask do not lie on one grid
 │    ├── VoxelError         voxels are NaN or infinite, or an image is empty
 │    ├── StudyError         a study file says something that is not legal
 │    ├── LabelError         labels are missing or cannot train or audit a model
 │    ├── LeakError          one patient or one image stands in two splits
 │    ├── ContractError      an image breaks a run's input contract
 │    ├── IntegrityError     a file of a run differs from its recorded digest
 │    └── RunMismatch        a run belongs to another study, cohort or plan
 └── CaseFailed              one case of many failed (set aside and named, never a stop)
"""

from __future__ import annotations


class FiducialError(Exception):
    """Base of every error that Fiducial raises on purpose."""


class InputRefused(FiducialError):
    """An input that cannot be used.

    ``given`` says what was found, ``where`` names its file, row, column or tag, ``legal`` what would have been
    accepted and ``action`` what to do; empty parts are left out of the message.
    """

    def __init__(self, given: str, *, where: str = "", legal: str = "", action: str = "") -> None:
        super().__init__(given, where, legal, action)
        self.given = given
        self.where = where
        self.legal = legal
        self.action = action

    def __str__(self) -> str:
        text = f"{self.where}: {self.given}" if self.where else self.given
        for label, part in (("legal", self.legal), ("what to do", self.action)):
            if part:
                text += f"\n  {label}: {part}"
        return text

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.given, self.where, self.legal, self.action))


def _rebuild(kind: type[InputRefused], given: str, where: str, legal: str, action: str) -> InputRefused:
    """Rebuild a refusal that crossed a process boundary (keyword-only arguments do not travel by default)."""
    return kind(given, where=where, legal=legal, action=action)


class UnreadableFile(InputRefused):
    """A file is truncated, of another format or of a kind that is not supported."""


class TableError(InputRefused):
    """A table breaks its schema; ``where`` names file, row and column."""


class GeometryError(InputRefused):
    """Two things that must share a voxel grid do not; the message shows both grids."""


class VoxelError(InputRefused):
    """An image holds NaN or infinite voxels, or none at all."""


class StudyError(InputRefused):
    """A study file says something that is not legal."""


class LabelError(InputRefused):
    """Labels are missing, or are not enough to train or audit with."""


class LeakError(InputRefused):
    """One patient or one image stands in more than one split."""


class ContractError(InputRefused):
    """An image breaks the input contract that a run was trained under."""


class IntegrityError(InputRefused):
    """A file of a run is missing or differs from the digest recorded in ``run.json``."""


class RunMismatch(InputRefused):
    """A run folder belongs to another study, cohort or plan."""


class CaseFailed(FiducialError):
    """One case could not be processed; ``map_cases`` sets it aside and goes on."""
