"""The ``cifarlab`` command: its subcommands, and how all of them report errors.

Nothing heavy is imported here, nor at the top of the subcommands' modules, so that
``--help`` answers at once.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from cifarlab import __version__
from cifarlab.cli import (
    compare,
    data,
    evaluate,
    export,
    lesson,
    lr_find,
    predict,
    report,
    run,
    serve,
    train,
)
from cifarlab.cli.output import one_line
from cifarlab.errors import CifarlabError

# The signal number on POSIX systems; Windows has none.
SIGPIPE = 13

EPILOG = """\b
Examples:
  cifarlab train                      the baseline on CIFAR-10
  cifarlab predict cat.jpg            what the newest run says about an image
  cifarlab evaluate runs/baseline-1   accuracy, class by class
  cifarlab report --open              the newest run on one page
  cifarlab serve                      the model as web page and REST service
  cifarlab export --format onnx       the model for other programs
  cifarlab lesson scaling             what scaling the pixels buys, measured
  cifarlab run my_script.py           a Keras script, faster
  cifarlab data check photos/         before you train on your own images
"""

app = typer.Typer(
    name="cifarlab",
    help="Train, understand and ship small-image classifiers, CIFAR-10 first.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("predict")(predict.predict)
app.command("report")(report.report)
app.command("export")(export.export)
app.command("serve")(serve.serve)
app.command("compare")(compare.compare)
app.command("lr-find")(lr_find.lr_find)
app.command("lesson")(lesson.lesson)
# What follows the script's name is the script's, options included.
app.command("run", context_settings={"allow_interspersed_args": False})(run.run)
app.add_typer(data.app, name="data")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"cifarlab {__version__}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Options that come before the subcommand."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; expected errors take one line."""
    try:
        result: Any = app(args=arguments, prog_name="cifarlab", standalone_mode=False)
        sys.stdout.flush()
    except CifarlabError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted", 128 + signal.SIGINT)
    except MemoryError:
        return _fail("memory ran out; use a smaller --batch-size or fewer images", 6)
    except (BrokenPipeError, SystemExit):
        # The reader of our output has gone, as in ``cifarlab ... | head``: Typer exits on
        # that by itself, unless it happens in the flush above.
        sys.stdout = None
        return 128 + SIGPIPE
    except Exception as error:
        # Typer's usage errors format themselves; anything else is a bug and may show as one.
        if not hasattr(error, "format_message"):
            raise
        return _misused(error)
    return result if isinstance(result, int) else 0


def _misused(error: Any) -> int:
    """Report what Typer found wrong with the arguments."""
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error.format_message(), file=sys.stderr)
        return 2
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "cifarlab"
    return _fail(f"{error.format_message().rstrip('.')}; see {command} --help", 2)


def _fail(message: str, code: int) -> int:
    print(f"cifarlab: error: {one_line(message)}", file=sys.stderr)
    return code


def entry() -> None:
    """Be the ``cifarlab`` program."""
    sys.exit(main())
