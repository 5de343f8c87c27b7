from collections.abc import Callable
from typing import Any

import pytest

from fiducial.cohort import cohort_digest, split_cohort
from fiducial.errors import InputRefused
from fiducial.records.split import Carve, SplitRule

People = Callable[..., Any]


def counts(cohort: Any, column: str = "split") -> dict[str, int]:
    return cohort.drop_duplicates("subject")[column].value_counts().to_dict()


def test_ten_subjects_are_divided_six_one_one_two(people: People) -> None:
    split = split_cohort(people(10), SplitRule())
    assert counts(split) == {"train": 6, "test": 2, "validation": 1, "calibration": 1}


def test_a_thousand_subjects_meet_the_fractions_exactly(people: People) -> None:
    rule = SplitRule(fractions={"train": 0.5, "validation": 0.25, "test": 0.25})
    assert counts(split_cohort(people(1000), rule)) == {"train": 500, "validation": 250, "test": 250}


def test_all_images_of_a_person_stand_in_one_part(people: People) -> None:
    split = split_cohort(people(40, per=5), SplitRule())
    assert (split.groupby("subject")["split"].nunique() == 1).all()


def test_masks_follow_their_image(people: People) -> None:
    from fiducial.records.tables import COHORT, table

    rows = people(10).to_dict("records")
    masks = [{**row, "image": f"{row['image']}~a", "of": row["image"], "role": "mask"} for row in rows]
    split = split_cohort(table(rows + masks, COHORT), SplitRule())
    by_image = split[split["role"] == "image"].set_index("image")["split"]
    masks = split[split["role"] == "mask"]
    assert (masks["split"].to_numpy() == by_image[masks["of"]].to_numpy()).all()


def test_the_order_of_rows_changes_nothing_and_the_seed_does(people: People) -> None:
    cohort = people(60)
    rule = SplitRule(seed=3, stratify=("sex",), folds=3)
    split = split_cohort(cohort, rule).set_index("image")
    shuffled = split_cohort(cohort.sample(frac=1, random_state=1).reset_index(drop=True), rule).set_index("image")
    assert (split["split"] == shuffled["split"].reindex(split.index)).all()
    assert (split["fold"] == shuffled["fold"].reindex(split.index)).all()
    other = split_cohort(cohort, SplitRule(seed=4)).set_index("image")
    assert (split["split"] != other["split"]).any()
    assert cohort_digest(split.reset_index()) == cohort_digest(cohort)


def test_strata_are_alike_in_every_part(people: People) -> None:
    split = split_cohort(people(400), SplitRule(stratify=("sex",)), labels=("malignant",))
    for part, fraction in SplitRule().fractions.items():
        inside = split[split["split"] == part]
        assert abs(inside["malignant"].sum() - 40 * fraction) <= 1
        assert abs((inside["sex"] == "F").sum() - 200 * fraction) <= 1


def test_numbers_of_many_values_are_stratified_by_quartile(people: People) -> None:
    cohort = people(200)
    cohort["age"] = [20 + i * 0.3 for i in range(200)]
    split = split_cohort(cohort, SplitRule(stratify=("age",)))
    means = split.groupby("split")["age"].mean()
    assert means.max() - means.min() < 6
    unstratified = split_cohort(cohort, SplitRule()).groupby("split")["age"].mean()
    assert unstratified.max() - unstratified.min() > means.max() - means.min()


def test_adding_a_patient_to_a_random_line_moves_few(people: People) -> None:
    before = split_cohort(people(200), SplitRule()).set_index("subject")["split"]
    after = split_cohort(people(201), SplitRule()).set_index("subject")["split"]
    same = (after.reindex(before.index) == before).mean()
    assert same > 0.5


def test_every_subject_is_as_likely_to_be_in_test(people: People) -> None:
    cohort = people(20)
    n_times = sum(
        (split_cohort(cohort, SplitRule(seed=seed)).set_index("subject")["split"] == "test").astype(int)
        for seed in range(200)
    )
    # Binomial(200, 0.2): mean 40, standard deviation 5.7.
    assert n_times.min() > 18
    assert n_times.max() < 63


