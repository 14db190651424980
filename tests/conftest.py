"""What all tests want: one thread each, a cache of their own, hypothesis without a clock."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Tiny tensors are faster on one thread, above all where other programs run. Set before
# PyTorch is imported, and inherited by the processes that tests start.
os.environ["OMP_NUM_THREADS"] = "1"

# Read before any test takes it away.
GIVEN = os.environ.get("CIFARLAB_DATA")

settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")


@pytest.fixture(scope="session")
def real_cifar10() -> Path:
    """Where the real CIFAR-10 lies; skips the test where there is none."""
    place = Path(GIVEN) if GIVEN else Path(__file__).parents[2] / "shared" / "cifar10"
    if not place.exists():
        pytest.skip(f"the real CIFAR-10 is not at {place}; set CIFARLAB_DATA")
    return place


@pytest.fixture(autouse=True)
def nothing_of_the_users(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Keep the user's data and cache out of the tests."""
    monkeypatch.delenv("CIFARLAB_DATA", raising=False)
    cache = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("CIFARLAB_CACHE", str(cache))
