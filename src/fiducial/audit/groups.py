"""Which images belong to which group of an attribute."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiducial.audit.given import AuditInput
from fiducial.study.groups import MISSING, Group, attribute_text, group_mask, group_text, value_order

Groups = dict[str, NDArray[np.bool_]]

MOST_GROUPS = 20
"""An attribute with more values than this is a number or an id; it is not divided by."""


def images_of(given: AuditInput, group: Group) -> set[str]:
    """The images of a group; everyone for ``all`` and for a gap."""
    return set(map(str, given.attributes.loc[group_mask(given.attributes, group), "image"]))


def masks_of(given: AuditInput, attribute: str, image: NDArray[Any]) -> Groups:
    """``sex=F`` -> bool [n] over ``image``, for every value that occurs there, in `value_order`."""
    text = attribute_text(given.attributes.set_index("image")[attribute]).reindex(image).fillna(MISSING).to_numpy()
    return {group_text({attribute: value}): text == value for value in sorted(set(text), key=value_order)}


def crossed(first: Groups, second: Groups) -> Groups:
    """``sex=F&site=B`` -> bool [n], for every pair of groups of two attributes that somebody is in.

    Images whose value of either attribute is missing are in no intersection. Empty where crossing makes no new groups:
    each value of one attribute occurs with one value of the other only, as scanners that stand at one site each.
    """
    pairs = {
        f"{one}&{other}": mask & also
        for one, mask in first.items()
        for other, also in second.items()
        if MISSING not in (one.partition("=")[2], other.partition("=")[2]) and (mask & also).any()
    }
    known = [sum(not name.endswith(f"={MISSING}") for name in groups) for groups in (first, second)]
    return {} if len(pairs) <= max(known) else pairs


def usable(given: AuditInput, attribute: str, image: NDArray[Any]) -> str:
    """Why an attribute cannot divide these images; empty where it can."""
    if attribute not in given.attributes.columns:
        return f"the tables have no attribute {attribute!r}"
    n_values = given.attributes.set_index("image")[attribute].reindex(image).nunique()
    if n_values > MOST_GROUPS:
        return f"{attribute} has {n_values} different values: divide it by [data] bands, or leave it out"
    return ""
