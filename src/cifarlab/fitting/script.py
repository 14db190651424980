"""Run a Keras script as Python runs it, but with fast ``fit``, ``evaluate`` and ``predict``."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from cifarlab.errors import NoFastFormError
from cifarlab.fitting.accelerator import Accelerator, on_stderr, summary
from cifarlab.fitting.fit import patched

HERE = Path(__file__).parent


def run_script(path: Path, arguments: Sequence[str], accelerator: Accelerator) -> int:
    """Run the script as ``__main__``; say at the end what ran natively, what not and why.

    An exception of the script's is printed as Python prints it.

    Args:
        arguments: the script's own.

    Returns:
        The exit code that Python would end with.

    Raises:
        NoFastFormError: the accelerator is strict, and a call has no fast form.
        KeyboardInterrupt: as from the script.
    """
    try:
        with patched(accelerator), _as_main(path, arguments) as names:
            code = compile(path.read_bytes(), names["__file__"], "exec", dont_inherit=True)
            exec(code, names)
    except SystemExit as end:
        return _exit_code(end.code)
    except NoFastFormError:
        raise
    except Exception as error:
        print(_formatted(error), end="", file=sys.stderr)
        return 1
    finally:
        sys.stdout.flush()
        if os.environ.get("KERAS_BACKEND") != "torch":
            on_stderr("the script chose another backend than PyTorch, too late: it ran on PyTorch")
        on_stderr(summary(accelerator.records))
    return 0


@contextmanager
def _as_main(path: Path, arguments: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Have ``sys`` say what it says to a script that Python runs; yield the script's names.

    ``runpy`` would change the first argument, and take the module away from what is pickled.
    """
    before = sys.argv, sys.path, sys.modules["__main__"]
    module = ModuleType("__main__")
    module.__file__ = str(path.absolute())
    sys.argv = [str(path), *arguments]
    sys.path = [str(path.absolute().parent), *sys.path]
    sys.modules["__main__"] = module
    try:
        yield vars(module)
    finally:
        sys.argv, sys.path, sys.modules["__main__"] = before


def _formatted(error: BaseException) -> str:
    """Return the traceback as Python prints it, without what runs the script and its ``fit``."""
    whole = traceback.TracebackException.from_exception(error)
    chain: list[traceback.TracebackException | None] = [whole]
    while chain:
        part = chain.pop()
        if part is None:
            continue
        chain += [part.__cause__, part.__context__]
        runs = [i for i, frame in enumerate(part.stack) if frame.filename == __file__]
        frames = part.stack[runs[-1] + 1 :] if runs else part.stack
        own = [frame for frame in frames if Path(frame.filename).parent != HERE]
        # Without a frame, as where the script cannot be compiled, Python prints no heading.
        part.stack = traceback.StackSummary.from_list(own) if own else None  # type: ignore[assignment]
    return "".join(whole.format())


def _exit_code(code: object) -> int:
    if code is None or isinstance(code, int):
        return code or 0
    print(code, file=sys.stderr)
    return 1
