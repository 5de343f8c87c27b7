"""The page: which sections, what they say, and that nothing in it reaches outside."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from fiducial.records.tables import CURVES, EVIDENCE, table
from fiducial.report import (
    IndexEntry,
    ReportInput,
    SignatureShown,
    index_entry,
    index_page,
    model_card,
    render,
    write_report,
)

Make = Callable[..., ReportInput]
MakeRow = Callable[..., dict[str, Any]]
HOSTILE = '<script>alert(1)</script><img src=x onerror=alert(1)> $x^2$ & "q" 東京 😀'


class _Reader(HTMLParser):
    """Tags, ids, links and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.texts: list[str] = []
        self._style = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._style = tag == "style"
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src", "xlink:href", "action", "data"):
                self.links.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)

    def handle_endtag(self, tag: str) -> None:
        self._style = False if tag == "style" else self._style

    def handle_data(self, data: str) -> None:
        if not self._style:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def sections(page: str) -> list[str]:
    return re.findall(r'<section id="([^"]+)"', page)


@pytest.fixture(scope="module")
def page(make_classification: Make) -> str:
    return render(make_classification())


def test_a_classification_report_has_its_sections_in_order(page: str) -> None:
    assert sections(page) == [
        "summary", "discrimination", "calibration", "operating-point", "subgroups", "pictures", "training", "data",
        "integrity", "model-card", "evidence", "glossary", "signature",
    ]  # fmt: skip


def test_a_segmentation_report_has_cases_and_no_roc(make_segmentation: Make) -> None:
    found = sections(render(make_segmentation()))
    assert "cases" in found
    assert "discrimination" not in found
    assert "operating-point" not in found


def test_two_folders_without_a_study_say_what_is_missing(make_two_folders: Make) -> None:
    text = _Reader(render(make_two_folders())).text
    assert "No study file was given: no acceptance criteria, so no verdicts." in text
    assert "No attributes of patients were given" in text
    assert "Openings of the test part were not counted" in text
    assert "59 images" in text
    assert "59 patients" not in text
    assert "The person behind an image is not known" in text


def test_scores_without_any_operating_point_say_so(make_classification: Make) -> None:
    given = make_classification()
    evidence = given.evidence[given.evidence["metric"].isin(["auc"])]
    text = _Reader(render(make_classification(evidence=evidence))).text
    assert "No calibration part and no stated threshold" in text


def test_every_criterion_has_word_statement_value_interval_and_bound(page: str) -> None:
    text = _Reader(page).text
    for word in ("Pass", "Fail", "Inconclusive", "Not assessed"):
        assert f"{word} " in text
    assert "Of 4 acceptance criteria, 1 passes, 1 fails, 1 is inconclusive and 1 was not assessed." in text
    assert "0.891 [0.871, 0.909] at least 0.85" in text
    assert "7 patients in site D; at least 10 are needed" in text
    for name in ("pass", "fail", "inconclusive", "not_assessed"):
        assert f'<svg class="mark {name}"' in page


def test_the_shift_between_the_parts_stands_in_one_line(page: str) -> None:
    assert re.search(r"Sensitivity 0\.904 \[0\.861, 0\.935\] 0\.843 \[0\.801, 0\.878\]", _Reader(page).text)


