"""ComBat by hand, on planted sites, against neuroCombat, by laws, and on rows that have no answer."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fiducial.errors import InputRefused
from fiducial.maths.classification import auc
from fiducial.maths.combat import apply_combat, combat_from_json, fit_combat


def planted(seed, *, n=60, n_features=30, shift=2.0, spread=3.0):
    """Rows of two sites; site B is shifted by ``shift`` and ``spread`` times as wide; a covariate of effect 1."""
    rng = np.random.default_rng(seed)
    site = np.array(["A", "B"])[np.arange(n) % 2]
    x = rng.normal(size=n)
    noise = rng.normal(size=(n, n_features))
    b = (site == "B")[:, None]
    return np.where(b, shift + spread * noise, noise) + x[:, None], site, x, noise


# By hand.


def test_two_sites_by_hand():
    """A holds 0 and 2, B holds 10 and 14: both become the common mean 6.5 with the common spread."""
    y = np.array([[0.0], [2.0], [10.0], [14.0]])
    site = ["A", "A", "B", "B"]
    fit = fit_combat(y, site, empirical_bayes=False)
    assert fit.mean[0] == pytest.approx(6.5)
    assert fit.scale[0] == pytest.approx(np.sqrt((1 + 1 + 4 + 4) / 4))
    # Standardised, A has the variance 2 / 2.5 and B 8 / 2.5.
    assert fit.spread[:, 0] == pytest.approx([0.8, 3.2])
    found = apply_combat(fit, y, site).values[:, 0]
    half = np.sqrt(2.5) / np.sqrt(2)
    assert found == pytest.approx([6.5 - half, 6.5 + half, 6.5 - half, 6.5 + half])


# Planted sites: what was put in is taken out, and the covariate stays.


@pytest.mark.parametrize("empirical_bayes", [True, False])
def test_planted_shift_and_spread_are_removed_and_a_covariate_is_kept(empirical_bayes):
    y, site, x, noise = planted(0, n=400)
    fit = fit_combat(y, site, covariates=x, empirical_bayes=empirical_bayes)
    found = apply_combat(fit, y, site, covariates=x).values
    a, b = found[site == "A"], found[site == "B"]
    rest = found - x[:, None]
    apart = a.mean(axis=0) - b.mean(axis=0)
    assert np.abs(apart).max() < 0.6
    assert np.abs(apart.mean()) < 0.15
    assert rest[site == "B"].std(axis=0) / rest[site == "A"].std(axis=0) == pytest.approx(np.ones(30), abs=0.1)
    slope = np.array([np.polyfit(x, column, 1)[0] for column in found.T])
    assert slope == pytest.approx(np.ones(30), abs=0.35)
    assert slope.mean() == pytest.approx(1, abs=0.05)
    # What remains is the noise that was there, in other units.
    assert all(np.corrcoef(f, n)[0, 1] > 0.97 for f, n in zip((rest - rest.mean(0)).T, noise.T, strict=True))


def test_a_covariate_that_is_not_named_goes_with_the_sites():
    y, site, _, _ = planted(1, n=200)
    ill = np.where(site == "B", 0.8, 0.2) > np.random.default_rng(2).random(200)
    sick = y + 3.0 * ill[:, None]
    kept = apply_combat(
        fit_combat(sick, site, covariates=ill.astype(float)), sick, site, covariates=ill.astype(float)
    ).values
    lost = apply_combat(fit_combat(sick, site), sick, site).values
    difference = [m[ill].mean() - m[~ill].mean() for m in (kept, lost)]
    assert difference[0] > difference[1] + 0.5


# neuroCombat 0.2.12 (Fortin et al.), on a table that a reader can write down; one covariate kept.

WRITTEN = np.array(
    [[(7 * i + 3 * j) % 11 + 0.5 * j + (2 * (j + 1) * (1 + 0.3 * (i % 3)) if i > 4 else 0) for j in range(4)]
     for i in range(10)]
)  # fmt: skip
COVARIATE = [0, 1, 0, 1, 1, 1, 0, 0, 1, 0]
NEUROCOMBAT = [
    [2.354, 5.7793, 10.4749, 14.4719],
    [8.7254, 12.3897, 7.0359, 11.0757],
    [5.0562, 8.4871, 13.1779, 7.2552],
    [11.4276, 5.1689, 9.7389, 13.7819],
    [7.8246, 11.4871, 6.1349, 10.1736],
    [3.624, 9.649, 14.415, 10.3019],
    [8.7252, 3.6209, 7.4528, 12.021],
    [5.6926, 10.9241, 5.4893, 10.5972],
    [2.732, 8.7584, 13.5225, 19.2006],
    [7.8333, 2.7302, 6.5603, 11.1311],
]


def test_neurocombat_gives_the_same():
    site = ["A"] * 5 + ["B"] * 5
    fit = fit_combat(WRITTEN, site, covariates=COVARIATE)
    found = apply_combat(fit, WRITTEN, site, covariates=COVARIATE).values
    assert found == pytest.approx(np.array(NEUROCOMBAT), abs=1e-4)


def test_neurocombat_itself_gives_the_same_on_three_sites():
    peer = pytest.importorskip("neuroCombat")
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    y, site, age = rng.normal(size=(30, 20)) * rng.uniform(0.5, 3, 20), np.repeat(list("ABC"), 10), rng.normal(size=30)
    y[site == "B"] = 2 * y[site == "B"] + 1
    rows = pandas.DataFrame({"site": site, "age": age})
    theirs = peer.neuroCombat(pandas.DataFrame(y.T), rows, "site", continuous_cols=["age"])["data"].T
    ours = apply_combat(fit_combat(y, site, covariates=age), y, site, covariates=age).values
    assert ours == pytest.approx(theirs, abs=1e-3)


# Laws.


def test_no_figure_of_the_rows_it_is_applied_to_is_used():
    """A row becomes the same alone and among others, whatever these are."""
    y, site, x, _ = planted(0)
    fit = fit_combat(y[:40], site[:40], covariates=x[:40])
    together = apply_combat(fit, y[40:], site[40:], covariates=x[40:]).values
    alone = np.concatenate(
        [apply_combat(fit, y[i : i + 1], site[i : i + 1], covariates=x[i : i + 1]).values for i in range(40, 60)]
    )
    loud = y[40:].copy()
    loud[1:] *= 100
    assert np.array_equal(together, alone)
    assert np.array_equal(apply_combat(fit, loud, site[40:], covariates=x[40:]).values[0], together[0])


def test_a_fit_comes_back_from_plain_values():
    y, site, x, _ = planted(0)
    y[site == "B", 3] = np.nan
    fit = fit_combat(y, site, covariates=x)
    back = combat_from_json(json.loads(json.dumps(fit.to_json(), allow_nan=False)))
    one, other = (apply_combat(f, y, site, covariates=x).values for f in (fit, back))
    assert np.array_equal(one, other, equal_nan=True)
    assert (back.sites, back.n_rows, back.reason) == (fit.sites, fit.n_rows, fit.reason)


def test_the_unit_of_a_feature_and_the_order_of_rows_do_not_matter():
    y, site, x, _ = planted(3)
    unit = np.linspace(0.1, 50, y.shape[1])
    plain = apply_combat(fit_combat(y, site, covariates=x), y, site, covariates=x).values
    scaled = apply_combat(fit_combat(y * unit + 7, site, covariates=x), y * unit + 7, site, covariates=x).values
    assert scaled == pytest.approx(plain * unit + 7, rel=1e-6, abs=1e-6)
    turn = np.random.default_rng(0).permutation(len(y))
    turned = apply_combat(fit_combat(y[turn], site[turn], covariates=x[turn]), y, site, covariates=x).values
    assert turned == pytest.approx(plain, rel=1e-6, abs=1e-6)


def test_borrowing_from_other_features_brings_small_sites_nearer_to_the_truth():
    """Of a site with three rows, a site's common shift is found better with the prior than by each feature alone."""
    errors = {True: [], False: []}
    for seed in range(20):
        rng = np.random.default_rng(seed)
        site = np.array(["A"] * 40 + ["B"] * 3)
        y = rng.normal(size=(43, 50))
        y[40:] += 2
        for empirical_bayes, found in errors.items():
            fit = fit_combat(y, site, empirical_bayes=empirical_bayes)
            apart = (fit.shift[1] - fit.shift[0]) * fit.scale
            found.append(np.abs(apart - 2).mean())
    assert np.mean(errors[True]) < 0.6 * np.mean(errors[False])


