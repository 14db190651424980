"""A share is held out without tearing groups apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifarlab.data.grouped_split import hold_out
from cifarlab.data.split import stratified_split
from cifarlab.errors import InputError


@given(
    st.lists(st.integers(0, 12), min_size=4, max_size=80), st.integers(0, 3), st.floats(0.05, 0.5)
)
def test_groups_are_whole_and_nothing_is_lost(keys, seed, fraction):
    groups = np.array(keys)
    labels = np.arange(len(keys)) % 2
    if len(set(keys)) == 1:
        with pytest.raises(InputError, match="one group"):
            hold_out(labels, groups, fraction, seed)
        return
    kept, held = hold_out(labels, groups, fraction, seed)
    assert sorted([*kept, *held]) == list(range(len(keys)))
    assert not set(groups[kept]) & set(groups[held])
    assert len(kept)
    assert len(held)


def test_shares_are_near_for_many_groups():
    groups = np.arange(1000) // 4
    labels = groups % 5
    kept, held = hold_out(labels, groups, 0.1, seed=0)
    assert abs(len(held) - 100) <= 20
    assert set(labels[kept]) == set(labels[held]) == {0, 1, 2, 3, 4}


def test_the_seed_decides():
    groups, labels = np.arange(100) // 2, np.arange(100) % 3
    held = [hold_out(labels, groups, 0.2, seed)[1].tolist() for seed in (0, 0, 1)]
    assert held[0] == held[1] != held[2]


def test_of_few_large_groups_the_smallest_is_held_out():
    groups = np.repeat(["a", "b", "c"], [40, 25, 35])
    _, held = hold_out(np.arange(100) % 2, groups, 0.1, seed=0)
    assert set(groups[held]) == {"b"}


def test_without_groups_it_is_the_stratified_split():
    labels = np.arange(30) % 3
    for found, expected in zip(
        hold_out(labels, None, 0.1, 0), stratified_split(labels, 0.1, 0), strict=True
    ):
        assert (found == expected).all()


def test_a_fraction_outside_of_0_to_1_is_refused():
    with pytest.raises(InputError, match="between 0 and 1"):
        hold_out(np.arange(4) % 2, np.arange(4), 1.0, 0)