def test_nothing_reaches_outside_and_nothing_runs(page: str) -> None:
    read = _Reader(page)
    assert "script" not in read.tags
    assert "link" not in read.tags
    assert "iframe" not in read.tags
    assert not read.handlers
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in read.links), read.links
    assert "default-src 'none'" in html.unescape(page)
    assert "@import" not in page
    styles = "".join(re.findall(r"<style>(.*?)</style>", page, re.S))
    assert "url(" not in styles
    assert "@font-face" not in styles
    foreign = set(re.findall(r"https?://[^\"'\s<>)]+", page)) - {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert not foreign


def test_ids_are_unique_and_every_inner_link_has_its_target(page: str, make_segmentation: Make) -> None:
    for one in (page, render(make_segmentation())):
        read = _Reader(one)
        assert len(read.ids) == len(set(read.ids))
        assert {link[1:] for link in read.links if link.startswith("#")} <= set(read.ids)
        assert set(re.findall(r"url\(#([^)]+)\)", one)) <= set(read.ids)


def test_names_from_tables_are_text(make_classification: Make) -> None:
    given = make_classification()
    evidence = given.evidence.copy()
    evidence["target"] = HOSTILE
    evidence.loc[evidence["group"] == "site=A", "group"] = f"site={HOSTILE.replace('&', '%26')}"
    evidence["reason"] = evidence["reason"].where(evidence["reason"] == "", HOSTILE)
    curves = given.curves.assign(target=HOSTILE)
    hostile = make_classification(
        title=HOSTILE, evidence=evidence, curves=curves, data_name=HOSTILE, notes=[HOSTILE],
        run={HOSTILE: HOSTILE, "plan": {HOSTILE: HOSTILE}}, description={HOSTILE: [{HOSTILE: HOSTILE}]},
        ingest=[{"series": HOSTILE, "status": "rejected"}], leaks=[{"kind": HOSTILE}],
    )  # fmt: skip
    found = _Reader(render(hostile))
    assert not {"script", "iframe"} & set(found.tags)
    assert not found.handlers
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in found.links)
    assert HOSTILE in found.text
    assert "alert" in model_card(hostile)
    assert "<script" not in model_card(hostile).replace("\\<", "")
    entries = [index_entry(hostile, "report.html")]
    assert "script" not in _Reader(index_page(entries, title=HOSTILE)).tags


def test_text_in_figures_is_text(page: str) -> None:
    assert page.count('<svg xmlns="http://www.w3.org/2000/svg"') >= 6
    assert ">Sensitivity</text>" in page
    assert "test part (n = 1\u202f384)" in page


def test_missing_numbers_never_print_as_nan(make_classification: Make, make_row: MakeRow) -> None:
    rows = [
        make_row(
            "acceptance", "auc", math.nan, threshold=0.8, direction="at_least", verdict="not_assessed", split="test"
        ),
        make_row("accuracy", "auc", 1.0, low=1.0, high=1.0, split="test", target="t", n_subjects=3, n_images=3),
        make_row("subgroups", "auc", math.nan, group="sex=F", split="test", target="t"),
        make_row("subgroups", "auc", 0.5, group="sex=M", split="test", target="t"),
        make_row("calibration", "calibration_slope", math.inf, split="test", target="t", reason="one class only"),
    ]
    curve = [
        {"check": "accuracy", "metric": "roc", "target": "t", "series": "test", "x": x, "y": math.nan}
        for x in (0.0, 1.0)
    ]
    given = make_classification(
        evidence=table(rows, EVIDENCE),
        curves=table(curve, CURVES),
        cases=None,
        description={"facts": {"x": math.nan}},
        history=None,
    )
    text = _Reader(render(given)).text
    assert not re.search(r"\b(nan|inf|None)\b", text, re.I)
    assert "one class only" in text
    assert "1.000 [1.000, 1.000]" in text
    assert not re.search(r"\b(nan|inf|None)\b", model_card(given), re.I)


def test_empty_evidence_still_makes_a_page() -> None:
    page = render(ReportInput("Nothing", table([], EVIDENCE), table([], CURVES)))
    assert "The evidence table is empty." in page
    assert "signature" in sections(page)


def test_the_same_input_gives_the_same_bytes(make_classification: Make, make_segmentation: Make, page: str) -> None:
    assert render(make_classification()) == page
    assert render(make_segmentation()) == render(make_segmentation())
    assert model_card(make_classification()) == model_card(make_classification())


def test_drawing_leaves_matplotlib_as_it_was(make_segmentation: Make) -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    render(make_segmentation())
    assert dict(mpl.rcParams) == before


