"""Run Keras's own loops with fast steps: say what falls back before, keep a record after."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from cifarlab.backend import KerasModel
from cifarlab.errors import NoFastFormError
from cifarlab.fitting.inside import OwnSteps
from cifarlab.fitting.native import NativeModel
from cifarlab.fitting.plan import Plan, listed, make_plan
from cifarlab.fitting.steps import Steps, are_in_place, in_place
from cifarlab.runtime.memory import keeping_freed_memory

Result = TypeVar("Result")
TIMES = {1: "once", 2: "twice"}


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

        def decide(changed: KerasModel) -> tuple[Plan, NativeModel | OwnSteps | None]:
            plan, native = make_plan(call, changed, self.precision)
            self._say(plan)
            return plan, native

        began = time.perf_counter()
        steps = Steps(model, decide)
        try:
            if not steps.plan.native and not steps.plan.native_layers:
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


def summary(records: Sequence[Record]) -> str:
    """Return one line about calls: which ran natively, which did not and why, and their time.

    Example:
        >>> plans = [Plan(call="fit", model="a"), Plan(call="fit", model="b", reasons=("hm",))]
        >>> summary([Record(plan=plan, seconds=2.0) for plan in plans])
        "natively: fit once in 2.0 s; at Keras's own speed: fit once in 2.0 s (hm)"
    """
    fast = [record for record in records if record.plan.native]
    slow = [record for record in records if not record.plan.native]
    if not records:
        return "fit, evaluate and predict were not called"
    parts = []
    if fast:
        kept = _distinct(name for record in fast for name in record.plan.run_by_keras)
        note = f" (layers run by Keras: {listed(kept)})" if kept else ""
        parts.append(f"natively: {_counted(fast)}{note}")
    for how in _distinct(record.plan.how for record in slow):
        alike = [record for record in slow if record.plan.how == how]
        why = _distinct(reason for record in alike for reason in record.plan.reasons)
        parts.append(f"{how}: {_counted(alike)} ({'; '.join(why)})")
    return "; ".join(parts)


def _counted(records: Sequence[Record]) -> str:
    said = []
    for call in _distinct(record.plan.call for record in records):
        seconds = [record.seconds for record in records if record.plan.call == call]
        times = TIMES.get(len(seconds), f"{len(seconds)} times")
        said.append(f"{call} {times} in {sum(seconds):.1f} s")
    return ", ".join(said)


def _distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
