"""Progress on stderr: lines in a log, bars on a terminal."""

from __future__ import annotations

import pytest

from fiducial.cli import bars
from fiducial.cli.show import counted, jsonable


def test_a_log_gets_the_first_and_the_last_line_of_a_title(capsys):
    with bars.progress_shown() as progress:
        for n in range(101):
            progress("reading", n, 100)
    assert capsys.readouterr().err.splitlines() == ["reading: 0/100", "reading: 100/100"]


def test_quiet_says_nothing(capsys):
    with bars.progress_shown(quiet=True) as progress:
        progress("reading", 1, 1)
    captured = capsys.readouterr()
    assert captured.err == captured.out == ""


def test_a_terminal_gets_a_bar_for_each_title(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with bars.progress_shown() as progress:
        progress("reading", 1, 2)
        progress("reading", 2, 2)
        progress("reading", 0, 3)
        progress("writing", 0, 0)
    err = capsys.readouterr().err
    assert err.count("reading") >= 2
    assert "writing" in err


def test_an_interruption_goes_on_upwards():
    with pytest.raises(KeyboardInterrupt), bars.progress_shown(quiet=True):
        raise KeyboardInterrupt


def test_json_values_of_a_result():
    from pathlib import Path

    assert jsonable({"a": (1, float("nan")), "b": Path("x")}) == {"a": [1, None], "b": "x"}


@pytest.mark.parametrize(("n", "text"), [(0, "0 masks"), (1, "1 mask"), (2000, "2,000 masks")])
def test_counts_read_well(n, text):
    assert counted(n, "mask") == text
