"""Attributes from a second table: joined by id, with what matched nobody kept and named."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fiducial.audit.given import Unmatched
from fiducial.errors import TableError

if TYPE_CHECKING:
    import pandas as pd


def join_attributes(rows: pd.DataFrame, given: pd.DataFrame, *, where: str) -> tuple[pd.DataFrame, Unmatched]:
    """``rows`` with the columns of a table keyed by ``image`` or ``subject``; its columns win over equal names.

    Args:
        rows: one row per image, with ``image`` and ``subject``.
        given: the table; ids as text. A column ``split`` is left out; ``subject`` beside ``image`` is a column too.
        where: what to call the table in messages.

    Returns:
        The rows, in their order, and the ids of the table that none of them has.

    Raises:
        TableError: there is no key, an id has two rows that differ, or no id matches.
    """
    key = next((name for name in ("image", "subject") if name in given.columns), "")
    if not key:
        named = ", ".join(map(str, given.columns))
        raise TableError(f"no key column; it has {named}", where=where, legal="image or subject")
    given = given.assign(**{key: given[key].map(str)}).drop_duplicates()
    known = set(rows[key].map(str))
    lost = sorted(set(given[key]) - known)
    if len(lost) == given[key].nunique():
        first = given[key].iloc[0] if len(given) else "(no row)"
        raise TableError(
            f"no {key} matches: {first!r} here, {rows[key].iloc[0]!r} in what is audited",
            where=f"{where}, column {key}",
            action=f"use the same {key} ids in both",
        )
    twice = given[key].duplicated(keep=False)
    if twice.any():
        raise TableError(
            f"{key} {given.loc[twice, key].iloc[0]!r} has two rows that differ", where=where, legal=f"one row per {key}"
        )
    columns = [name for name in given.columns if name not in (key, "split")]
    kept = rows.drop(columns=[name for name in columns if name in rows.columns])
    without = sorted(known - set(given[key]))
    merged = kept.merge(given[[key, *columns]], on=key, how="left", validate="many_to_one")
    return merged, Unmatched(key, given[key].nunique(), tuple(lost), _nearly(lost, without))


def _nearly(lost: list[str], without: list[str]) -> tuple[tuple[str, str], ...]:
    """Ids of the table and of the rows that differ only in case, space, leading zeros or punctuation."""
    plain = {_plain(name): name for name in without}
    return tuple((name, plain[_plain(name)]) for name in lost if _plain(name) in plain)


def _plain(name: str) -> str:
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[\W_]+", "", name.casefold()))
