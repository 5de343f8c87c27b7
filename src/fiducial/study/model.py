"""The frozen records that a study file becomes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from fiducial.errors import StudyError
from fiducial.models import MODEL_TASKS
from fiducial.records.files import sha256_json
from fiducial.records.split import SplitRule
from fiducial.study.groups import BAND_SUFFIX, Group, parse_group
from fiducial.study.vocabulary import METRICS, STATISTICS, Metric, nearest
from fiducial.tasks import TASKS

_POINT_RULES = ("sensitivity", "specificity", "youden", "threshold")


class IllegalWordError(ValueError):
    """A word outside a closed vocabulary; the loader turns it into the message."""

    def __init__(self, word: str, what: str, legal: tuple[str, ...]) -> None:
        super().__init__(f"{word!r} is not {what}; legal: {', '.join(legal)}")
        self.given, self.legal, self.nearest = f"{word!r} is not {what}", legal, nearest(word, legal)


def _word(what: str, legal: tuple[str, ...]) -> AfterValidator:
    def check(word: str) -> str:
        if word not in legal:
            raise IllegalWordError(word, what, legal)
        return word

    return AfterValidator(check)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Purpose(_Frozen):
    """What the model is for, and what it is not for; both stand in the report and the model card."""

    name: str = Field(min_length=1)
    intended_use: str = Field(min_length=1)
    not_for: tuple[str, ...] = ()


class Data(_Frozen):
    """Which images, how they are divided, and which attributes the audit looks at."""

    cohort: str = ""
    inputs: tuple[str, ...] = ()
    split: SplitRule = SplitRule()
    attributes: tuple[str, ...] = ()
    bands: dict[str, tuple[float, ...]] = {}
    on_leak: Literal["refuse", "drop"] = "refuse"
    minimum_n: int = Field(default=10, ge=2)

    @field_validator("bands")
    @classmethod
    def _increasing(cls, bands: dict[str, tuple[float, ...]]) -> dict[str, tuple[float, ...]]:
        for name, edges in bands.items():
            if not edges or any(b <= a for a, b in pairwise(edges)):
                raise ValueError(f"the edges of {name}, {list(edges)}, must increase")
        return bands

    @model_validator(mode="after")
    def _each_attribute_once(self) -> Data:
        twice = sorted({name for name in self.attributes if self.attributes.count(name) > 1})
        if twice:
            raise ValueError(f"attributes names {', '.join(twice)} more than once")
        for name in self.attributes:
            if name == "all" or "=" in name or "&" in name:
                raise ValueError(f"attribute {name!r} cannot be a group's name (no '=', no '&', not 'all')")
        return self


class Region(_Frozen):
    """Look only around a structure: the box of ``mask``, grown by ``margin_mm``."""

    mask: str = Field(min_length=1)
    margin_mm: float = Field(default=0.0, ge=0)


class Task(_Frozen):
    """One task with one or more targets: structures to segment, or label columns to predict."""

    kind: Annotated[str, _word("a task", tuple(TASKS))]
    targets: tuple[str, ...] = Field(min_length=1)
    region: Region | None = None


class Mitigate(_Frozen):
    """Make training fairer to the groups of an attribute: ``reweighing``, ``balanced`` or ``group_dro``."""

    method: Literal["reweighing", "balanced", "group_dro"]
    attribute: str = Field(min_length=1)


class Train(_Frozen):
    """The budget, shared by all networks; the planner turns it into steps once.

    ``model`` empty lets the planner choose. ``folds`` > 1 trains that many networks, each without one fold of train and
    validation; ``seeds`` > 1 that many on the same parts. ``head`` is ``plain`` or ``evidential``.
    """

    minutes: float = Field(default=5.0, gt=0)
    memory_gb: float = Field(default=4.0, gt=0)
    folds: int = Field(default=1, ge=1, le=20)
    seeds: int = Field(default=1, ge=1, le=20)
    seed: int = Field(default=0, ge=0)
    model: str = ""
    head: Literal["plain", "evidential"] = "plain"
    dropout: float = Field(default=0.0, ge=0, lt=1)
    mitigate: Mitigate | None = None

    @model_validator(mode="after")
    def _one_ensemble(self) -> Train:
        if self.folds > 1 and self.seeds > 1:
            raise ValueError(f"folds = {self.folds} and seeds = {self.seeds}; an ensemble is of folds or of seeds")
        return self


class Predict(_Frozen):
    """What is said beside the final answer, as rows by ``member`` or of kind ``embedding``.

    ``views`` > 0 averages that many mirrored and shifted views and notes each; ``draws`` > 0 notes that many answers
    with dropout left on; ``embeddings`` notes where each image lies in the deepest layer; ``maps`` keeps the
    probability map of each structure, in the calibration and the test part.
    """

    views: int = Field(default=0, ge=0, le=14)
    draws: int = Field(default=0, ge=0, le=100)
    embeddings: bool = True
    maps: bool = True


class OperatingPoint(_Frozen):
    """How the threshold is chosen on the calibration part: reach a sensitivity or specificity, Youden, or as given."""

    rule: Annotated[str, _word("a rule", _POINT_RULES)]
    value: float | None = Field(default=None, ge=0, le=1)

    @model_validator(mode="after")
    def _value_where_needed(self) -> OperatingPoint:
        if (self.value is None) != (self.rule == "youden"):
            need = "takes no value" if self.rule == "youden" else "needs a value in [0, 1]"
            raise ValueError(f"rule {self.rule!r} {need}")
        return self


class Uncertainty(_Frozen):
    """What the audit promises and asks of uncertainty, stated before it is measured.

    ``alpha``: the share of patients whose conformal set may miss the truth, and the mean share of a structure that a
    mask may miss. ``largest_risk``: the error that cases may have which no person sees. ``poor_dice``: a mask is wrong
    below it (Zijdenbos et al., IEEE Transactions on Medical Imaging 13 (1994) 716-724, call agreement above 0.7
    excellent).
    """

    alpha: float = Field(default=0.1, gt=0, lt=0.5)
    largest_risk: float = Field(default=0.05, gt=0, lt=1)
    poor_dice: float = Field(default=0.7, gt=0, lt=1)


class Criterion(_Frozen):
    """One acceptance criterion: a metric's statistic, in a group, at least or at most a bound."""

    metric: Annotated[str, _word("a metric", tuple(METRICS))]
    statistic: Annotated[str, _word("a statistic", tuple(STATISTICS))] = "value"
    target: str = ""
    group: str = "all"
    at_least: float | None = None
    at_most: float | None = None

    @property
    def bound(self) -> float:
        """The stated bound."""
        return float(self.at_least if self.at_least is not None else self.at_most or 0.0)

    @property
    def direction(self) -> Literal["at_least", "at_most"]:
        """Which side of the bound is acceptable."""
        return "at_least" if self.at_least is not None else "at_most"

    @property
    def parsed_group(self) -> Group:
        """The group, parsed."""
        return parse_group(self.group)

    @property
    def summary(self) -> str:
        """The statistic in Evidence that this criterion reads: ``value``, ``mean``, ``median`` or ``gap``."""
        if self.statistic in ("gap", "median", "mean"):
            return self.statistic
        return "mean" if METRICS[self.metric].per_case else "value"

    def text(self) -> str:
        """One line: ``auc, low, all: at least 0.85``."""
        words = [self.metric, self.statistic, *([self.target] if self.target else []), self.group]
        return f"{', '.join(words)}: {self.direction.replace('_', ' ')} {self.bound:g}"

    @model_validator(mode="after")
    def _says_one_thing(self) -> Criterion:
        if (self.at_least is None) == (self.at_most is None):
            given = "both at_least and at_most" if self.at_least is not None else "neither at_least nor at_most"
            raise ValueError(f"the criterion has {given}; it needs exactly one")
        wrong = {"low": "at_most", "high": "at_least"}.get(self.statistic)
        if wrong == self.direction:
            raise ValueError(
                f"statistic {self.statistic!r} with {wrong} would pass because the interval is wide; "
                f"use {'at_least' if wrong == 'at_most' else 'at_most'}, or statistic 'value'"
            )
        group = self.parsed_group
        if bool(group.gap) != (self.statistic == "gap"):
            raise ValueError(
                f"statistic {self.statistic!r} with group {self.group!r}: a gap names an attribute alone (sex), "
                "every other statistic names all or groups with values (sex=F)"
            )
        if self.statistic == "gap" and self.at_least is not None:
            raise ValueError("a gap is a difference to be kept small; use at_most")
        metric = METRICS[self.metric]
        if self.statistic == "gap" and metric.better == "target" and not metric.per_case:
            raise ValueError(f"a gap of {self.metric} has no interval; state it for single groups (sex=F)")
        if self.statistic in ("mean", "median") and not metric.per_case:
            raise ValueError(f"{self.metric} has no {self.statistic}: it is one figure over all cases; use 'value'")
        return self


