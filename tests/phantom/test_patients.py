"""Patients are drawn by the published rule, each from a stream of its own."""

from __future__ import annotations

import numpy as np
import pytest

from fiducial.errors import InputRefused
from fiducial.phantom.hospital import MalignancyRule, bayes_auc, make_patients
from fiducial.phantom.patients import DENSITIES
from fiducial.phantom.scanners import SCANNERS, scanners_of, site_name


@pytest.fixture(scope="module")
def many():
    return make_patients(1500, seed=11)


def test_log_odds_by_hand():
    rule = MalignancyRule(
        intercept=-1, diameter=2, spiculation=1, part_solid=0.5, ground_glass=-3, age=0.4, smoking=0.2
    )
    image = rule.image_log_odds(np.array([23.5, 19.0]), np.array([0.4, 0.96]), np.array([0, 2]))
    assert image == pytest.approx([-1 + 2, -1 + 2 - 3])
    clinical = rule.clinical_log_odds(np.array([75.0]), np.array([60.0]))
    assert clinical == pytest.approx([0.4 + 0.4])


def test_each_site_has_its_scanners():
    assert [s.name for s in scanners_of(0)] == ["Aquila 64", "Boreas 16"]
    assert [s.name for s in scanners_of(2)] == ["Draco 8"]
    assert scanners_of(4) == scanners_of(1)
    assert [site_name(i) for i in (0, 25, 26)] == ["A", "Z", "S26"]
    for patient in make_patients(40, seed=3, n_sites=5):
        assert patient.scanner in scanners_of(ord(patient.site) - ord("A"))


def test_published_bayes_auc():
    best = bayes_auc(n=200_000, seed=5)
    assert best.full == pytest.approx(0.948, abs=0.003)
    assert best.image == pytest.approx(0.946, abs=0.003)
    assert best.diameter == pytest.approx(0.876, abs=0.004)
    assert best.prevalence == pytest.approx(0.4605, abs=0.005)


def test_bayes_auc_of_a_rule_that_says_nothing_is_one_half():
    nothing = MalignancyRule(0, 0, 0, 0, 0, 0, 0)
    best = bayes_auc(nothing, n=100_000)
    assert best.prevalence == pytest.approx(0.5, abs=0.007)
    assert best.diameter == pytest.approx(0.5, abs=0.008)


def test_diagnoses_follow_the_stated_risk(many):
    risk = np.array([p.risk for p in many])
    malignant = np.array([p.malignant for p in many])
    error = np.sqrt((risk * (1 - risk)).sum())
    assert abs((malignant - risk).sum()) < 4 * error
    assert risk.std() > 0.05


def test_patients_lie_in_the_stated_ranges(many):
    assert {p.sex for p in many} == {"F", "M"}
    assert min(p.age for p in many) >= 50
    assert max(p.age for p in many) <= 80
    diameters = [p.nodule.diameter_mm for p in many]
    assert 8 <= min(diameters) < 9.5
    assert 28.5 < max(diameters) <= 30
    assert all((p.pack_years == 0) == (p.smoking == "never") for p in many)
    assert {p.nodule.density for p in many} == set(DENSITIES)
    assert {p.scanner for p in many} == set(SCANNERS)


def test_patient_k_does_not_depend_on_how_many_there_are():
    assert make_patients(5, seed=2) == make_patients(9, seed=2)[:5]
    assert make_patients(5, seed=2) != make_patients(5, seed=3)
    assert len({p.subject for p in make_patients(9)}) == 9


def test_mislabelled_changes_the_record_and_nothing_else(many):
    wrong = make_patients(400, seed=11, mislabelled=0.1)
    clean = many[:400]
    assert [p.malignant for p in wrong] == [p.malignant for p in clean]
    assert [p.nodule for p in wrong] == [p.nodule for p in clean]
    n_wrong = sum(p.recorded != p.malignant for p in wrong)
    assert abs(n_wrong - 40) < 4 * np.sqrt(400 * 0.1 * 0.9)
    assert all(p.recorded == p.malignant for p in clean)
    assert all(p.recorded != p.malignant for p in make_patients(20, mislabelled=1.0))


def test_no_patients_is_an_empty_list():
    assert make_patients(0) == []


@pytest.mark.parametrize("options", [{"n_sites": 0}, {"mislabelled": 1.5}, {"n_patients": -1}])
def test_illegal_numbers_are_refused(options):
    with pytest.raises(InputRefused, match="mislabelled in"):
        make_patients(**options)


def test_a_negative_site_is_refused():
    with pytest.raises(InputRefused, match="site index -1"):
        scanners_of(-1)
