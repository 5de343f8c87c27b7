"""What `describe` and `check` print of a cohort's quality, visits and copies."""

from __future__ import annotations

from typing import Any

from fiducial.cli.show import counted, safe

MOST = 5


def description_lines(result: Any) -> list[str]:
    """A described cohort for a person: what to know first, then where the page lies."""
    return [
        f"[bold]{counted(result.n_subjects, 'subject')}, {counted(result.n_images, 'image')}[/]"
        + (f", {counted(result.n_followed, 'subject')} with several visits" if result.n_followed else ""),
        *outlier_lines(result.outliers),
        *_shortcut_lines(result.probes),
        *(
            []
            if result.told or not result.probes
            else ["  no shortcut found: how images were made is not told from them"]
        ),
        *[f"  [yellow]harmonisation[/] {safe(text)}" for text in result.batch_warnings[:MOST]],
        *visit_lines(result.visit_problems, result.pairs),
        *_copy_lines(result.copies),
        *[f"  note: {safe(note)}" for note in result.notes],
        *([f"Table for harmonisation: {safe(result.site_table)}"] if result.site_table else []),
        f"Open this page: [bold]{safe(result.page)}[/]",
    ]


def _shortcut_lines(probes: Any) -> list[str]:
    """One line for each attribute that can be told, with where it is told best."""
    best: dict[str, Any] = {}
    for probe in probes:
        if probe["verdict"] == "finding":
            before = best.get(probe["attribute"])
            if before is None or probe["mean_auc"] > before["mean_auc"]:
                best[probe["attribute"]] = probe
    return [f"  [yellow]shortcut[/] {safe(name)} {safe(probe['text'])}" for name, probe in best.items()]


def outlier_lines(outliers: Any) -> list[str]:
    """The first outliers with the reason of each."""
    lines = [f"  [yellow]outlier[/] {safe(o['image'])}: {safe(o['reasons'][0]['text'])}" for o in outliers[:MOST]]
    return [*lines, *([f"  and {len(outliers) - MOST} more outliers"] if len(outliers) > MOST else [])]


def visit_lines(problems: Any, pairs: Any) -> list[str]:
    """How many images have a prior, and visits that do not fit in time."""
    n_paired = len({pair["image"] for pair in pairs})
    lines = [f"  {counted(n_paired, 'image')} with a prior"] if n_paired else []
    lines += [f"  [yellow]visits[/] of {safe(p['subject'])}: {safe(p['text'])}" for p in problems[:MOST]]
    return [*lines, *([f"  and {len(problems) - MOST} more visits"] if len(problems) > MOST else [])]


def _copy_lines(copies: Any) -> list[str]:
    apart = [copy for copy in copies if not copy["same_person"]]
    lines = [
        f"  [yellow]copy[/] {safe(c['image_a'])} and {safe(c['image_b'])} ({safe(c['kind'])}) of two subjects"
        for c in apart[:MOST]
    ]
    return [*lines, *([f"  and {len(apart) - MOST} more copies"] if len(apart) > MOST else [])]
