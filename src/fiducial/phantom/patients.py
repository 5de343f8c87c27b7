"""Who comes to the phantom hospital: patients whose attributes, nodule and diagnosis follow a known rule."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fiducial.errors import InputRefused
from fiducial.phantom.body import Body, draw_body, lung_depth_mm
from fiducial.phantom.scanners import Scanner, scanners_of, site_name

DENSITIES = ("solid", "part-solid", "ground-glass")
SMOKING = ("never", "former", "current")
DIAMETER_MM = (8.0, 30.0)
AGE_YEARS = (50, 80)
MATRIX = 112

_PATIENT, _ANATOMY, _NOISE = 0, 1, 2


@dataclass(frozen=True)
class Nodule:
    """A lung nodule: ``centre_mm`` in the scan's RAS+ frame, ``spiculation`` 0 (a smooth sphere) to 1 (a star)."""

    centre_mm: tuple[float, float, float]
    diameter_mm: float
    spiculation: float
    density: str


@dataclass(frozen=True)
class Patient:
    """One phantom patient: everything that `render` needs, and the truth that a model is asked for.

    ``malignant`` is the truth, drawn with probability ``risk``; ``recorded`` is what the label table will say, which
    differs where labels were planted to be wrong. ``spacing_mm`` is the pixel spacing that the field of view chosen
    for this patient gives, ``length_mm`` how much of the body, from bottom to top, was scanned. ``seed`` and ``index``
    name the patient's own random stream, ``noise_draw`` which of its scans this is (0 is the first).
    """

    subject: str
    seed: int
    index: int
    site: str
    scanner: Scanner
    sex: str
    age: int
    smoking: str
    pack_years: float
    risk: float
    malignant: int
    recorded: int
    nodule: Nodule
    body: Body
    spacing_mm: float
    length_mm: float
    noise_draw: int = 0

    def rescanned(self, subject: str) -> Patient:
        """The same person scanned again (same anatomy, new noise) and filed under the identity ``subject``."""
        return replace(self, subject=subject, noise_draw=self.noise_draw + 1)