def test_a_fit_on_all_rows_leaks():
    """Noise and site shifts alone, ill people mostly at every second of six sites.

    A fit on all rows that keeps the outcome as a covariate separates ill from well in the test rows, where nothing is
    to be found. Fitted on the training rows, without the outcome, the same rule is chance.
    """
    leaking, honest = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        place, train = np.arange(60) % 6, np.arange(60) < 30
        site = np.array(list("ABCDEF"))[place]
        y = rng.normal(size=(60, 40)) + rng.normal(size=(6, 40))[place]
        ill = rng.random(60) < np.where(place % 2 == 0, 0.85, 0.15)
        outcome = ill.astype(float)
        leaked = apply_combat(fit_combat(y, site, covariates=outcome), y, site, covariates=outcome).values
        own = apply_combat(fit_combat(y[train], site[train]), y, site).values
        for values, areas in ((leaked, leaking), (own, honest)):
            direction = values[train & ill].mean(axis=0) - values[train & ~ill].mean(axis=0)
            areas.append(auc(ill[~train], values[~train] @ direction))
    assert np.mean(leaking) > 0.75
    assert np.mean(honest) == pytest.approx(0.5, abs=0.05)


# Edges.


def test_a_site_with_one_row_gives_up_its_shift_alone_and_says_so():
    y, site, _, _ = planted(0, n=40)
    y = np.concatenate([y, y[:1] + 50])
    site = np.append(site, "C")
    fit = fit_combat(y, site)
    assert fit.site_reason[:2] == ("", "")
    assert fit.site_reason[2].startswith("one-row")
    assert (fit.spread[2] == 1).all()
    found = apply_combat(fit, y, site).values
    assert np.abs(found[-1].mean() - found[:-1].mean()) < 3
    assert np.isfinite(found).all()


