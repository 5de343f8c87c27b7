"""The study file: what it becomes, and how a misspelt one is answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from fiducial.errors import StudyError
from fiducial.study import Criterion, Study, load_study, parse_study

TEXT = """
# a comment that survives
[study]
name = "nodule-malignancy"
intended_use = "Second reader: rank lung nodules on low-dose CT in adults aged 50 to 80"
not_for = ["children", "contrast CT"]

[data]
cohort = "cohort"
inputs = ["CT"]
split = {by = "subject", fractions = {train = 0.6, validation = 0.1, calibration = 0.1, test = 0.2}, seed = 7}
attributes = ["sex", "age_band", "site"]
bands = {age = [50, 65, 80]}

[task]
kind = "classification"
targets = ["malignant"]
region = {mask = "nodule", margin_mm = 15}

[train]
minutes = 5
memory_gb = 4

[operating_point]
rule = "sensitivity"
value = 0.90

[[accept]]
metric = "auc"
statistic = "low"
at_least = 0.85

[[accept]]
metric = "sensitivity"
group = "sex"
statistic = "gap"
at_most = 0.05
"""


def refused(old: str, new: str) -> str:
    assert old in TEXT
    with pytest.raises(StudyError) as caught:
        parse_study(TEXT.replace(old, new, 1), source=Path("here/study.toml"))
    return str(caught.value)


def test_the_sketch_of_the_architecture_is_read_as_written(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(TEXT)
    study = load_study(path)
    assert study.name == "nodule-malignancy"
    assert study.data.split.fractions["test"] == 0.2
    assert study.data.bands == {"age": (50.0, 65.0, 80.0)}
    assert study.task.region is not None
    assert study.task.region.margin_mm == 15
    assert [c.bound for c in study.accept] == [0.85, 0.05]
    assert [c.direction for c in study.accept] == ["at_least", "at_most"]
    assert study.accept[1].parsed_group.gap == "sex"
    assert study.cohort_folder == tmp_path / "cohort"
    assert study.source == path


def test_a_study_cannot_be_changed() -> None:
    study = parse_study(TEXT)
    with pytest.raises(ValueError, match="frozen"):
        study.train.minutes = 99  # type: ignore[misc]


def test_text_is_kept_with_its_comments_until_the_study_changes() -> None:
    study = parse_study(TEXT)
    assert study.to_toml() == TEXT
    longer = study.model_copy(update={"train": study.train.model_copy(update={"minutes": 15.0})})
    assert "comment" not in longer.to_toml()
    assert parse_study(longer.to_toml()).model_dump() == longer.model_dump()


@pytest.mark.parametrize("name", ['quote " and \\ backslash', "new\nline", "ünïcode ☢ 𝄞", "tab\t"])
def test_written_toml_reads_back_equal(name: str) -> None:
    study = parse_study(TEXT)
    made = Study(study=study.study.model_copy(update={"name": name}), task=study.task)
    assert parse_study(made.to_toml()).model_dump() == made.model_dump()


def test_fingerprint_follows_what_is_said_and_the_cohort_but_no_path() -> None:
    study = parse_study(TEXT, source=Path("a/study.toml"))
    moved = parse_study(TEXT.replace('cohort = "cohort"', 'cohort = "/elsewhere"'), source=Path("b/other.toml"))
    stricter = parse_study(TEXT.replace("at_least = 0.85", "at_least = 0.86"))
    assert study.fingerprint("c1") == moved.fingerprint("c1")
    assert study.fingerprint("c1") != study.fingerprint("c2")
    assert study.fingerprint("c1") != stricter.fingerprint("c1")
    assert study.fingerprint("c1") == parse_study("# other comment\n" + TEXT).fingerprint("c1")


def test_criterion_in_one_line() -> None:
    assert parse_study(TEXT).accept[0].text() == "auc, low, all: at least 0.85"


def test_only_purpose_and_task_are_required() -> None:
    text = '[study]\nname = "a"\nintended_use = "b"\n[task]\nkind = "segmentation"\ntargets = ["liver"]\n'
    study = parse_study(text)
    assert study.accept == ()
    assert study.data.split.by == "subject"
    with pytest.raises(StudyError, match="no cohort is named"):
        _ = study.cohort_folder


# Messages: file, line, table, key, legal set and nearest word.


def test_misspelt_key_is_answered_with_the_nearest() -> None:
    message = refused("attributes =", "atributes =")
    assert "here/study.toml, line 12, [data] atributes: unknown key 'atributes'" in message
    assert "did you mean 'attributes'?" in message
    assert "minimum_n" in message


def test_misspelt_key_in_a_nested_table() -> None:
    message = refused('{by = "subject"', '{buy = "subject"')
    assert "line 11, [data] split.buy" in message
    assert "did you mean 'by'?" in message


def test_misspelt_table() -> None:
    message = refused("[operating_point]", "[operating_points]")
    assert "unknown table 'operating_points'" in message
    assert "did you mean 'operating_point'?" in message


def test_misspelt_key_of_a_criterion_names_its_number() -> None:
    message = refused("at_most = 0.05", "at_mots = 0.05")
    assert "[[accept]] number 2, at_mots" in message
    assert "did you mean 'at_most'?" in message


def test_misspelt_metric() -> None:
    message = refused('metric = "sensitivity"', 'metric = "sensitvity"')
    assert "[[accept]] number 2, metric: 'sensitvity' is not a metric" in message
    assert "did you mean 'sensitivity'?" in message
    assert "dice" in message


def test_misspelt_statistic() -> None:
    assert "did you mean 'gap'?" in refused('statistic = "gap"', 'statistic = "gaps"')


def test_metric_of_another_task() -> None:
    message = refused('metric = "auc"', 'metric = "dice"')
    assert "'dice' is not a metric of classification (accept 1)" in message


def test_group_of_an_undeclared_attribute() -> None:
    message = refused('group = "sex"', 'group = "sxe"')
    assert "'sxe' is not an attribute of this study (accept 2, group)" in message
    assert "did you mean 'sex'?" in message


def test_criterion_needs_exactly_one_bound() -> None:
    assert "neither at_least nor at_most" in refused("at_least = 0.85", "")
    assert "both at_least and at_most" in refused("at_least = 0.85", "at_least = 0.85\nat_most = 0.9")


def test_several_problems_are_all_told() -> None:
    with pytest.raises(StudyError) as caught:
        parse_study(TEXT.replace("minutes = 5", "minutes = -5").replace("at_least", "at_lest"))
    assert "did you mean 'at_least'?" in str(caught.value)
    assert "then mend [train] minutes" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('statistic = "gap"', 'statistic = "high"', "a gap names an attribute alone"),
        ('group = "sex"', 'group = "sex=F"', "a gap names an attribute alone"),
        ('group = "sex"', 'group = "sex=F&sex=M"', "names an attribute twice"),
        ('group = "sex"', 'group = "sex=F&site"', "is not a group"),
        ("at_most = 0.05", "at_least = 0.05", "use at_most"),
        ("at_least = 0.85", "at_most = 0.85", "would pass because the interval is wide"),
        ('statistic = "low"', 'statistic = "median"', "auc has no median"),
        ("value = 0.90", "", "needs a value"),
        ("value = 0.90", "value = 90", "less than or equal to 1"),
        ('rule = "sensitivity"', 'rule = "youden"', "takes no value"),
        ('rule = "sensitivity"', 'rule = "sensitivty"', "did you mean 'sensitivity'"),
        ('kind = "classification"', 'kind = "classify"', "did you mean 'classification'"),
        ('by = "subject"', 'by = "subjects"', "did you mean 'subject'"),
        ("test = 0.2}", "test = 0.3}", "sum to 1"),
        ("[50, 65, 80]", "[65, 50]", "must increase"),
        ("[50, 65, 80]", "[]", "must increase"),
        ("bands = {age", "bands = {weight", "is not banded"),
        ('targets = ["malignant"]', "targets = []", "at least 1 item"),
        ('name = "nodule-malignancy"', "", "[study] name: is missing"),
        ("memory_gb = 4", 'model = "resnets"', "did you mean 'resnet'"),
        ("memory_gb = 4", 'model = "resunet"', "is not a model for classification"),
        ('metric = "sensitivity"', 'metric = "calibration_slope"', "a gap of calibration_slope has no interval"),
        ('"sex", "age_band"', '"sex", "sex"', "more than once"),
        ('[operating_point]\nrule = "sensitivity"\nvalue = 0.90', "", "exists only at a threshold"),
    ],
)
def test_illegal_words(old: str, new: str, message: str) -> None:
    assert message in refused(old, new)


def test_toml_syntax_error_has_its_line() -> None:
    assert "line 21" in refused("minutes = 5", "memory = = 5")


def test_missing_file_and_wrong_encoding(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"nowhere\.toml: cannot be read"):
        load_study(tmp_path / "nowhere.toml")
    (tmp_path / "latin.toml").write_bytes("name = 'é'".encode("latin-1"))
    with pytest.raises(StudyError, match="UTF-8"):
        load_study(tmp_path / "latin.toml")


def test_criterion_target_must_be_a_target() -> None:
    message = refused('metric = "auc"', 'metric = "auc"\ntarget = "malign"')
    assert "did you mean 'malignant'?" in message


def test_zero_is_a_legal_bound() -> None:
    assert Criterion(metric="dice", at_least=0.0).bound == 0.0
    assert Criterion(metric="hd95", at_most=0.0).direction == "at_most"


BUDGET = "minutes = 5\nmemory_gb = 4\n"


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ("folds = 3\nseeds = 2", "an ensemble is of folds or of seeds"),
        ("folds = 30", "less than or equal to 20"),
        ("dropout = 1.0", "less than 1"),
        ('head = "evidental"', "did you mean 'evidential'"),
        ('mitigate = {method = "reweigh", attribute = "sex"}', "did you mean 'reweighing'"),
        ('mitigate = {method = "balanced", attribute = "sx"}', "did you mean 'sex'"),
        ("[predict]\ndraws = 5", "predict.draws needs train.dropout above 0"),
        ("dropout = 0.1\n[predict]\ndraws = 5\nviews = 4", "ask for one of them"),
        ("seeds = 2\n[predict]\nviews = 4", "ask for one of them"),
        ("[predict]\nviews = 15", "less than or equal to 14"),
    ],
)
def test_what_training_and_prediction_cannot_do_together_is_refused(train: str, message: str) -> None:
    assert message in refused(BUDGET, f"{BUDGET}{train}\n")


def test_what_a_task_cannot_learn_is_refused() -> None:
    masks = """
[study]
name = "m"
intended_use = "m"
[data]
attributes = ["sex"]
[task]
kind = "segmentation"
targets = ["liver"]
[train]
"""
    for asked, message in (
        ('head = "evidential"', "a head for segmentation"),
        ('mitigate = {method = "group_dro", attribute = "sex"}', "its loss is of a batch, not of a case"),
    ):
        with pytest.raises(StudyError, match=message):
            parse_study(masks + asked)
    assert parse_study(masks + 'mitigate = {method = "balanced", attribute = "sex"}').train.mitigate is not None


def test_reweighing_is_for_one_target_and_folds_are_said_once() -> None:
    text = TEXT.replace('targets = ["malignant"]', 'targets = ["malignant", "solid"]')
    with pytest.raises(StudyError, match="reweighing is for one target"):
        parse_study(text.replace(BUDGET, f'{BUDGET}mitigate = {{method = "reweighing", attribute = "sex"}}\n'))
    with pytest.raises(StudyError, match="disagree; say it once"):
        parse_study(TEXT.replace("seed = 7}", "seed = 7, folds = 4}").replace(BUDGET, f"{BUDGET}folds = 5\n"))
