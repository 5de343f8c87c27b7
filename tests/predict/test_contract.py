"""The input contract: learned from training images, refused when broken."""

from __future__ import annotations

import numpy as np
import pytest

from fiducial.errors import ContractError
from fiducial.predict.contract import learn_contract, look, require
from fiducial.records.image import Geometry, Image


def ct(seed=0, spacing=(1.0, 1.0, 2.0), scale=1.0, offset=0.0, modality="CT", unit="HU"):
    rng = np.random.default_rng(seed)
    array = np.concatenate([rng.normal(-900, 30, 500), rng.normal(40, 30, 500)]).reshape(1, 10, 10, 10)
    return Image(array * scale + offset, Geometry(np.diag([*spacing, 1.0]), (10, 10, 10)), modality, unit)


@pytest.fixture
def contract():
    return learn_contract([[look(ct(seed))] for seed in range(5)])


def test_a_new_image_of_the_same_kind_is_accepted(contract):
    assert require(contract, [look(ct(99))]) is None
    assert require(contract, [look(ct(99, spacing=(2.0, 1.0, 1.0)))]) is None  # the same spacings in another order


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (ct(modality="MR"), "modality 'MR'"),
        (ct(unit=""), "unit ''"),
        (ct(spacing=(1, 1, 4)), "largest spacing 4 mm"),
        (ct(offset=1024), "1st percentile of the intensities is"),  # never rescaled to HU
        (ct(scale=1 / 1000), "1st percentile"),
    ],
)
def test_another_kind_is_refused_with_what_is_legal(contract, image, message):
    with pytest.raises(ContractError, match=message) as refusal:
        require(contract, [look(image)], where="case 7")
    assert "case 7" in str(refusal.value)
    assert refusal.value.legal
    assert refusal.value.action


def test_flat_colour_and_missing_inputs_are_refused(contract):
    flat = Image(np.zeros((1, 10, 10, 1)), Geometry(np.eye(4), (10, 10, 1)), "CT", "HU")
    with pytest.raises(ContractError, match="dimensions 2"):
        require(contract, [look(flat)])
    with pytest.raises(ContractError, match="0 input"):
        require(contract, [])


def test_grey_levels_scaled_to_one_are_refused():
    rng = np.random.default_rng(0)

    def picture(scale):
        return Image(rng.integers(0, 256, (1, 28, 28, 1)) * scale, Geometry(np.eye(4), (28, 28, 1)), "", "grey")

    contract = learn_contract([[look(picture(1))] for _ in range(4)])
    require(contract, [look(picture(1))])
    with pytest.raises(ContractError, match="99th percentile"):
        require(contract, [look(picture(1 / 255))])
