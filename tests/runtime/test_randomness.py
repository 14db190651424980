"""Randomness is a pure function of seed and path: other seeds and paths, other numbers."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cifarlab.runtime.randomness import derive, generator, permutation, seed_global

paths = st.lists(st.integers(0, 2**40) | st.sampled_from(["step", "order", "augment"]), max_size=4)
seeds = st.integers(0, 2**63 - 1)


def test_golden_values_so_that_old_runs_resume_with_the_same_numbers() -> None:
    assert derive(0) == 3456079177858693020
    assert derive(7, "step", 1, 2) == 7558522295739356215
    assert permutation(6, 0, 0).tolist() == [3, 5, 2, 1, 0, 4]


@given(seeds, paths)
def test_derived_seeds_fit_a_generator(seed: int, path: list[int | str]) -> None:
    assert 0 <= derive(seed, *path) < 2**63
    assert generator(seed, *path).initial_seed() == derive(seed, *path)


@given(seeds, paths, seeds, paths)
def test_other_seeds_and_paths_give_other_numbers(
    seed: int, path: list[int | str], other_seed: int, other_path: list[int | str]
) -> None:
    same = (seed, *path) == (other_seed, *other_path)
    assert (derive(seed, *path) == derive(other_seed, *other_path)) == same


@given(seeds, paths, st.integers(0, 9))
def test_a_longer_path_is_another_path(seed: int, path: list[int | str], more: int) -> None:
    assert (
        len({derive(seed, *path), derive(seed, *path, more), derive(seed, more, *path, more)}) == 3
    )


def test_digits_do_not_run_together() -> None:
    assert len({derive(1, 11), derive(11, 1), derive(111)}) == 3


@given(seeds)
def test_there_is_no_state_and_the_global_generator_is_untouched(seed: int) -> None:
    before = torch.get_rng_state()
    first = torch.rand(5, generator=generator(seed, "step", 3))
    assert torch.equal(torch.rand(5, generator=generator(seed, "step", 3)), first)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("count", [0, 1, 2, 1000])
def test_an_epoch_visits_every_image_once_in_an_order_of_its_own(count: int) -> None:
    orders = [permutation(count, seed, epoch) for seed in range(2) for epoch in range(2)]
    for order in orders:
        assert order.dtype == torch.int64
        assert sorted(order.tolist()) == list(range(count))
    if count > 2:
        assert len({tuple(order.tolist()) for order in orders}) == 4


@given(seeds)
def test_the_global_generator_is_seeded_as_pytorch_would(seed: int) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed))
        expected = torch.rand(3)
        seed_global(derive(seed), torch.device("cpu"))
        assert torch.equal(torch.rand(3), expected)