def test_sites_are_never_divided(people: People) -> None:
    split = split_cohort(people(200, n_sites=10), SplitRule(by="site"))
    assert (split.groupby("site")["split"].nunique() == 1).all()
    assert set(split["split"]) == {"train", "validation", "calibration", "test"}
    assert 80 <= counts(split)["train"] <= 140


def test_folds_divide_train_and_validation(people: People) -> None:
    split = split_cohort(people(100, per=2), SplitRule(folds=5, stratify=("sex",)))
    inside = split["split"].isin(["train", "validation"])
    assert set(split.loc[~inside, "fold"]) == {-1}
    assert counts(split[inside], "fold") == dict.fromkeys(range(5), 14)
    assert (split.groupby("subject")["fold"].nunique() == 1).all()


def test_a_given_split_is_kept_and_calibration_carved_from_it(people: People) -> None:
    cohort = people(40)
    cohort["split"] = ["train"] * 20 + ["validation"] * 12 + ["test"] * 8
    assert split_cohort(cohort, SplitRule(by="given"))["split"].tolist() == cohort["split"].tolist()
    split = split_cohort(cohort, SplitRule(by="given", carve_calibration=Carve(source="validation", fraction=0.25)))
    assert counts(split) == {"train": 20, "validation": 9, "test": 8, "calibration": 3}
    assert set(split.index[split["split"] == "calibration"]) <= set(range(20, 32))
    with pytest.raises(InputRefused, match="there is a calibration part already"):
        split_cohort(split, SplitRule(by="given", carve_calibration=Carve()))


def test_a_person_in_two_given_parts_stays_there_for_the_leak_check(people: People) -> None:
    cohort = people(10, per=2)
    cohort["split"] = ["train", "test"] * 10
    split = split_cohort(cohort, SplitRule(by="given"))
    assert split["split"].tolist() == cohort["split"].tolist()
    with pytest.raises(InputRefused, match=r"0 train subject\(s\) cannot fill 2 parts"):
        split_cohort(cohort, SplitRule(by="given", carve_calibration=Carve(source="train")))


@pytest.mark.parametrize("n", [4, 5, 6, 7])
def test_small_cohorts_fill_every_part(people: People, n: int) -> None:
    assert set(counts(split_cohort(people(n), SplitRule()))) == {"train", "validation", "calibration", "test"}


def test_a_part_without_a_fraction_stays_empty(people: People) -> None:
    split = split_cohort(people(3), SplitRule(fractions={"train": 0.7, "test": 0.3, "validation": 0.0}))
    assert set(split["split"]) == {"train", "test"}


def test_messages(people: People) -> None:
    with pytest.raises(
        InputRefused, match=r"3 subject\(s\) cannot fill 4 parts \(train, validation, calibration, test\)"
    ):
        split_cohort(people(3), SplitRule())
    with pytest.raises(InputRefused, match=r"2 site\(s\) cannot fill 4 parts") as refused:
        split_cohort(people(30, n_sites=2), SplitRule(by="site"))
    assert "split by subject" in str(refused.value)
    with pytest.raises(InputRefused, match="30 subjects have no site"):
        split_cohort(people(30, site=""), SplitRule(by="site"))
    cohort = people(30, per=2)
    cohort.loc[1, "site"] = "elsewhere"
    with pytest.raises(InputRefused, match="1 subjects have images of several sites, first s0000: elsewhere, site0"):
        split_cohort(cohort, SplitRule(by="site"))
    with pytest.raises(InputRefused, match="no column 'stage' to stratify by"):
        split_cohort(people(30), SplitRule(stratify=("stage",)))
    with pytest.raises(InputRefused, match="30 of 30 images have no split, first s0000-0"):
        split_cohort(people(30), SplitRule(by="given"))
    with pytest.raises(InputRefused, match=r"cannot fill 9 parts"):
        split_cohort(people(10), SplitRule(folds=9))
