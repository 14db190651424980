"""The steps that Keras's loops call: native ones where the plan allows it, Keras's own elsewhere.

Keras's ``fit``, ``evaluate`` and ``predict`` call whatever is ``model.train_function`` and so on.
With these in their place the loops stay Keras's: the data, the callbacks, the printed lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from cifarlab.backend import KerasModel
from cifarlab.fitting.inside import OwnSteps
from cifarlab.fitting.live import Watch
from cifarlab.fitting.native import NativeModel
from cifarlab.fitting.plan import Planner

FUNCTIONS = {"train_function": "train", "test_function": "test", "predict_function": "predict"}


class Steps:
    """One model's steps, planned anew whenever somebody changes its layers.

    Args:
        planner: decides; may raise ``NoFastFormError``, which leaves the call.
    """

    def __init__(self, model: KerasModel, planner: Planner) -> None:
        self.model, self.planner = model, planner
        self.prepare()

    def prepare(self) -> None:
        """Decide how the model, as it is now, runs."""
        self.plan, self.native = self.planner(self.model)
        # A model without weights is built by Keras, between the plan and the first batch.
        waits = (self.plan.native or self.plan.native_layers) and self.native is None
        self.watch: Watch | None = None if waits else Watch(self.model)

    def train(self, data: Any) -> Any:
        """Do a training step; ``data`` is a list of one batch."""
        return (self._now() or self.model).train_step(data[0])

    @torch.no_grad()
    def test(self, data: Any) -> Any:
        """Do a step of an evaluation; ``data`` is a list of one batch."""
        return (self._now() or self.model).test_step(data[0])

    @torch.no_grad()
    def predict(self, data: Any) -> Any:
        """Return the outputs for a batch; ``data`` is a list of it."""
        return (self._now() or self.model).predict_step(data[0])

    def _now(self) -> NativeModel | OwnSteps | None:
        if self.watch is None or self.watch.changed():
            self.prepare()
        return self.native


@contextmanager
def in_place(steps: Steps) -> Iterator[None]:
    """Have Keras's loops call ``steps`` inside the block."""
    model = steps.model
    before = {name: getattr(model, name) for name in FUNCTIONS}
    ours = {name: getattr(steps, method) for name, method in FUNCTIONS.items()}
    for name, function in ours.items():
        setattr(model, name, function)
    try:
        yield
    finally:
        for name, function in ours.items():
            # A callback that compiled the model has taken it out itself.
            if getattr(model, name) == function:
                setattr(model, name, before[name])


def are_in_place(model: KerasModel) -> bool:
    """Whether the model is in such a block."""
    return isinstance(getattr(model.test_function, "__self__", None), Steps)
