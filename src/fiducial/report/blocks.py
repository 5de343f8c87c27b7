"""What a page is made of: a few kinds of block, each of which the template knows how to set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from fiducial.records.picture import Picture
from fiducial.report.figures.svg import Drawing

TONE = Literal["body", "note", "missing", "warning"]


@dataclass(frozen=True)
class Cell:
    """One cell: a text, a smaller second line, a link inside the page, a verdict's mark, or trusted SVG."""

    text: str = ""
    small: str = ""
    href: str = ""
    verdict: str = ""
    svg: str = ""
    strong: bool = False
    anchor: str = ""


@dataclass(frozen=True)
class Column:
    """A column's heading and whether it holds numbers (set right, figures of equal width)."""

    label: str
    numeric: bool = False
    narrow: bool = False


@dataclass(frozen=True)
class Table:
    """A table in a container of its own that scrolls where the page is narrow."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    kind: str = ""
    block: str = "table"


@dataclass(frozen=True)
class Facts:
    """Pairs of name and value."""

    pairs: Sequence[tuple[str, str]]
    title: str = ""
    mono: bool = False
    block: str = "facts"


@dataclass(frozen=True)
class Text:
    """A paragraph; ``missing`` says why something that a reader expects is not there."""

    text: str
    tone: TONE = "body"
    block: str = "text"


@dataclass(frozen=True)
class Listing:
    """A short list of sentences."""

    items: Sequence[str]
    title: str = ""
    block: str = "listing"


@dataclass(frozen=True)
class Heading:
    """A heading inside a section."""

    text: str
    block: str = "heading"


@dataclass(frozen=True)
class Figures:
    """Figures beside each other where there is room."""

    drawings: Sequence[Drawing]
    block: str = "figures"


@dataclass(frozen=True)
class Beside:
    """One figure with its table beside it where there is room."""

    drawing: Drawing
    blocks: Sequence[Block]
    block: str = "beside"


@dataclass(frozen=True)
class Pictures:
    """Pictures of cases of one kind."""

    title: str
    pictures: Sequence[Picture]
    block: str = "pictures"


@dataclass(frozen=True)
class Fold:
    """Blocks behind a line that opens; shown open on paper."""

    summary: str
    blocks: Sequence[Block]
    block: str = "fold"


@dataclass(frozen=True)
class Terms:
    """Glossary entries: key, term, meaning."""

    entries: Sequence[tuple[str, str, str]]
    block: str = "terms"


Block = Table | Facts | Text | Listing | Heading | Figures | Beside | Pictures | Fold | Terms


@dataclass(frozen=True)
class Section:
    """A numbered part of the report."""

    key: str
    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)
    lead: str = ""
