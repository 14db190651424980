"""One word for one thing, and plain English, wherever a person reads.

``FORBIDDEN`` says which words are out and what to write instead; ``ALLOWED`` where an old word must
stay, and why.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SUFFIXES = {".py", ".md", ".html", ".js", ".mjs", ".css"}
SEARCHED = ("src/cifarlab", "docs")
FILES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
# Code of others, unchanged.
LEFT_OUT = ("src/cifarlab/exporting/web/runtime/",)

FORBIDDEN = {
    r"pictures?": "image",
    r"boxed\w*|\w+_boxed|(?:model )?in the box": "pretrained",
    r"views|(?:a|an|one|each|single|mirrored) view(?! of)": "test-time augmentation, TTA",
    r"--looks|(?:one|two|three|six|single|shifted|first|second) looks?(?! like| at\b| for\b)"
    r"|looks? at each": "test-time augmentation, TTA",
    r"runs? as (?:itself|themselves)": "run by Keras (slower)",
    r"(?:could|can|to be|cannot) (?:not )?be had": "could not be downloaded, is not available",
    r"to choose with": "for validation",
    r"test split waits": "test split not used",
    r"an? (?:row|trial|line|column|folder|process|plot) an? (?:arm|seed|epoch|class|name|row)": (
        "one row per …"
    ),
    r"(?:images?|pictures?) a step": "batch size",
    r"also tell": "log to",
    r"requests in work|in work or waiting": "in flight, queued",
    r"of weights, order and augmentation": "random seed",
    r"its number where it exists": "SIGPIPE's number",
    r"dear(?:ly|er)?": "expensive",
    r"turns no value round": "is monotonic",
    r"mended": "fixed",
    r"(?:the )?first working whole": "first release",
    r"(?:drawn )?by lot": "random",
    r"what is taken for what": "confusion matrix",
    r"as sure as right": "calibrated",
}

# (file, a line that may hold the word, why)
ALLOWED = (
    ("src/cifarlab/classifier.py", r"boxed = pretrained", "the name of version 0.1"),
    ("src/cifarlab/recipes/", r'"(?:boxed94|Views|pictures)"', "names in files of version 0.1"),
    ("src/cifarlab/saving/", r'"(?:boxed94|Views|pictures)"', "names in files of version 0.1"),
    ("src/cifarlab/runs/", r'OLD_KEYS = |"pictures', "keys in files of version 0.1"),
    ("src/cifarlab/reporting/template/", r"</?picture\b", "an element of HTML"),
    ("src/cifarlab/lowering/binding.py", r"inverse views", "views of an array"),
    ("src/cifarlab/lowering/pooling.py", r"Return views", "views of an array"),
    ("src/cifarlab/training/batch.py", r'derive\(seed, "pictures"\)', "every seed depends on it"),
    ("src/cifarlab/cli/", r"hidden=True|deprecated", "options of version 0.1"),
    ("src/cifarlab/serving/", r"deprecated|version 0\.1", "fields of version 0.1"),
    ("src/cifarlab/data/readers/", r'"picture"', "what people call their columns and files"),
    ("CHANGELOG.md", r"^  \| ", "what was called how in version 0.1"),
)


def texts() -> Iterator[tuple[str, int, str]]:
    """Yield every line that a person reads: file, number, text."""
    paths = [path for top in SEARCHED for path in sorted((ROOT / top).rglob("*"))]
    for path in [*paths, *(ROOT / name for name in FILES)]:
        name = path.relative_to(ROOT).as_posix()
        if path.suffix in SUFFIXES and not name.startswith(LEFT_OUT):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
                yield name, number, line
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        name = path.relative_to(ROOT).as_posix()
        for number, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"]):
            printed = (line for o in cell.get("outputs", ()) for line in o.get("text", ()))
            for line in [*cell["source"], *printed]:
                yield name, number, line.rstrip("\n")


def allowed(name: str, line: str) -> bool:
    return any(name.startswith(start) and re.search(text, line) for start, text, _ in ALLOWED)


def misuses(word: str) -> list[str]:
    # Also between underscores and capitals, as names in code are written.
    pattern = re.compile(rf"(?<![A-Za-z])(?:{word})(?![A-Za-z])", re.IGNORECASE)
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, number, line in texts()
        if pattern.search(line) and not allowed(name, line)
    ]


@pytest.mark.parametrize("word", FORBIDDEN)
def test_no_word_that_costs_a_reader_time(word: str) -> None:
    found = misuses(word)
    assert not found, f"write {FORBIDDEN[word]!r}:\n" + "\n".join(found)


@pytest.mark.parametrize(("start", "text", "reason"), ALLOWED)
def test_what_is_allowed_has_a_reason_and_a_file(start: str, text: str, reason: str) -> None:
    assert reason
    assert re.compile(text)
    assert (ROOT / start).exists()
