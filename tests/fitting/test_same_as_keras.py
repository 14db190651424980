"""Random models, compile arguments and fit arguments: what Keras's own ``fit`` gives."""

from __future__ import annotations

import pytest
from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st

from cifarlab.backend import keras
from cifarlab.fitting.fit import fit
from cifarlab.fitting.plan import make_plan
from fitting.comparison import assert_same_outcome, outcome_of
from fitting.strategies import a_call
from lowering.strategies import QUICK

# Random models are what Keras warns of: a softmax of one value, weights without gradients.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

# Shrinking trains for minutes; the note says what was called.
RANDOM = settings(QUICK, phases=[Phase.explicit, Phase.reuse, Phase.generate])


def check(data: st.DataObject) -> None:
    call = a_call(data.draw)
    note(repr(call))
    keras_own = outcome_of(keras.Model.fit, call.model, call.compiled(), call.arguments())

    def fast(model, **arguments):  # type: ignore[no-untyped-def]
        assert make_plan("fit", model, "float32")[0].native
        return fit(model, precision="float32", strict=True, **arguments)

    mine = outcome_of(fast, call.model, call.compiled(), call.arguments())
    assert_same_outcome(mine, keras_own)


@given(st.data())
@settings(RANDOM, max_examples=60)
def test_random_calls_give_what_keras_gives(data: st.DataObject) -> None:
    check(data)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@given(st.data())
@settings(RANDOM, max_examples=500, derandomize=False)
def test_many_random_calls_give_what_keras_gives(data: st.DataObject) -> None:
    check(data)
