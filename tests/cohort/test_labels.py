from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fiducial.cohort.labels import join_labels, read_labels
from fiducial.errors import LabelError, LeakError, TableError

People = Callable[..., Any]


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str, encoding: str = "utf-8") -> Path:
        path = tmp_path / "labels.csv"
        path.write_text(text, encoding=encoding)
        return path

    return write


def test_labels_by_subject_reach_all_images_and_masks(people: People, file: Any) -> None:
    cohort = people(3, per=2)
    cohort.loc[1, ["role", "of"]] = ["mask", "s0000-0"]
    joined = join_labels(cohort, file("subject,stage,split\ns0000,II,train\ns0001,III,val\ns0002,I,test\n"))
    assert joined.cohort["stage"].tolist() == ["II", "II", "III", "III", "I", "I"]
    assert joined.cohort["split"].tolist() == ["train"] * 2 + ["validation"] * 2 + ["test"] * 2
    assert joined.unmatched == ()


def test_labels_by_image_may_say_who_it_is(people: People, file: Any) -> None:
    joined = join_labels(people(2), file("image,subject,finding\ns0000-0,anna,1\ns0001-0.png,anna,0\n"))
    assert joined.cohort["subject"].tolist() == ["anna", "anna"]
    assert joined.cohort["finding"].tolist() == [1, 0]
    assert joined.notes == ("subject: the labels file differs from the images for 2 rows and is used",)


def test_every_id_without_a_partner_is_listed(people: People, file: Any) -> None:
    joined = join_labels(people(3), file("subject,stage\ns0000,1\nx7,2\ns0001,3\nx9,4\n"))
    assert joined.unmatched == (
        "labels.csv row 2: subject x7 has no image",
        "labels.csv row 4: subject x9 has no image",
        "subject s0002 has no row in labels.csv",
    )
    assert joined.cohort["stage"].isna().tolist() == [False, False, True]


def test_raw_ids_of_patients_are_mapped_and_never_named(people: People, file: Any) -> None:
    given = file("subject,stage\nMUSTERMANN-1,1\nMUSTERMANN-2,2\nMUSTERMANN-9,3\n")
    names = {"MUSTERMANN-1": "s0000", "MUSTERMANN-2 ": "s0001"}
    joined = join_labels(people(3), given, pseudonyms=names)
    assert joined.cohort["stage"].tolist()[:2] == [1, 2]
    assert joined.unmatched == (
        "labels.csv row 3: its subject has no image",
        "subject s0002 has no row in labels.csv",
    )
    with pytest.raises(LabelError) as refused:
        join_labels(people(3), given, pseudonyms={})
    assert "MUSTERMANN" not in str(refused.value)


def test_leading_zeros_semicolons_and_a_byte_order_mark(people: People, file: Any) -> None:
    cohort = people(2)
    cohort["subject"] = ["007", "08"]
    joined = join_labels(cohort, file("subject;age\n007;50\n08;61\n", "utf-8-sig"))
    assert joined.cohort["age"].tolist() == [50, 61]


def test_the_file_wins_over_the_header_and_says_so(people: People, file: Any) -> None:
    cohort = people(3)
    cohort["age"] = [50.0, 61.0, 70.0]
    joined = join_labels(cohort, file("subject,sex,age\ns0000,M,50\ns0001,M,62\ns0002,,\n"))
    assert joined.cohort["sex"].tolist() == ["M", "M", "F"]
    assert joined.cohort["age"].tolist() == [50, 62, 70]
    assert joined.notes == (
        "sex: the labels file differs from the images for 1 rows and is used",
        "age: the labels file differs from the images for 1 rows and is used",
    )


def test_rows_that_say_the_same_twice_are_one(file: Any) -> None:
    frame, key = read_labels(file("subject,stage\na,1\na,1\nb,2\n"))
    assert key == "subject"
    assert frame["subject"].tolist() == ["a", "b"]


def test_a_column_called_label_is_a_label_like_any_other(people: People, file: Any) -> None:
    joined = join_labels(people(3), file("subject,label\ns0000,benign\ns0001,malignant\n"))
    assert joined.cohort["label"].tolist()[:2] == ["benign", "malignant"]
    assert joined.cohort["mask_value"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("patient,stage\na,1\n", r"labels\.csv: no column image or subject; it has patient, stage"),
        ("subject,sha256\ns0000,1\n", r"column\(s\) sha256, which the cohort fills itself"),
        ("subject,stage\n,1\n", "row 1, column subject: an empty id"),
        ("subject,split\ns0000,train\ns0001,later\n", r"row 2, column split: 'later'(.|\n)*calibration"),
        ("subject,stage\ns0000,1\ns0001,1\ns0000,2\n", "rows 1, 3: rows of one subject differ in stage"),
    ],
)
def test_messages(people: People, file: Any, text: str, message: str) -> None:
    with pytest.raises(TableError, match=message):
        join_labels(people(3), file(text))


def test_a_person_whose_rows_name_two_splits_is_a_leak(people: People, file: Any) -> None:
    with pytest.raises(LeakError, match="rows 1, 2: one subject stands in two splits: test, train"):
        join_labels(people(3), file("subject,split\ns0000,train\ns0000,test\n"))


def test_no_match_at_all_is_refused_with_an_example_of_each(people: People, file: Any) -> None:
    with pytest.raises(
        LabelError, match="no subject of the labels file matches an image: 's0000' in the images, 'x1' in"
    ):
        join_labels(people(3), file("subject,stage\nx1,1\n"))
    with pytest.raises(LabelError, match="the file has no rows"):
        join_labels(people(3), file("subject,stage\n"))


def test_a_file_that_is_absent_or_no_csv_is_refused(people: People, tmp_path: Path, file: Any) -> None:
    with pytest.raises(TableError, match="no such file"):
        join_labels(people(3), tmp_path / "absent.csv")
    with pytest.raises(TableError, match="rows with more values than the header names"):
        join_labels(people(3), file("subject,a\n1,2,3,4\n1\n"))
    path = file("")
    path.write_bytes(b"\xff\xfe\x00subject")
    with pytest.raises(TableError, match="not a readable CSV"):
        join_labels(people(3), path)
