"""A signal inside the block is noted; one that nobody acted upon is raised again after it."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from cifarlab.training.signals import catching_signals
from support import posix_only

pytestmark = posix_only


@pytest.fixture(autouse=True)
def pythons_own_handler() -> Iterator[None]:
    """A shell starts what runs in its background with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_signal_that_nobody_acted_upon_is_raised_again() -> None:
    with pytest.raises(KeyboardInterrupt), catching_signals() as asked:  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        assert asked.signal_number == signal.SIGINT


def test_an_error_inside_counts_as_acting_upon_it() -> None:
    with pytest.raises(ZeroDivisionError), catching_signals():  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        raise ZeroDivisionError


def test_handlers_are_restored() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with catching_signals():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
