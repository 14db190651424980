"""Optional packages: the extra that installs them, and one error where they are missing."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from cifarlab.errors import UsageError


def require_extra(extra: str, purpose: str, modules: Sequence[str]) -> None:
    """Check that top-level modules are installed, without importing them.

    Args:
        extra: the extra that installs them.
        purpose: what needs them, to begin the message with.

    Raises:
        UsageError: one of them is missing.

    Example:
        >>> require_extra("serve", "serving", ["no_such_module"])
        Traceback (most recent call last):
            ...
        cifarlab.errors.UsageError: serving needs the extra 'serve' (not installed: ...
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"{purpose} needs the extra {extra!r} (not installed: {', '.join(missing)}); "
            f"run: {install_command(extra)}"
        )


def install_command(extra: str) -> str:
    """Return how to install an extra.

    Example:
        >>> install_command("onnx")
        "pip install 'cifarlab[onnx]' (from a checkout: pip install '.[onnx]')"
    """
    return f"pip install 'cifarlab[{extra}]' (from a checkout: pip install '.[{extra}]')"
