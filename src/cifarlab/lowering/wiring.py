"""Which step of a graph makes each value and which steps use it, while steps are rewritten.

Every question takes the same time however long the graph is, so that rewriting all of it takes
time in proportion to its steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from cifarlab.lowering.graph import Slot, Step, Steps, slots_of


class Wiring:
    """The steps of a graph by number; a removed one leaves its number unused.

    Attributes:
        steps: by number, in the order in which they are computed.
    """

    def __init__(self, graph: Steps) -> None:
        self.result = graph.result
        self.steps: dict[int, Step] = {}
        self._makers: dict[int, int] = {}
        self._users: dict[int, set[int]] = {}
        for number, step in enumerate(graph.steps):
            self._add(number, step)

    def only_user(self, number: int) -> int | None:
        """Return the step whose only input is the output of the step ``number``.

        ``None`` where there is no such step, or several steps use that output.
        """
        outputs = self.steps[number].outputs
        if len(outputs) != 1 or outputs[0] == self.result:
            return None
        users = self._users.get(outputs[0], set())
        if len(users) != 1:
            return None
        (user,) = users
        step = self.steps[user]
        return user if step.args == (Slot(index=outputs[0]),) and not step.kwargs else None

    def makers(self, number: int) -> list[int]:
        """Return the steps whose outputs the step ``number`` uses."""
        slots = slots_of(self.steps[number])
        return [self._makers[slot] for slot in slots if slot in self._makers]

    def rewrite(self, number: int, step: Step) -> None:
        """Put ``step`` in the place of the step ``number``."""
        self.remove(number)
        self._add(number, step)

    def remove(self, number: int) -> None:
        """Take a step out; whoever used its outputs is to be rewritten."""
        step = self.steps.pop(number)
        for slot in slots_of(step):
            self._users[slot].discard(number)
        for slot in step.outputs:
            if self._makers.get(slot) == number:
                del self._makers[slot]

    def repeat(self, change: Callable[[int], Iterable[int]]) -> None:
        """Call ``change`` for each step, and again for those that a change gives a new chance.

        Args:
            change: of a step; returns the steps that it rewrote, none if it changed nothing.
        """
        waiting = sorted(self.steps, reverse=True)
        while waiting:
            number = waiting.pop()
            if number not in self.steps:
                continue
            rewritten = [n for n in change(number) if n in self.steps]
            before = [maker for n in rewritten for maker in self.makers(n)]
            waiting.extend(sorted({*rewritten, *before}, reverse=True))

    def in_order(self) -> list[Step]:
        """Return the steps that are left, in the order in which they are computed."""
        return [self.steps[number] for number in sorted(self.steps)]

    def _add(self, number: int, step: Step) -> None:
        self.steps[number] = step
        for slot in slots_of(step):
            self._users.setdefault(slot, set()).add(number)
        for slot in step.outputs:
            self._makers[slot] = number
