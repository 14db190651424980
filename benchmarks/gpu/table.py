"""The documentation's tables from the suite's JSON file.

Command: ``python -m benchmarks.gpu.table gpu.json``, Markdown on standard output.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]
# 95% of a normal distribution lies within so many standard errors.
INTERVAL = 1.96


def markdown(document: Mapping[str, Any]) -> str:
    """Return the machine and a table for each part, as Markdown."""
    sections = [_machine(document)]
    for name, part in document["parts"].items():
        notes = [f"{part['status']}, {part['seconds']:.0f} s"]
        if part["failure"]:
            notes.append(part["failure"])
        sections.append(f"### {TITLES[name]}\n\n({'; '.join(notes)})")
        rows = [row for row in part["rows"] if "failure" not in row]
        if rows:
            sections.append(TABLES[name](rows))
        failed = [row for row in part["rows"] if row.get("failure")]
        sections += [f"Failed: {_named(row)}: {row['failure']}" for row in failed]
    return "\n\n".join(section for section in sections if section) + "\n"


def _machine(document: Mapping[str, Any]) -> str:
    environment = document["environment"]
    hardware, versions = environment["hardware"], environment["versions"]
    where = hardware["accelerator"] or f"{hardware['processor']} (a dry run, no GPU)"
    return (
        f"{where}; {hardware['cores']} cores; Python {environment['python']}, "
        f"PyTorch {versions['torch']}, CUDA {environment['cuda']}, cuDNN {environment['cudnn']}, "
        f"Keras {versions['keras']}; commit {environment['git']}"
    )


def _named(row: Row) -> str:
    keys = ("system", "variant", "network", "layer", "check")
    return str(next((row[key] for key in keys if key in row), "?"))


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---"] + ["---:"] * (len(head) - 1), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _parity(rows: Sequence[Row]) -> str:
    lines = []
    for row in rows:
        what = f"layer {row['layer']}" if row["check"] == "layer" else row["check"]
        figures = {k: v for k, v in row.items() if k not in ("check", "layer", "precision", "ok")}
        shown = ", ".join(f"{k.replace('_', ' ')} {_short(v)}" for k, v in figures.items())
        lines.append([what, row["precision"], shown, "yes" if row["ok"] else "**no**"])
    return _table(["CPU against GPU", "precision", "difference", "within tolerance"], lines)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _race(rows: Sequence[Row]) -> str:
    runs = _by("system", rows)
    lines = []
    for name, own in runs.items():
        accuracy, seconds = _column(own, "accuracy"), _column(own, "seconds")
        lines.append([name, _accuracy(accuracy), str(len(own)), _seconds(seconds)])
    return _table(["System", "Test accuracy", "n", "Median seconds (min – max)"], lines)


def _variants(rows: Sequence[Row]) -> str:
    runs = _by("variant", rows)
    base = {row["seed"]: row for row in runs.get("base", ())}
    lines = []
    for name, own in runs.items():
        pairs = [(row, base[row["seed"]]) for row in own if row["seed"] in base]
        gains = [100 * (row["accuracy"] - other["accuracy"]) for row, other in pairs]
        times = [row["seconds"] / other["seconds"] for row, other in pairs]
        lines.append(
            [
                name,
                _accuracy(_column(own, "accuracy")),
                str(len(own)),
                "" if name == "base" else _gain(gains),
                f"{statistics.median(times):.3f}" if times else "",
            ]
        )
    head = [
        "Variant",
        "Validation accuracy",
        "n",
        "Points over base (95% interval)",
        "Time over base's",
    ]
    return _table(head, lines)


def _speed(rows: Sequence[Row]) -> str:
    lines = [
        [
            row["network"],
            row["kind"] + (f", batch {row['batch']}" if "batch" in row else ""),
            row["system"],
            f"{row['images_per_second']:,.0f}",
            "" if row.get("ratio") is None else f"{row['ratio']:.2f}",
        ]
        for row in rows
    ]
    return _table(["Network", "What", "System", "Images/s", "cifarlab is faster by"], lines)


def _by(key: str, rows: Sequence[Row]) -> dict[str, list[Row]]:
    grouped: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if "seed" in row:
            grouped[row[key]].append(row)
    return dict(grouped)


def _column(rows: Sequence[Row], key: str) -> list[float]:
    return [row[key] for row in rows]


def _accuracy(values: Sequence[float]) -> str:
    spread = f" ± {statistics.stdev(values):.2%}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.2%}{spread}"


def _seconds(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f} – {max(values):.3f})"


def _gain(values: Sequence[float]) -> str:
    if not values:
        return ""
    mean = statistics.fmean(values)
    if len(values) == 1:
        return f"{mean:+.2f}"
    error = INTERVAL * statistics.stdev(values) / len(values) ** 0.5
    return f"{mean:+.2f} ({mean - error:+.2f} to {mean + error:+.2f})"


TITLES = {
    "parity": "The same values as on a CPU",
    "race": "fast94 beside the published records",
    "speed": "Training and prediction speed",
    "variants": "Changes to fast94, on validation",
}
TABLES: Mapping[str, Callable[[Sequence[Row]], str]] = {
    "parity": _parity,
    "race": _race,
    "speed": _speed,
    "variants": _variants,
}


def main(arguments: Sequence[str]) -> int:
    """Print the tables of the file that is named."""
    if len(arguments) != 1:
        print("usage: python -m benchmarks.gpu.table FILE", file=sys.stderr)
        return 2
    print(markdown(json.loads(Path(arguments[0]).read_text())), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
