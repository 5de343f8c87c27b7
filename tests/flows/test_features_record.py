"""What a table of features was made with: written beside it, read back, and never believed of another table."""

from __future__ import annotations

import json

import pytest

from fiducial.errors import IntegrityError
from fiducial.features.radiomics import Settings
from fiducial.flows.features_record import read_record, record_path, write_record


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "features.parquet"
    path.write_bytes(b"a table")
    return path


def test_what_is_written_is_read(table):
    settings = Settings(bin_number=32).model_dump(mode="json")
    assert write_record(table, settings, [("a~tumour", "empty-mask: no voxel")]) == record_path(table)
    said = read_record(table)
    assert said.settings == settings
    assert said.set_aside == (("a~tumour", "empty-mask: no voxel"),)
    assert {"python", "fiducial", "numpy"} <= set(said.versions)
    assert not said.changed


def test_another_table_under_the_same_name_is_seen(table):
    write_record(table, {}, [])
    table.write_bytes(b"another table")
    assert read_record(table).changed


def test_no_record_is_no_error(table):
    assert read_record(table) is None


@pytest.mark.parametrize("text", ["[]", '{"schema": 2}', '{"schema": 1}', "{", '{"schema": 1, "schema": 1}'])
def test_any_other_json_is_refused(table, text):
    record_path(table).write_text(text)
    with pytest.raises(IntegrityError, match=r"record|JSON"):
        read_record(table)


def test_odd_parts_of_a_record_are_left_out(table):
    write_record(table, {}, [])
    held = json.loads(record_path(table).read_text())
    held |= {"settings": 3, "versions": [], "set_aside": ["a", {"region": "b"}]}
    record_path(table).write_text(json.dumps(held))
    said = read_record(table)
    assert (said.settings, said.versions, said.set_aside) == ({}, {}, (("b", ""),))
