"""Study files: read, checked, and answered with file, table, key and the nearest legal word."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from fiducial.errors import StudyError
from fiducial.study.model import IllegalWordError, Study
from fiducial.study.vocabulary import did_you_mean

_WHOLE_STUDY = "study file"


def load_study(path: str | Path) -> Study:
    """Read a study file.

    Raises:
        StudyError: the file is missing, is not TOML (with the line), or says something that is not legal (with
            table, key, line, the legal set and the nearest legal word).
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(
            f"cannot be read ({error})", where=str(path), legal="a TOML file in UTF-8", action="give a study file"
        ) from error
    return parse_study(text, source=path)


def parse_study(text: str, *, source: Path = Path("study.toml")) -> Study:
    """Make a study from TOML text; ``source`` is named in messages and resolves relative paths."""
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StudyError(
            f"not valid TOML: {error}", where=str(source), legal="see docs/reference/study-file.md"
        ) from error
    try:
        study = Study.model_validate(said)
    except ValidationError as error:
        raise _refusal(error, text, source) from error
    study._source, study._text = source, text
    return study


def still_says(text: str, study: Study) -> bool:
    """Whether ``text`` is TOML that says exactly what ``study`` says (it may have been changed in code since)."""
    if not text:
        return False
    return Study.model_validate(tomllib.loads(text)).model_dump() == study.model_dump()


def _refusal(error: ValidationError, text: str, source: Path) -> StudyError:
    """The first problem as a message with place and advice; the others are listed after it."""
    problems = error.errors(include_url=False)
    # An unknown key explains a missing one (at_lest and at_least), so it is told first.
    problems.sort(key=lambda problem: problem["type"] != "extra_forbidden")
    given, legal, action = _told(problems[0])
    more = [f"{_place(problem['loc'])}: {_told(problem)[0]}" for problem in problems[1:]]
    if more:
        action = "; ".join(part for part in (action, f"then mend {'; '.join(more)}") if part)
    where = f"{source}{_line(text, problems[0]['loc'])}, {_place(problems[0]['loc'])}"
    return StudyError(given, where=where, legal=legal, action=action)


def _told(problem: Mapping[str, Any]) -> tuple[str, str, str]:
    """What is wrong, what is legal, what to do."""
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "extra_forbidden":
        key, legal = str(problem["loc"][-1]), _legal_keys(problem["loc"][:-1])
        close = did_you_mean(key, legal)
        return f"unknown {'table' if isinstance(problem['input'], dict) else 'key'} {key!r}", ", ".join(legal), close
    error = context.get("error")
    if isinstance(error, IllegalWordError):
        close = f"did you mean {error.nearest!r}?" if error.nearest else ""
        return error.given, ", ".join(error.legal) or "(none is declared)", close
    if kind == "missing":
        return "is missing", "", "add it"
    if kind == "literal_error":
        legal_text = str(context["expected"])
        words = re.findall(r"'([^']*)'", legal_text)
        return f"{problem['input']!r} is not legal", legal_text, did_you_mean(str(problem["input"]), words)
    if kind == "value_error":
        return str(error), "", ""
    return f"{problem['input']!r}: {problem['msg'][0].lower()}{problem['msg'][1:]}", "", ""


def _place(loc: tuple[str | int, ...]) -> str:
    """``[data] split.by``, ``[[accept]] number 2, metric``, or ``study file`` for the whole."""
    if not loc:
        return _WHOLE_STUDY
    head, rest = str(loc[0]), list(loc[1:])
    if rest and isinstance(rest[0], int):
        number = rest.pop(0)
        place = f"[[{head}]] number {int(number) + 1}"
        return f"{place}, {'.'.join(map(str, rest))}" if rest else place
    return f"[{head}] {'.'.join(map(str, rest))}".rstrip()


def _line(text: str, loc: tuple[str | int, ...]) -> str:
    """``, line 12`` where the last key of ``loc`` is written on exactly one line; tomllib keeps no positions."""
    names = [part for part in loc if isinstance(part, str)]
    if not names:
        return ""
    key = re.escape(names[-1])
    pattern = re.compile(rf"^\s*\[*\s*([\w.\-]+\.)?{key}\s*\]|^([^#]*[\s{{,.])?\"?{key}\"?\s*=")
    lines = [number for number, line in enumerate(text.splitlines(), start=1) if pattern.search(line)]
    return f", line {lines[0]}" if len(lines) == 1 else ""


def _legal_keys(loc: tuple[str | int, ...]) -> list[str]:
    """The keys of the table at ``loc``, in the order of the study file."""
    model: type[BaseModel] = Study
    for part in loc:
        if isinstance(part, str) and part in model.model_fields:
            inner = _table_in(model.model_fields[part].annotation)
            if inner is None:
                return []
            model = inner
    return list(model.model_fields)


def _table_in(annotation: Any) -> type[BaseModel] | None:
    """The record class inside ``Region | None`` or ``tuple[Criterion, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _table_in(part))), None)
