"""What an extra installs is asked for by name, before work begins."""

from __future__ import annotations

import tomllib

import pytest

from fiducial.errors import InputRefused
from fiducial.flows import extras, features, train


@pytest.fixture
def without(monkeypatch):
    """Make modules look as if they were not installed."""

    def hide(*names):
        found = extras.find_spec
        monkeypatch.setattr(extras, "find_spec", lambda name: None if name in names else found(name))

    return hide


def test_an_absent_module_is_refused_with_what_installs_it(without, tmp_path):
    without("numba")
    with pytest.raises(
        InputRefused, match=r"needs numba, which is not installed\n.*pip install 'fiducial\[radiomics\]'"
    ):
        features(tmp_path, tmp_path / "features.parquet")


def test_training_asks_for_torch_before_it_reads_a_study(without, tmp_path):
    without("torch")
    with pytest.raises(InputRefused, match=r"pip install 'fiducial\[train\]'"):
        train(tmp_path / "nowhere.toml", tmp_path / "run")


def test_what_is_installed_is_not_asked_for():
    assert extras.find_spec("numba") is not None
    extras.require_modules("numba", "torch")


def test_every_extra_is_one_of_the_package(root):
    offered = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras.EXTRAS.values()) <= set(offered)
