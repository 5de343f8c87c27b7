"""Files that other projects keep because they are difficult are answered as the page in the docs says."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| (\S.*?) \| ((?:\d+ x )?(?:accepted|repaired|rejected).*?) \|$", re.MULTILINE)


@pytest.fixture(scope="module")
def tool():
    """tools/dicom_files.py."""
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        yield importlib.import_module("dicom_files")
    finally:
        sys.path.remove(str(ROOT / "tools"))


@pytest.fixture(scope="module")
def page():
    """Answers of the page, by section and file."""
    text = (ROOT / "docs/reference/dicom-files.md").read_text(encoding="utf-8")
    pydicom, _, objects = text.partition("## highdicom's test files")
    return dict(ROW.findall(pydicom)), dict(ROW.findall(objects))


def test_files_of_pydicom(tool, page):
    answers = dict(tool.pydicom_rows())
    assert {name: said for name, said in page[0].items() if answers.get(name) != said} == {}
    assert set(answers) == set(page[0])


@pytest.mark.real_data
def test_objects_of_highdicom(tool, page, data):
    answers = dict(tool.object_rows(data))
    assert {name: said for name, said in page[1].items() if answers.get(name) != said} == {}
    assert set(answers) == set(page[1])


def test_nothing_is_unexpected(page):
    assert len(page[0]) > 90
    assert not [name for part in page for name, said in part.items() if "unexpected" in said or "worker-died" in said]