def test_a_constant_feature_stays_as_it_is():
    y, site, _, _ = planted(0)
    y[:, 5] = 7.0
    y[:, 6] = np.where(site == "B", 3.0, 2.0)
    fit = fit_combat(y, site)
    assert fit.reason[5].startswith("constant")
    assert fit.reason[6].startswith("constant")
    found = apply_combat(fit, y, site).values
    assert np.array_equal(found[:, 5:7], y[:, 5:7])
    assert np.isfinite(found).all()


def test_a_feature_flat_at_one_site_alone_stays_finite():
    y, site, _, _ = planted(0)
    y[site == "A", 4] = 1.0
    for empirical_bayes in (True, False):
        found = apply_combat(fit_combat(y, site, empirical_bayes=empirical_bayes), y, site).values
        assert np.isfinite(found).all()


def test_missing_values_stay_missing_and_cost_no_other():
    y, site, x, _ = planted(0)
    holes = y.copy()
    holes[3, 0], holes[10, 0], holes[site == "B", 7] = np.nan, np.inf, np.nan
    fit = fit_combat(holes, site, covariates=x)
    found = apply_combat(fit, holes, site, covariates=x).values
    assert np.isnan(found[[3, 10], 0]).all()
    assert np.isfinite(np.delete(found[:, 0], [3, 10])).all()
    assert fit.reason[7].startswith("missing")
    assert np.isnan(found[:, 7]).all()
    whole = fit_combat(np.delete(holes, 7, axis=1)[:, 1:], site, covariates=x)
    # Others share only the priors with the feature that has holes.
    assert np.delete(fit.mean, 7)[1:] == pytest.approx(whole.mean)


def test_a_site_that_was_not_in_the_fit_is_refused_by_name_or_left_with_a_reason():
    y, site, _, _ = planted(0)
    fit = fit_combat(y, site)
    with pytest.raises(InputRefused, match="site North was not in the fit") as refused:
        apply_combat(fit, y[:2], ["A", "North"])
    assert refused.value.legal == "A, B"
    kept = apply_combat(fit, y[:2], ["A", "North"], unknown="keep")
    assert kept.reason == ("", "site-not-in-fit: North")
    assert np.array_equal(kept.values[1], y[1])
    assert not np.array_equal(kept.values[0], y[0])


@pytest.mark.parametrize(
    ("y", "site", "given", "message"),
    [
        (np.ones((4, 2)), ["A"] * 4, {}, "1 site"),
        (np.ones((2, 2)), ["A", "B"], {}, "one row at every site"),
        (np.ones((4, 2)), ["A", "A", "B", ""], {}, "1 rows without a site"),
        (np.ones((4, 2)), ["A", "A", "B"], {}, "3 sites"),
        (np.ones((4, 1)), ["A", "A", "B", "B"], {}, "empirical_bayes=False"),
        (np.ones((4, 2)), ["A", "A", "B", "B"], {"covariates": [0, 0, 1, 1]}, "cannot be told from the 2 sites"),
        (np.ones((4, 2)), ["A", "A", "B", "B"], {"covariates": [0, 1, 0, np.nan]}, "not finite"),
    ],
)
def test_refusals(y, site, given, message):
    with pytest.raises(InputRefused) as refused:
        fit_combat(y, site, **given)
    assert message in str(refused.value)


def test_other_features_or_covariates_than_in_the_fit_are_refused():
    y, site, x, _ = planted(0)
    fit = fit_combat(y, site, covariates=x)
    with pytest.raises(InputRefused, match="29 features and 1 covariates"):
        apply_combat(fit, y[:, 1:], site, covariates=x)
    with pytest.raises(InputRefused, match="30 features and 0 covariates"):
        apply_combat(fit, y, site)


@pytest.mark.parametrize(("name", "value"), [("sites", None), ("shift", [[0.0]]), ("reason", [])])
def test_a_fit_that_was_cut_is_refused(name, value):
    y, site, _, _ = planted(0)
    said = fit_combat(y, site).to_json()
    if value is None:
        del said[name]
    else:
        said[name] = value
    with pytest.raises(InputRefused, match=name):
        combat_from_json(said)
