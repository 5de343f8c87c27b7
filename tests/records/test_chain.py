"""A hash chain over rows names what was done to them."""

from __future__ import annotations

import hashlib
import json

import pandas as pd
import pytest

from fiducial.errors import IntegrityError
from fiducial.records.chain import START, chain_from_json, chain_of, json_rows, row_changes

COLUMNS = ("check", "value", "n")


@pytest.fixture
def rows():
    """Ten rows, two of them alike."""
    made = [{"check": "auc", "value": k / 8, "n": k} for k in range(10)]
    return [*made[:9], dict(made[2])]


def changes(rows, chain):
    return [(c.how, c.row, c.was, c.columns) for c in row_changes(rows, chain)]


# by hand


def test_two_links_by_hand():
    one, two = {"check": "a", "value": 0.5}, {"value": None, "check": "é"}
    chain = chain_of([one, two], ("check", "value"))
    first = hashlib.sha256(f'{START}\n{{"check":"a","value":0.5}}'.encode()).hexdigest()
    second = hashlib.sha256(f'{first}\n{{"check":"\\u00e9","value":null}}'.encode()).hexdigest()
    assert chain.links == (first, second)
    assert chain.head == second
    assert chain_of([], ()).head == START


def test_a_table_becomes_json_values():
    frame = pd.DataFrame({"a": [1.5, float("nan"), float("inf")], "n": [1, 2, 3], "t": ["x", "", "z"]})
    rows = json_rows(frame)
    assert rows[1] == {"a": None, "n": 2, "t": ""}
    assert rows[2]["a"] is None
    assert type(rows[0]["n"]) is int
    json.dumps(rows, allow_nan=False)


# laws


def test_the_rows_that_made_it_do_not_differ_from_it(rows):
    chain = chain_of(rows, COLUMNS)
    assert row_changes(json.loads(json.dumps(rows)), chain) == []
    assert chain_from_json(json.loads(json.dumps(chain.to_json())), where="x") == chain


@pytest.mark.parametrize("place", range(10))
@pytest.mark.parametrize("column", COLUMNS)
def test_one_edited_cell_is_named_by_row_and_column(rows, place, column):
    chain = chain_of(rows, COLUMNS)
    rows[place] = {**rows[place], column: "other"}
    assert changes(rows, chain) == [("changed", place + 1, place + 1, (column,))]


@pytest.mark.parametrize("place", range(10))
def test_a_removed_and_an_added_row_are_named(rows, place):
    chain = chain_of(rows, COLUMNS)
    assert changes(rows[:place] + rows[place + 1 :], chain) == [("removed", place + 1, place + 1, ())]
    more = [*rows[:place], {"check": "new"}, *rows[place:]]
    assert changes(more, chain) == [("added", place + 1, 0, ())]


def test_two_swapped_rows_are_named(rows):
    chain = chain_of(rows, COLUMNS)
    rows[1], rows[6] = rows[6], rows[1]
    assert changes(rows, chain) == [("moved", 2, 7, ()), ("moved", 7, 2, ())]


def test_several_edits_are_told_apart(rows):
    chain = chain_of(rows, COLUMNS)
    edited = [rows[0], {**rows[1], "n": 99}, rows[2], rows[3], *rows[5:8], {"check": "new"}, *rows[8:]]
    assert changes(edited, chain) == [("changed", 2, 2, ("n",)), ("removed", 5, 5, ()), ("added", 8, 0, ())]


def test_a_row_that_is_wholly_another_is_a_change(rows):
    chain = chain_of(rows, COLUMNS)
    rows[3] = {"check": "x", "value": "y", "n": "z"}
    assert changes(rows, chain) == [("changed", 4, 4, COLUMNS)]


def test_a_key_that_is_no_column_is_still_found(rows):
    chain = chain_of(rows, COLUMNS)
    rows[3] = {**rows[3], "note": "trust me"}
    assert changes(rows, chain) == [("changed", 4, 4, ())]


def test_the_same_rows_in_another_chain_are_other_links(rows):
    assert chain_of(rows, COLUMNS).links[-1] != chain_of(rows[1:], COLUMNS).links[-1]


def test_a_large_table_edited_everywhere_is_answered(rows):
    many = [{"check": "auc", "value": k, "n": 0} for k in range(3000)]
    chain = chain_of(many, COLUMNS)
    found = row_changes([{**row, "n": 1} for row in many], chain)
    assert len(found) == 3000
    assert {change.how for change in found} == {"changed"}
    assert len(row_changes(many[::-1], chain)) >= 2999


# what is not a chain


@pytest.mark.parametrize(
    "held",
    [
        None,
        [],
        {"columns": [], "links": ["a"], "cells": []},
        {"columns": [], "links": "abc", "cells": []},
        {"columns": [], "links": [1], "cells": [1]},
        {"columns": [], "links": ["a"], "cells": ["b"], "head": "c"},
    ],
)
def test_what_is_not_a_chain_is_refused(held):
    with pytest.raises(IntegrityError, match="evidence"):
        chain_from_json(held, where="evidence.json")
