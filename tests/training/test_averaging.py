"""Lookahead pulls the weights to their average, as its formula says."""

from __future__ import annotations

import torch

from cifarlab.recipes.parts import Lookahead
from cifarlab.training.averaging import look_ahead, start_average


def test_it_is_the_formula_step_by_step() -> None:
    spec, planned = Lookahead(every=2, decay=0.9, power=2.0), 7
    weight = torch.tensor([1.0, -1.0])
    average = start_average(spec, [weight])
    mean, expected = weight.clone(), weight.clone()
    for step in range(1, planned + 1):
        weight += step
        expected += step
        look_ahead(average, step, planned)
        if step in (2, 4, 6):
            decay = 0.9 * (step / planned) ** 2
            mean = decay * mean + (1 - decay) * expected
            expected = mean.clone()
        if step == planned:
            expected = mean
        assert torch.allclose(weight, expected)


def test_at_the_end_the_weights_are_the_average() -> None:
    weight = torch.tensor([0.0])
    average = start_average(Lookahead(every=100), [weight])
    weight += 5
    look_ahead(average, 3, 3)
    assert weight.item() == 0.0


def test_it_begins_with_the_weights_at_its_start() -> None:
    weight = torch.tensor([0.0])
    average = start_average(Lookahead(every=2, decay=0.5, power=0.0, start=0.5), [weight])
    seen = []
    for step in range(1, 9):
        weight += 1
        look_ahead(average, step, 8)
        seen.append(weight.item())
    # Begun at 4; then 5 + 1 with 4, and 5 + 2 with 5; the last step takes the average as it is.
    assert seen == [1, 2, 3, 4, 5, 5, 6, 5]
