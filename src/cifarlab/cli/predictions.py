"""What ``cifarlab predict`` prints: every answer, or what a table of them holds."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from cifarlab.cli.output import console, one_line, print_json, table
from cifarlab.files import printable

if TYPE_CHECKING:
    from cifarlab.classifier import Classifier
    from cifarlab.predicting.answers import Answer
    from cifarlab.predicting.files import FilesSummary


def show_answers(
    answers: Sequence[Answer], classifier: Classifier, top: int, *, as_json: bool
) -> tuple[int, int]:
    """Print every answer; return how many images are bad, of how many."""
    good = [answer for answer in answers if answer.error is None]
    predictions = [_prediction(answer, classifier, top) for answer in good]
    bad = [f"{_shown(a.source.name)}: {a.error}" for a in answers if a.error is not None]
    if as_json:
        print_json({"predictions": predictions, "bad": bad})
    elif predictions:
        rows = [_row(prediction) for prediction in predictions]
        console(as_json=False).print(table(("image", "class", "", "or else"), rows, align="llrl"))
    _report_bad(bad)
    return len(bad), len(answers)


def show_summary(summary: FilesSummary, *, as_json: bool) -> tuple[int, int]:
    """Print what became of the files; return how many are bad, of how many."""
    if as_json:
        print_json(
            {
                "output": str(summary.output),
                "classified": summary.classified,
                "not_sure": summary.not_sure,
                "skipped": summary.skipped,
                "bad_count": summary.bad,
                "bad": list(summary.bad_files),
            }
        )
    else:
        _print_summary(summary)
    _report_bad(summary.bad_files)
    more = summary.bad - len(summary.bad_files)
    if more:
        print(f"cifarlab: {more:,} more bad images are listed in the table", file=sys.stderr)
    return summary.bad, summary.bad + sum(summary.classified.values())


def _print_summary(summary: FilesSummary) -> None:
    rows = [(one_line(name), f"{count:,}") for name, count in summary.classified.items()]
    if rows:
        console(as_json=False).print(table(("class", "images"), rows))
    further = {
        "not sure": summary.not_sure,
        "cannot be read": summary.bad,
        "skipped, as they have a row": summary.skipped,
    }
    for what, count in further.items():
        if count:
            typer.echo(f"{what}: {count:,}")
    typer.echo(printable(summary.output))


def _report_bad(bad: Sequence[str]) -> None:
    for problem in bad:
        print(f"cifarlab: bad image: {one_line(problem)}", file=sys.stderr)


def _prediction(answer: Answer, classifier: Classifier, top: int) -> dict[str, Any]:
    best = answer.top(classifier.class_names, top)
    return {
        "image": answer.source.name,
        "top": [{"class": name, "probability": value} for name, value in best],
        "sure": classifier.sure(best[0][1]),
    }


def _row(prediction: dict[str, Any]) -> tuple[str, str, str, str]:
    best, others = prediction["top"][0], prediction["top"][1:]
    name = best["class"]
    if prediction["sure"] is False:
        name = f"{name} (not sure)"
    return printable(prediction["image"]), name, _percent(best), _rest(others)


def _percent(choice: dict[str, Any]) -> str:
    return f"{choice['probability']:.1%}"


def _rest(choices: Sequence[dict[str, Any]]) -> str:
    return ", ".join(f"{choice['class']} {_percent(choice)}" for choice in choices)


def _shown(name: str) -> str:
    return "stdin" if name == "-" else printable(name)
