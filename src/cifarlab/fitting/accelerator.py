"""Run Keras's own loops with fast steps: say what falls back before, keep a record after."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from cifarlab.backend import KerasModel
from cifarlab.errors import NoFastFormError
from cifarlab.fitting.native import NativeModel
from cifarlab.fitting.plan import Plan, make_plan
from cifarlab.fitting.steps import Steps, are_in_place, in_place
from cifarlab.runtime.memory import keeping_freed_memory

Result = TypeVar("Result")


def on_stderr(line: str) -> None:
    """Print a line as the program's own."""
    print(f"cifarlab: {line}", file=sys.stderr, flush=True)


def nowhere(_: str) -> None:
    """Print nothing."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """A call that has ended, or failed: its plan, and the seconds that it took."""

    plan: Plan
    seconds: float


@dataclass(kw_only=True)
class Accelerator:
    """What several calls have in common.

    Attributes:
        precision: ``"auto"``, ``"float32"`` or ``"bfloat16"``.
        strict: raise ``NoFastFormError`` instead of falling back.
        message: is given each line for the user, each once.
        records: of all calls, in the order of their ends.
    """

    precision: str = "auto"
    strict: bool = False
    message: Callable[[str], None] = on_stderr
    records: list[Record] = field(default_factory=list)
    said: set[str] = field(default_factory=set)

    def run(self, call: str, model: KerasModel, keras_own: Callable[[], Result]) -> Result:
        """Return the result of ``keras_own``, a call of Keras's loop, run with fast steps.

        Args:
            call: ``"fit"``, ``"evaluate"`` or ``"predict"``.

        Raises:
            NoFastFormError: strict, and only Keras can run it; before the first batch.
        """
        if are_in_place(model):
            # A validation, or a callback that predicts: part of a call that is planned.
            return keras_own()

        def decide(changed: KerasModel) -> tuple[Plan, NativeModel | None]:
            plan, native = make_plan(call, changed, self.precision)
            self._say(plan)
            return plan, native

        began = time.perf_counter()
        steps = Steps(model, decide)
        try:
            if not steps.plan.native:
                return keras_own()
            with keeping_freed_memory(), in_place(steps):
                return keras_own()
        finally:
            self.records.append(Record(plan=steps.plan, seconds=time.perf_counter() - began))

    def _say(self, plan: Plan) -> None:
        if self.strict and not plan.native:
            raise NoFastFormError(plan.lines()[0])
        for line in plan.lines():
            if line not in self.said:
                self.said.add(line)
                self.message(line)