@dataclass(frozen=True)
class MalignancyRule:
    """Log-odds that a nodule is malignant.

    ``intercept + diameter * (d - 19) / 4.5 + spiculation * (s - 0.4) / 0.28 + part_solid or ground_glass
    + age * (years - 65) / 10 + smoking * (pack-years - 20) / 20``, d in mm. With the default weights the first three
    terms, which an image shows, carry nearly all of it; `bayes_auc` measures how much.
    """

    intercept: float = -0.8
    diameter: float = 3.3
    spiculation: float = 2.0
    part_solid: float = 1.0
    ground_glass: float = -1.5
    age: float = 0.3
    smoking: float = 0.3

    def image_log_odds(
        self, diameter_mm: NDArray[np.float64], spiculation: NDArray[np.float64], density: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """The part of the log-odds that the image shows (``density`` indexes `DENSITIES`)."""
        by_density = np.array([0.0, self.part_solid, self.ground_glass])[density]
        result: NDArray[np.float64] = (
            self.intercept
            + self.diameter * (diameter_mm - 19) / 4.5
            + self.spiculation * (spiculation - 0.4) / 0.28
            + by_density
        )
        return result

    def clinical_log_odds(self, age_years: NDArray[np.float64], pack_years: NDArray[np.float64]) -> NDArray[np.float64]:
        """The part of the log-odds that only the patient's history shows."""
        result: NDArray[np.float64] = self.age * (age_years - 65) / 10 + self.smoking * (pack_years - 20) / 20
        return result


RULE = MalignancyRule()


@dataclass(frozen=True)
class _Drawn:
    """Attributes of n patients, each an array of length n."""

    age: NDArray[np.float64]
    smoking: NDArray[np.int64]
    pack_years: NDArray[np.float64]
    diameter_mm: NDArray[np.float64]
    spiculation: NDArray[np.float64]
    density: NDArray[np.int64]


def _draw(rng: np.random.Generator, n: int) -> _Drawn:
    """Draw what the rule reads; the same code serves one patient and a Monte Carlo of many."""
    age = np.floor(rng.triangular(AGE_YEARS[0], 66, AGE_YEARS[1] + 1, n)).clip(*AGE_YEARS)
    smoking = rng.choice(3, n, p=(0.2, 0.45, 0.35)).astype(np.int64)
    pack_years = np.where(smoking == 0, 0.0, np.round(rng.gamma(4.0, 7.0, n) + 2, 1))
    diameter = rng.triangular(DIAMETER_MM[0], 20.0, DIAMETER_MM[1], n)
    spiculation = rng.beta(1.1, 1.6, n)
    density = rng.choice(3, n, p=(0.65, 0.2, 0.15)).astype(np.int64)
    return _Drawn(age, smoking, pack_years, diameter, spiculation, density)


def stream(seed: int, index: int, purpose: int) -> np.random.Generator:
    """The generator of patient ``index`` for one purpose; it depends on nothing else, so not on how many there are."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index, purpose)))


def make_patients(
    n_patients: int = 60,
    *,
    seed: int = 0,
    n_sites: int = 3,
    rule: MalignancyRule = RULE,
    mislabelled: float = 0.0,
) -> list[Patient]:
    """Draw patients; patient k is the same whatever ``n_patients`` is.

    Args:
        n_patients: how many.
        seed: names the hospital; equal seeds give equal patients.
        n_sites: patients are spread evenly at random over sites A, B, C ...; each site has its scanners.
        rule: how malignancy follows from nodule and history.
        mislabelled: planted defect: the probability that a recorded label is the opposite of the truth.

    Raises:
        InputRefused: a negative number of patients, no site, or a fraction outside [0, 1].
    """
    if n_patients < 0 or n_sites < 1 or not 0 <= mislabelled <= 1:
        raise InputRefused(
            f"n_patients={n_patients}, n_sites={n_sites}, mislabelled={mislabelled}",
            legal="n_patients of 0 or more, n_sites of 1 or more, mislabelled in [0, 1]",
        )
    return [_patient(index, seed, n_sites, rule, mislabelled) for index in range(n_patients)]


def _patient(index: int, seed: int, n_sites: int, rule: MalignancyRule, mislabelled: float) -> Patient:
    rng = stream(seed, index, _PATIENT)
    drawn = _draw(rng, 1)
    risk = float(_probability(rule, drawn)[0])
    malignant = int(rng.random() < risk)
    wrong = bool(rng.random() < mislabelled)
    sex = "F" if rng.random() < 0.45 else "M"
    site = int(rng.random() * n_sites)
    choices = scanners_of(site)
    scanner = choices[int(rng.random() * len(choices))]
    body = draw_body(rng, sex=sex, age=int(drawn.age[0]), pack_years=float(drawn.pack_years[0]))
    diameter = float(drawn.diameter_mm[0])
    nodule = Nodule(
        centre_mm=_place(rng, body, diameter / 2),
        diameter_mm=diameter,
        spiculation=float(drawn.spiculation[0]),
        density=DENSITIES[int(drawn.density[0])],
    )
    return Patient(
        subject=f"PH{seed:02d}-{index:04d}",
        seed=seed,
        index=index,
        site=site_name(site),
        scanner=scanner,
        sex=sex,
        age=int(drawn.age[0]),
        smoking=SMOKING[int(drawn.smoking[0])],
        pack_years=float(drawn.pack_years[0]),
        risk=risk,
        malignant=malignant,
        recorded=1 - malignant if wrong else malignant,
        nodule=nodule,
        body=body,
        spacing_mm=_spacing_mm(rng, body, scanner),
        length_mm=float(rng.uniform(218, 270)),
    )


def _spacing_mm(rng: np.random.Generator, body: Body, scanner: Scanner) -> float:
    """Pixel spacing: the scanner's, changed by the field of view, which is never narrower than the patient."""
    reach_mm = body.half_width_mm + abs(body.offset_mm[0]) + 3
    return round(max(scanner.spacing_mm * float(rng.uniform(0.92, 1.14)), 2 * reach_mm / MATRIX), 2)


def _place(rng: np.random.Generator, body: Body, radius_mm: float) -> tuple[float, float, float]:
    """A point deep enough in a lung that the nodule's sphere lies inside it; the deepest one found if none is."""
    best, best_depth = np.zeros(3), -np.inf
    for _ in range(8):
        points = rng.uniform((-130, -95, -80), (130, 85, 85), (256, 3))
        depth = lung_depth_mm(body, points[:, 0], points[:, 1], points[:, 2])
        fits = np.flatnonzero(depth > radius_mm + 3)
        if fits.size:
            best = points[fits[0]]
            break
        deepest = int(depth.argmax())
        if depth[deepest] > best_depth:
            best, best_depth = points[deepest], float(depth[deepest])
    x, y, z = (float(v) for v in np.round(best + np.array(body.offset_mm), 2))
    return x, y, z


def _probability(rule: MalignancyRule, drawn: _Drawn) -> NDArray[np.float64]:
    log_odds = rule.image_log_odds(drawn.diameter_mm, drawn.spiculation, drawn.density)
    log_odds = log_odds + rule.clinical_log_odds(drawn.age, drawn.pack_years)
    result: NDArray[np.float64] = 1 / (1 + np.exp(-log_odds))
    return result


@dataclass(frozen=True)
class BayesAUC:
    """The best AUC that anybody can reach on a rule's patients.

    ``full`` knows nodule and history, ``image`` only what the image shows, ``diameter`` only the size;
    ``prevalence`` is the fraction that is malignant. The Monte Carlo standard error of each is below 0.001.
    """

    full: float
    image: float
    diameter: float
    prevalence: float


def bayes_auc(rule: MalignancyRule = RULE, *, n: int = 400_000, seed: int = 0) -> BayesAUC:
    """Measure a rule's Bayes AUC by Monte Carlo: the AUC of its own log-odds against diagnoses drawn from it."""
    from scipy.stats import rankdata

    rng = np.random.default_rng(seed)
    drawn = _draw(rng, n)
    probability = _probability(rule, drawn)
    malignant = rng.random(n) < probability

    def auc(score: NDArray[np.float64]) -> float:
        n_one = int(malignant.sum())
        ranks = float(rankdata(score)[malignant].sum())
        return (ranks - n_one * (n_one + 1) / 2) / (n_one * (n - n_one))

    image = rule.image_log_odds(drawn.diameter_mm, drawn.spiculation, drawn.density)
    return BayesAUC(auc(probability), auc(image), auc(drawn.diameter_mm), float(malignant.mean()))