class Study(_Frozen):
    """A study: what is claimed, on which data, within which budget, and what would be accepted."""

    study: Purpose
    data: Data = Data()
    task: Task
    train: Train = Train()
    predict: Predict = Predict()
    operating_point: OperatingPoint | None = None
    uncertainty: Uncertainty = Uncertainty()
    accept: tuple[Criterion, ...] = ()

    _source: Path = PrivateAttr(default=Path())
    _text: str = PrivateAttr(default="")

    @property
    def name(self) -> str:
        """The study's name."""
        return self.study.name

    @property
    def source(self) -> Path:
        """The file it was read from (no part of the fingerprint); ``.`` where it was made in code."""
        return self._source

    @property
    def cohort_folder(self) -> Path:
        """The cohort folder, resolved against the study file's own folder.

        Raises:
            StudyError: ``data.cohort`` is empty.
        """
        if not self.data.cohort:
            raise StudyError(
                "no cohort is named",
                where=f"{self._source}, [data]",
                legal='cohort = "folder"',
                action="name the folder that `fiducial ingest` made",
            )
        return (self._source.parent / Path(self.data.cohort).expanduser()).resolve()

    def canonical(self) -> dict[str, Any]:
        """What the study says, as JSON values, without any path."""
        said = self.model_dump(mode="json")
        del said["data"]["cohort"]
        return said

    def fingerprint(self, cohort_digest: str) -> str:
        """SHA-256 over what the study says and the digest of its cohort; moving files does not change it."""
        return sha256_json({"study": self.canonical(), "cohort": cohort_digest})

    def to_toml(self) -> str:
        """The study as TOML: the file's own text with its comments, as long as it still says the same."""
        from fiducial.study.load import still_says
        from fiducial.study.toml import toml_text

        return self._text if still_says(self._text, self) else toml_text(self)

    @model_validator(mode="after")
    def _parts_agree(self) -> Study:
        for name in self.data.attributes:
            column = name.removesuffix(BAND_SUFFIX)
            if name.endswith(BAND_SUFFIX) and self.data.bands and column not in self.data.bands:
                raise IllegalWordError(column, "banded (data.bands)", tuple(self.data.bands))
        models = MODEL_TASKS.get(self.task.kind, ())
        if self.train.model and self.train.model not in models:
            raise IllegalWordError(self.train.model, f"a model for {self.task.kind} (train.model)", models)
        self._check_training()
        for number, criterion in enumerate(self.accept, start=1):
            self._check_criterion(criterion, METRICS[criterion.metric], f"accept {number}")
        return self

    def _check_training(self) -> None:
        """What training and prediction are asked for, against task, split and attributes."""
        train, split = self.train, self.data.split
        if split.folds > 1 and train.folds not in (1, split.folds):
            raise ValueError(f"train.folds = {train.folds} and data.split.folds = {split.folds} disagree; say it once")
        if train.head == "evidential" and self.task.kind != "classification":
            raise IllegalWordError(train.head, f"a head for {self.task.kind} (train.head)", ("plain",))
        if self.predict.draws and not train.dropout:
            raise ValueError("predict.draws needs train.dropout above 0: without dropout every draw is the same")
        several = max(train.folds, train.seeds) > 1
        if (self.predict.draws and (self.predict.views or several)) or (self.predict.views and several):
            raise ValueError("rows by member are of networks (folds, seeds), draws or views; ask for one of them")
        if train.mitigate is None:
            return
        if train.mitigate.attribute not in self.data.attributes:
            name = train.mitigate.attribute
            raise IllegalWordError(name, "an attribute of this study (train.mitigate)", self.data.attributes)
        if self.task.kind != "classification" and train.mitigate.method != "balanced":
            what = f"a mitigation for {self.task.kind} (train.mitigate): its loss is of a batch, not of a case"
            raise IllegalWordError(train.mitigate.method, what, ("balanced",))
        if train.mitigate.method == "reweighing" and len(self.task.targets) > 1:
            raise ValueError("train.mitigate: reweighing is for one target; use balanced or group_dro for several")

    def _check_criterion(self, criterion: Criterion, metric: Metric, where: str) -> None:
        """A criterion against task, targets, attributes and operating point."""
        if metric.family != self.task.kind:
            of_kind = tuple(m.name for m in METRICS.values() if m.family == self.task.kind)
            raise IllegalWordError(metric.name, f"a metric of {self.task.kind} ({where})", of_kind)
        if criterion.target and criterion.target not in self.task.targets:
            raise IllegalWordError(criterion.target, f"a target of this study ({where})", self.task.targets)
        for name in criterion.parsed_group.attributes:
            if name not in self.data.attributes:
                raise IllegalWordError(name, f"an attribute of this study ({where}, group)", self.data.attributes)
        if metric.needs_point and self.operating_point is None:
            raise ValueError(
                f"{where}: {metric.name} exists only at a threshold; add [operating_point] "
                'with rule = "sensitivity", "specificity", "youden" or "threshold"'
            )
