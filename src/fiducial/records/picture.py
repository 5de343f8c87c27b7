"""A picture of one case, as the report shows it, and the folder that a run keeps its pictures in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fiducial.errors import UnreadableFile
from fiducial.records.files import atomic_path, read_json, write_json

PICTURE_KIND = Literal["best", "typical", "worst"]
INDEX = "pictures.json"


@dataclass(frozen=True)
class Picture:
    """A PNG of one case.

    ``case`` is the image's pseudonym, ``caption`` one or two plain sentences without identifiers, ``png`` the file's
    bytes and ``kind`` why this case is shown.
    """

    case: str
    caption: str
    png: bytes
    kind: PICTURE_KIND = "typical"


def write_pictures(pictures: Iterable[Picture], folder: str | Path) -> Path:
    """Write ``NN-kind.png`` and an index beside them; returns the index. Names of cases never become file names."""
    folder = Path(folder)
    rows = []
    for number, picture in enumerate(pictures, start=1):
        name = f"{number:02d}-{picture.kind}.png"
        with atomic_path(folder / name) as part:
            part.write_bytes(picture.png)
        rows.append({"file": name, "case": picture.case, "caption": picture.caption, "kind": picture.kind})
    write_json(folder / INDEX, rows)
    return folder / INDEX


def read_pictures(folder: str | Path) -> tuple[Picture, ...]:
    """Read what `write_pictures` wrote; a folder without an index holds no pictures.

    Raises:
        UnreadableFile: the index names a file that is not in the folder.
    """
    folder = Path(folder)
    if not (folder / INDEX).is_file():
        return ()
    pictures = []
    for row in read_json(folder / INDEX):
        file = folder / Path(row["file"]).name
        if not file.is_file():
            raise UnreadableFile("a picture is missing", where=str(file), action="audit the run again")
        pictures.append(Picture(row["case"], row["caption"], file.read_bytes(), row["kind"]))
    return tuple(pictures)
