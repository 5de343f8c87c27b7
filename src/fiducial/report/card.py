"""The model card as Markdown, for a repository or a register."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fiducial import RESEARCH_USE
from fiducial.report import provenance, rows, wording
from fiducial.report.given import ReportInput
from fiducial.report.page import evidence_digest, identity
from fiducial.report.rows import Row

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|!$~])")


def model_card(given: ReportInput) -> str:
    """Intended use, exclusions, limits, verdicts, figures, data and environment as Markdown.

    Names from tables are escaped, so that they cannot become markup. The same input gives the same text.
    """
    found = rows.numbered(given.evidence)
    lines = [f"# Model card: {_safe(given.title)}", "", _safe(RESEARCH_USE), ""]
    if given.phantom:
        lines += ["**Phantom data: these patients do not exist.**", ""]
    lines += [f"- {_safe(name)}: {_safe(value)}" for name, value in identity(given, evidence_digest(given.evidence))]
    lines += ["", "## Intended use", ""]
    if given.study is None:
        lines.append("Not stated: there is no study file.")
    else:
        lines.append(_safe(given.study.study.intended_use))
        lines += [
            "",
            "Not for:",
            "",
            *(f"- {_safe(use)}" for use in given.study.study.not_for or ("nothing was excluded",)),
        ]
    lines += ["", "## Acceptance criteria", "", _safe(wording.verdict_sentence(rows.verdict_counts(found))), ""]
    lines += _criteria(rows.criteria(found))
    lines += ["## Figures", "", *_figures(found)]
    lines += ["## Limits", "", *(f"- {_safe(limit)}" for limit in provenance.limits(given, found)), ""]
    for key, title in (("contract", "Input contract"), ("versions", "Environment")):
        values = given.run.get(key)
        if values:
            pairs = (f"- {_safe(wording.plain(str(k)))}: {_safe(wording.anything(v))}" for k, v in values.items())
            lines += [f"## {title}", "", *pairs, ""]
    lines.append(f"Made with {provenance.made_by()}. {_safe(provenance.signed_by(given))}")
    return "\n".join(lines) + "\n"


def _criteria(criteria: Sequence[Row]) -> list[str]:
    if not criteria:
        return []
    lines = ["| Verdict | Criterion | Result |", "|---|---|---|"]
    for row in criteria:
        verdict = wording.VERDICT_WORDS.get(str(row["verdict"]), "Not assessed")
        result = f"{wording.value_text(row)} {wording.interval_text(row)}".strip()
        lines.append(
            f"| {verdict} | {_safe(wording.statement(row))} | {_safe(result)} (n = {_safe(wording.population(row))}) |"
        )
    return [*lines, ""]


def _figures(found: Sequence[Row]) -> list[str]:
    chosen = rows.whole(found, (*rows.DISCRIMINATION, *rows.OPERATING, *rows.CALIBRATION, *rows.OVERLAP))
    if not chosen:
        return ["No figures.", ""]
    lines = ["| Metric | Target | Value | Interval | n |", "|---|---|---|---|---|"]
    for row in chosen:
        label = wording.metric(str(row["metric"])).label
        if row["statistic"] != "value":
            label += f", {row['statistic']}"
        cells = (
            label,
            wording.target_text(row),
            wording.value_text(row),
            wording.interval_text(row),
            wording.population(row),
        )
        lines.append("| " + " | ".join(_safe(cell) or wording.MISSING for cell in cells) + " |")
    return [*lines, ""]


def _safe(text: str) -> str:
    """``text`` in one line with Markdown's and HTML's special characters escaped."""
    return _SPECIAL.sub(r"\\\1", " ".join(str(text).split()))
