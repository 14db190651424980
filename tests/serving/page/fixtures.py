"""One run for all tests of the page; named in their ``pytest_plugins``."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def brightness_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that tells dark, medium and bright images apart, its data beside it."""
    from serving.page.steps import run_on_brightness

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CIFARLAB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        return run_on_brightness(tmp_path_factory.mktemp("brightness"))
