"""Freed memory is kept inside the block and returned to the system after it."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import pytest
import torch

from cifarlab.runtime import memory
from cifarlab.runtime.memory import keeping_freed_memory

MEGABYTES = 24
glibc_only = pytest.mark.skipif(memory._glibc() is None, reason="needs glibc")


def faults_of(steps: int) -> int:
    """Count the page faults while a large tensor is made and dropped ``steps`` times."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(steps):
        torch.ones(MEGABYTES << 18)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@glibc_only
def test_blocks_are_reused_inside_and_returned_after():
    outside = faults_of(5)
    with keeping_freed_memory():
        # At first small blocks may be allocated where a large one was.
        inside = min(faults_of(5) for _ in range(6))
        held = resident()
    assert inside < outside / 10
    assert resident() < held - (MEGABYTES << 20) / 2


def test_an_error_inside_comes_out():
    with pytest.raises(ZeroDivisionError), keeping_freed_memory():
        raise ZeroDivisionError


def test_elsewhere_it_does_nothing(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with keeping_freed_memory():
        assert memory._glibc() is None
