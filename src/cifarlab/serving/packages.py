"""Whether the packages that serving needs are installed; imports nothing heavy itself."""

from __future__ import annotations

from cifarlab.runtime.extras import require_extra

NEEDED = ("fastapi", "uvicorn", "prometheus_client", "python_multipart")
NEEDED_BY_THE_PAGE = ("gradio",)


def check_packages(*, page: bool = True) -> None:
    """Raise ``UsageError`` unless everything that serving needs is installed.

    Args:
        page: whether the web page is wanted; without it Gradio is not needed.
    """
    require_extra("serve", "serving", NEEDED + NEEDED_BY_THE_PAGE if page else NEEDED)
