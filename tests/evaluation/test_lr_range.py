"""The learning rate that the losses of a range test suggest."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cifarlab.errors import UsageError
from cifarlab.evaluation.lr_range import judge, smooth
from support import one_line
from tiny import tiny_recipe

RATES = tuple(float(rate) for rate in np.geomspace(1e-5, 1e-1, 80))


def test_the_fastest_fall_below_guessing_is_suggested():
    exponents = np.log10(RATES)
    # Falls fast from 6 to 2.3 at 1e-4, then slower to 1.2 at 1e-3, and explodes at 1e-2.
    losses = (
        2.25 + 3.7 / (1 + np.exp(12 * (exponents + 4))) - 1.0 / (1 + np.exp(-6 * (exponents + 3)))
    )
    losses[exponents > -2] = 30.0
    test = judge(tiny_recipe(), RATES, tuple(losses), 10, stopped_early=True)
    assert math.log10(test.suggestion) == pytest.approx(-3, abs=0.15)
    # With more classes, guessing is worse, and the first fall counts.
    test = judge(tiny_recipe(), RATES, tuple(losses), 1000, stopped_early=True)
    assert math.log10(test.suggestion) == pytest.approx(-4, abs=0.15)


def test_a_loss_that_never_falls_is_a_usage_error():
    rising = tuple(1.0 + i for i in range(80))
    for rates, losses in ((RATES, rising), (RATES[:2], (2.0, 1.0)), ((), ())):
        with pytest.raises(UsageError, match="never fell") as error:
            judge(tiny_recipe(), rates, losses, 10, stopped_early=True)
        one_line(error)


def test_smoothing_keeps_what_is_smooth():
    assert smooth(RATES, (2.0,) * 80) == pytest.approx((2.0,) * 80)
    line = tuple(5.0 - i / 20 for i in range(80))
    assert smooth(RATES, line)[20:60] == pytest.approx(line[20:60])