def test_phantoms_are_labelled_and_real_data_are_named(page: str, make_segmentation: Make) -> None:
    assert "These patients do not exist" in page
    real = _Reader(render(make_segmentation())).text
    assert "do not exist" not in real
    assert "Data set Medical Segmentation Decathlon Task04 (CC BY-SA 4.0) Audited part test" in real
    assert "Images audited 59" in real


def test_openings_are_told(make_classification: Make) -> None:
    assert "has been opened once, this audit included." in _Reader(render(make_classification(openings=1))).text
    assert "has been opened 7 times" in _Reader(render(make_classification(openings=7))).text
    given = make_classification(openings=3)
    said = "the test part was opened 3 times, 2 of them before the study file or the cohort was changed"
    row = {"check": "openings", "metric": "n_openings", "value": 3.0, "verdict": "finding", "reason": said}
    evidence = table([*given.evidence.to_dict("records"), row], EVIDENCE)
    text = _Reader(render(make_classification(openings=3, evidence=evidence))).text
    assert f"T{said[1:]}. Each further look weakens" in text


def test_the_report_is_unsigned_and_names_the_digest(page: str, make_classification: Make) -> None:
    changed = make_classification()
    other = changed.evidence.assign(value=changed.evidence["value"] + 1e-9)
    digest = re.findall(r"head of the hash chain \(SHA-256\): ([0-9a-f]{64})", page)
    assert len(digest) == 1
    assert "<strong>unsigned</strong>" in page
    assert digest[0] not in render(make_classification(evidence=other))


def test_a_signed_report_says_by_whom_and_when(make_classification: Make) -> None:
    who = SignatureShown(f"Dr. Ada {HOSTILE}", "2026-11-24T10:30:00+00:00", "ab12 cd34", holds=True)
    text = _Reader(given := render(make_classification(signatures=[who]))).text
    assert "Signed by Dr. Ada" in text
    assert "2026-11-24, 10:30 UTC" in text
    assert "not itself signed" in text
    assert "unsigned" not in text
    assert "<script>" not in given


def test_a_signature_that_no_longer_holds_is_not_shown_as_one(make_classification: Make) -> None:
    who = SignatureShown("Dr. Ada", "2026-11-24T10:30:00+00:00", "ab12", holds=False, reason="row 3 changed")
    given = make_classification(signatures=[who])
    text = _Reader(render(given)).text
    assert "Signed, but changed since by Dr. Ada" in text
    assert "row 3 changed" in text
    assert "Signed by" not in text
    assert model_card(given).rstrip().endswith("Signed, but changed since.")


def test_write_report_leaves_one_file(tmp_path: Path, make_two_folders: Make) -> None:
    written = write_report(make_two_folders(), tmp_path / "new" / "report.html")
    assert [path.name for path in written.parent.iterdir()] == ["report.html"]
    assert written.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_the_model_card_names_use_limits_verdicts_and_environment(make_classification: Make) -> None:
    card = model_card(make_classification())
    for part in ("## Intended use", "- autonomous decisions", "## Limits", "| Fail |", "- Torch: 2.13.0", "Unsigned."):
        assert part in card
    assert "Phantom data" in card


def test_an_index_links_its_reports(make_classification: Make, make_two_folders: Make) -> None:
    entries = [
        index_entry(make_classification(), "a/report.html"),
        index_entry(make_two_folders(), "b/report.html", "Masks"),
    ]
    assert entries[0].verdicts == {"pass": 1, "fail": 1, "inconclusive": 1, "not_assessed": 1}
    assert entries[0].headline == "AUC, malignant 0.891 [0.871, 0.909]"
    assert (entries[0].n_subjects, entries[0].n_images) == (1324, 1384)
    read = _Reader(index_page(entries, title="Two studies"))
    assert {"a/report.html", "b/report.html"} <= set(read.links)
    assert "No criteria stated" in read.text
    assert "59 images" in read.text
    assert "Phantom data" in read.text


def test_an_index_without_reports_is_a_page() -> None:
    assert "<h1>Empty</h1>" in index_page([], title="Empty")
    entry = IndexEntry("One", "one.html", "", {"pass": 1})
    assert "1" in _Reader(index_page([entry])).text
